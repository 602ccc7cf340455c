//! What several tests need: servers to test against and ways to read the sources. No tests of Parlour itself.

pub(crate) mod directory;
pub(crate) mod discord;
pub(crate) mod log;
pub(crate) mod mail;
pub(crate) mod peer;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod rust_source;
pub(crate) mod server;
pub(crate) mod sink;
pub(crate) mod slack;
pub(crate) mod visitor;
