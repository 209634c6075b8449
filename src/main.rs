//! The daemon `leveret`.
fn main() {}
