//! Placeholder?
