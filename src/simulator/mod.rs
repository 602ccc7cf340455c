//! Floor 8½: a house without doors, for whoever tries bots out.
//!
//! [`House`] is everything below the doors, over a database of its own. [`trial`] runs the tests of bots in one, by a clock
//! that only they move, with [`StandIns`] in the place of everything outside. The terminal talks to one as it is.

mod acting;
mod expecting;
mod house;
mod stand_ins;
pub mod trial;

pub use acting::{Refusal, Visitor};
pub use house::{House, Told};
pub use stand_ins::{Called, StandIns};
