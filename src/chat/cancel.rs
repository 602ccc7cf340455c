//! Stopping a run that was started in a conversation.

use serde_json::json;

use super::Hub;
use crate::identity::permission::Verb;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};

impl Hub {
    /// Cancels a run of this conversation; cancelling a cancelled one changes nothing.
    pub async fn cancel(&self, principal: &Principal, conversation: &str, invocation: &str) -> Result<()> {
        let unknown = || {
            Error::not_found("there is no such invocation in this session")
                .details(json!({ "invocation_id": invocation }))
        };
        let conversation = self.conversation(principal, conversation, Verb::View).await?;
        let run = self.store().execution(invocation).await?;
        let run = run.filter(|run| run.conversation.as_deref() == Some(&*conversation.id)).ok_or_else(unknown)?;
        self.engine.cancel(principal, &run).await.map_err(|error| match error.kind {
            // Somebody else's run is none to this caller.
            Kind::NotFound => unknown(),
            _ => error,
        })
    }
}
