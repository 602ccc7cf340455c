//! Floor 0: the nouns. Plain values without input or output; every other floor may use them.
//!
//! Start reading at [`bot`] and [`command`] for what can be said, [`message`] for what is answered,
//! [`event`] for how both are kept, and [`error`] for how anything fails.

pub mod action;
pub mod approval;
pub mod bot;
pub mod command;
pub mod conversation;
pub mod effect;
pub mod error;
pub mod event;
pub mod execution;
pub mod file;
pub mod grant;
pub mod id;
pub mod message;
pub mod name;
pub mod offer;
pub mod parameter;
pub mod person;
pub mod place;
pub mod principal;
pub mod secret;
pub mod webhook;

pub use error::{Error, Kind, Result};
