//! Who reads how far, and who is writing: what people want to know of each other beside what is said.

use super::Hub;
use crate::bus::Passing;
use crate::identity::permission::Verb;
use crate::model::message::{Sender, SenderKind};
use crate::model::principal::Principal;
use crate::model::{Error, Result};

impl Hub {
    /// Notes that the caller has read a conversation up to `read_seq`; answers where their mark stands now.
    pub async fn mark_read(&self, principal: &Principal, conversation: &str, read_seq: i64) -> Result<i64> {
        if read_seq < 0 {
            let error = Error::invalid("read_seq is the seq of an event");
            return Err(error.details(serde_json::json!({ "field": "read_seq" })));
        }
        let conversation = self.conversation(principal, conversation, Verb::View).await?;
        self.store().mark_read(&conversation.id, &principal.id, read_seq, self.engine.clock().now()).await
    }

    /// Tells who reads the conversation right now that the caller is writing. Nothing is stored.
    pub async fn typing(&self, principal: &Principal, conversation: &str) -> Result<()> {
        let conversation = self.conversation(principal, conversation, Verb::Chat).await?;
        let sender = Sender { kind: SenderKind::User, id: principal.id.clone(), name: principal.name.clone() };
        self.engine.bus().pass(Passing::typing(&conversation.id, &sender));
        Ok(())
    }
}
