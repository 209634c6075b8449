//! How are results printed? Rows of cells, in one of five ways.

mod cell;
mod formats;
mod term;
mod width;

pub use cell::{Cell, Column, Show};
pub use formats::{Formatter, Sheet};
pub use term::Term;
pub use width::{fit, safe, width};
