//! What happens in the broker right now? Figures from the API, laid out for a terminal of any size.
//!
//! | file | question |
//! |---|---|
//! | `figures` | what is asked, and what was the answer |
//! | `sorting` | what do lists begin with |
//! | `frame` | what stands in which line |
//! | `live` | what happens when time passes, a key is pressed, or the broker goes |

mod figures;
mod frame;
mod live;
mod sorting;

pub use figures::{Figures, Wanted};
pub use frame::{View, lines};
pub use live::live;
pub use sorting::{Direction, Key};
