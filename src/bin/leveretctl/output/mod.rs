//! How are results printed? Rows of cells, in one of four ways.

mod cell;
mod formats;

pub use cell::{Cell, Column, Show};
pub use formats::{Formatter, Sheet};
