//! What steps call: connectors, in the words of the engine.

use std::sync::Arc;

use serde_json::Value;

use crate::connector::{Call, Connectors};
use crate::engine::plan::Fault;
use crate::flow::Effect;

/// The connectors of this installation.
pub struct Actions {
    connectors: Arc<Connectors>,
}

impl Actions {
    pub fn new(connectors: Arc<Connectors>) -> Self {
        Self { connectors }
    }

    /// What calling an action again would do; none when there is no such action.
    pub(super) fn effect(&self, connector: &str, action: &str, input: &Value) -> Option<Effect> {
        self.connectors.effect(connector, action, input)
    }

    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, Fault> {
        self.connectors.call(call).await.map_err(|failure| Fault {
            retryable: failure.retryable,
            retry_after: failure.retry_after.and_then(|pause| i64::try_from(pause.as_millis()).ok()),
            uncertain: failure.uncertain,
            ..Fault::new(failure.code, failure.message)
        })
    }
}
