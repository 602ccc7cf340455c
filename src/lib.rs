#![doc = include_str!("README.md")]

pub mod api;
pub mod app;
pub mod bus;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod identity;
pub mod intent;
pub mod manifest;
pub mod model;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod template;
