//! How does the log grow and shrink? `ring` appends and writes; `append` makes records of messages
//! and transactions, `body` of large bodies, `define` of definitions; `settle` knows what is
//! alive; `free` begins new lives, `compact` moves what stays; `view` reads. All of it works in
//! memory on what the helper made ready, and never waits for the disk.

pub(super) mod append;
pub(super) mod body;
pub(super) mod compact;
pub(super) mod define;
pub(super) mod free;
pub(super) mod publication;
pub(super) mod ring;
pub(super) mod segment;
pub(super) mod settle;
pub(super) mod view;
