//! What are the files of the log? `segment`: a segment file, its header and its syncs; `mapping`:
//! the read-only view of one; `directory`: which files there are; `witness`: what a test sees of
//! it all. Knows nothing of records.

pub(super) mod directory;
pub(super) mod mapping;
pub(super) mod segment;
pub(super) mod witness;
