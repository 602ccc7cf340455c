//! The integration tests: one binary, one file per subject.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there; this lint knows only functions marked as tests"
)]

mod actions;
mod admin;
mod approvals;
mod attention;
mod audit;
mod bots;
mod browser;
mod changes;
mod commands;
mod connectors;
mod cors;
mod crashes;
mod dialogs;
mod discord;
mod document_001;
mod document_002;
mod document_003;
mod doors;
mod durability;
mod files;
mod floors;
mod flow_crashes;
mod flows;
mod gallery;
mod grants;
mod keys;
mod limits;
mod messages;
mod neighbours;
mod oidc;
mod oidc_hostile;
mod outside_files;
mod people;
mod presence;
mod rates;
mod remote;
mod remote_messages;
mod schedules;
mod scim;
mod scim_peer;
mod scripts;
mod search;
mod services;
mod sessions;
mod sign_ins;
mod simulator;
mod slack;
mod slack_crashes;
mod slack_install;
mod sockets;
mod support;
mod tickets;
mod two_users;
mod webhooks;
mod zitadel;
