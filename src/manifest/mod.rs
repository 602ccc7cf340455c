//! Floor 3: files to model. Bots are folders; what is wrong with one is said with file, line and column.
//!
//! [`load`](load::load) reads whole directories, all or nothing per bot. [`check`](check::check) is the same with a
//! rehearsal, for people and for CI. [`Watcher`] says when to load again.

mod access;
mod approval;
mod bot;
pub mod bot_test;
pub mod check;
mod command;
pub mod connector;
mod cursor;
mod document;
mod fault;
pub mod flow;
mod folder;
mod load;
mod parameter;
mod pasted;
mod reference;
mod remote;
mod reply;
mod sample;
mod sheet;
mod steps;
mod watch;
mod yaml;

pub use bot::{API_VERSION, FILE, KEYS as BOT_KEYS};
pub use command::{DATA_SOURCES, KEYS as COMMAND_KEYS, MAPPED_SOURCES};
pub use document::Document;
pub use fault::{Fault, Level};
pub use folder::FILE_BYTES;
pub use load::{Loaded, LoadedBot, Outcome, load, load_dir};
pub use parameter::KEYS as PARAMETER_KEYS;
pub use pasted::pasted;
pub use watch::Watcher;

#[cfg(test)]
mod tests;
