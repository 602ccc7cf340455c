//! The integration tests: one binary, one file per subject.

mod commands;
mod doors;
mod floors;
mod sessions;
mod sockets;
mod support;
