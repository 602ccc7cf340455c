//! The integration tests: one binary, one file per subject.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there; this lint knows only functions marked as tests"
)]

mod actions;
mod admin;
mod attention;
mod audit;
mod bots;
mod changes;
mod commands;
mod cors;
mod crashes;
mod dialogs;
mod document_002;
mod document_003;
mod doors;
mod durability;
mod files;
mod floors;
mod flow_crashes;
mod flows;
mod gallery;
mod keys;
mod limits;
mod messages;
mod neighbours;
mod oidc;
mod oidc_hostile;
mod presence;
mod rates;
mod remote;
mod search;
mod sessions;
mod sockets;
mod support;
mod tickets;
