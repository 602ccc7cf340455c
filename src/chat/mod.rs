//! Floor 6: conversations in, messages out.
//!
//! [`Hub`] opens and closes conversations and takes what is said in them; `meaning` decides what a text means there,
//! `change` edits them and takes them back, `search` finds them, `cancel` stops runs,
//! `files` are sent along, `attention` keeps read marks and passes on who is writing.

mod attention;
mod cancel;
mod change;
mod files;
mod hub;
mod meaning;
mod search;

pub use change::Target;
pub use files::{Announced, Cleared, FileLimits, Files, Usage};
pub use hub::{Hub, Said};
pub use search::{Hit, Hits};
