//! Floor 6: conversations in, messages out.
//!
//! [`Hub`] opens and closes conversations and takes what is said in them; `intent` decides what a text means there.

mod hub;
mod meaning;

pub use hub::{Hub, Said};
