//! Parlour: a self-hosted conversational automation platform.

pub mod bus;
pub mod clock;
pub mod config;
pub mod identity;
pub mod intent;
pub mod model;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod template;
