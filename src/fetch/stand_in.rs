//! Something that answers instead of the world.

use std::fmt;
use std::sync::Arc;

use super::{Failure, Request, Response};

/// Answers every request; nothing leaves.
#[derive(Clone)]
pub struct StandIn(Arc<dyn Fn(Request) -> Result<Response, Failure> + Send + Sync>);

impl StandIn {
    pub fn new(answer: impl Fn(Request) -> Result<Response, Failure> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    pub(super) fn answer(&self, request: Request) -> Result<Response, Failure> {
        (self.0)(request)
    }
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StandIn")
    }
}
