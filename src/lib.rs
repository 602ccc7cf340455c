//! Parlour: a self-hosted conversational automation platform.

pub mod intent;
pub mod manifest;
pub mod model;
pub mod template;
