//! What of Slack's requests is kept: its name, its order, and nothing of conversations that are not ours.

use serde_json::{Value, json};

use super::{PLATFORM, Slack, Sort, read};
use crate::chat::outside::{Deed, Outside};
use crate::model::Result;
use crate::model::id::{new_id, sha256_hex};
use crate::store::inbox::NewArrival;

/// Something to be kept.
pub(super) struct Kept {
    pub(super) arrival: NewArrival,
    /// Whether Slack waits for what becomes of it.
    pub(super) is_form: bool,
}

impl Slack {
    /// What is to be kept of a request; none when it is nothing for us.
    pub(super) async fn arrival(&self, outside: &Outside, sort: Sort, body: Value) -> Result<Option<Kept>> {
        let payload = json!({ "sort": sort.as_str(), "body": body });
        let Some(inbound) = read::read(&payload, &self.settings) else { return Ok(None) };
        // What people say to each other is not kept, unless it is said where somebody talks with us.
        let is_ours = match &inbound.deed {
            Deed::Say { addressed, .. } => *addressed || outside.store().is_held_at(&inbound.via.place).await?,
            Deed::Edit { .. } | Deed::Unsay => match &inbound.via.reference {
                Some(reference) => outside.store().referred(&inbound.via.place, reference).await?.is_some(),
                None => false,
            },
            Deed::Run { .. } | Deed::Take { .. } | Deed::Submit { .. } => true,
        };
        if !is_ours {
            return Ok(None);
        }
        let body = &payload["body"];
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let event_id = text("/event_id").or(text("/trigger_id")).map(str::to_owned);
        let place = &inbound.via.place;
        // A mention comes as `message` and as `app_mention`, each with an id of its own.
        let message = match (&inbound.deed, &inbound.via.reference) {
            (Deed::Say { .. }, Some(ts)) => Some(format!("{}/{ts}", place.lane())),
            _ => None,
        };
        let arrival = NewArrival {
            id: new_id(),
            adapter: PLATFORM,
            event_id: event_id.unwrap_or_else(|| sha256_hex(payload.to_string().as_bytes())),
            message,
            lane: format!("{place}/{}", inbound.via.account.id),
            payload: payload.to_string(),
            at: outside.clock().now(),
        };
        Ok(Some(Kept { arrival, is_form: matches!(inbound.deed, Deed::Submit { .. }) }))
    }
}

impl Sort {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Interaction => "interaction",
            Self::Command => "command",
        }
    }
}
