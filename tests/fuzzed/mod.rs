//! What holds whatever the bytes are? One function for each way in, which panics when something
//! does not hold: the fuzzer (`scripts/fuzz`) looks for such bytes, and the tests run what is kept.

mod cursor;
mod driver;
pub mod frames;
mod harm;
pub mod proxies;
pub mod recovery;
pub mod requests;
pub mod sessions;
pub mod tables;
pub mod websockets;
mod wishes;

/// What a target does with its input.
pub type Target = fn(&[u8]);

/// Every target and its name, which is that of its directory of inputs.
pub const TARGETS: [(&str, Target); 7] = [
    ("frames", frames::run),
    ("tables", tables::run),
    ("sessions", sessions::run),
    ("recovery", recovery::run),
    ("requests", requests::run),
    ("websockets", websockets::run),
    ("proxies", proxies::run),
];
