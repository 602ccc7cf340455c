//! What steps call: connectors and browsers, in the words of the engine.

use std::sync::Arc;

use serde_json::Value;

use crate::browser::{self, Browsers};
use crate::connector::{Call, Connectors};
use crate::engine::plan::Fault;
use crate::flow::Effect;

/// The connectors of this installation, and its browsers.
pub struct Actions {
    connectors: Arc<Connectors>,
    browsers: Arc<Browsers>,
}

impl Actions {
    pub fn new(connectors: Arc<Connectors>, browsers: Arc<Browsers>) -> Self {
        Self { connectors, browsers }
    }

    /// What calling an action again would do; none when there is no such action.
    pub(super) fn effect(&self, connector: &str, action: &str, input: &Value) -> Option<Effect> {
        match connector {
            browser::CONNECTOR => Browsers::effect(action),
            _ => self.connectors.effect(connector, action, input),
        }
    }

    pub(super) async fn call(&self, run: &str, call: Call<'_>) -> Result<Value, Fault> {
        if call.connector == browser::CONNECTOR {
            let done = self.browsers.call(run, call.action, &call.input).await;
            return done.map_err(|failure| Fault {
                retryable: failure.retryable,
                uncertain: failure.uncertain,
                ..Fault::new(failure.code, failure.message)
            });
        }
        self.connectors.call(call).await.map_err(|failure| Fault {
            retryable: failure.retryable,
            retry_after: failure.retry_after.and_then(|pause| i64::try_from(pause.as_millis()).ok()),
            uncertain: failure.uncertain,
            ..Fault::new(failure.code, failure.message)
        })
    }

    /// Gives back what a run held that is over.
    pub(super) fn end(&self, run: &str) {
        self.browsers.end(run);
    }
}
