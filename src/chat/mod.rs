//! Floor 6: conversations in, messages out.
//!
//! [`Hub`] opens and closes conversations and takes what is done in them: `say` takes words, `command` commands, `action`
//! what is done at a message. `meaning` decides what a text means, `dialog` what a command still needs and what to ask
//! next (both pure), `asking` makes turns of questions and answers, `expiry` ends what nobody answered, `change` edits
//! messages and takes them back, `search` finds them, `cancel` stops runs, `files` are sent along, `attention` keeps read marks and passes on who is writing.
//! `outside` takes in what comes from other chats, such as `slack`.

mod action;
mod asking;
mod attention;
mod cancel;
mod change;
mod command;
mod dialog;
pub mod discord;
mod expiry;
mod files;
mod hub;
mod meaning;
pub mod outside;
mod say;
mod search;
pub mod slack;

pub use action::Choice;
pub use change::Target;
pub use command::Order;
pub use expiry::Patience;
pub use files::{Announced, Cleared, FileLimits, Files, Usage};
pub use hub::Hub;
pub use say::Said;
pub use search::{Hit, Hits};
