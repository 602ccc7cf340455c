//! What steps call: connectors.

use std::time::Duration;

use serde_json::Value;

use crate::engine::plan::Fault;
use crate::flow::EffectClass;
use crate::model::principal::Principal;

/// One call of a connector.
pub struct Call<'a> {
    pub connector: &'a str,
    pub action: &'a str,
    pub input: Value,
    /// The credential it is made with.
    pub credential: Option<&'a str>,
    pub principal: &'a Principal,
    pub idempotency_key: &'a str,
    pub timeout: Duration,
}

/// The connectors of this installation.
#[derive(Default)]
pub struct Actions {}

impl Actions {
    /// How often an action may be called without harm; none when there is no such action.
    pub fn effect(&self, _connector: &str, _action: &str, _input: &Value) -> Option<EffectClass> {
        None
    }

    pub async fn call(&self, call: Call<'_>) -> Result<Value, Fault> {
        let Call { connector, action, .. } = call;
        Err(Fault::new("unknown_action", format!("there is no action {connector}.{action} here")))
    }
}
