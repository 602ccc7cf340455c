//! The integration tests: one binary, one file per subject.

mod attention;
mod bots;
mod changes;
mod commands;
mod doors;
mod durability;
mod floors;
mod search;
mod sessions;
mod sockets;
mod support;
mod tickets;
