//! The integration tests: one binary, one file per subject.

mod commands;
mod floors;
mod sessions;
mod support;
