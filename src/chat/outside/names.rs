//! Names of channels, as far as their chat tells them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Via;
use crate::model::place::Place;

/// How long a name counts before it is asked for again: channels are renamed.
const LIFE: Duration = Duration::from_secs(60 * 60);
/// The same for a name that could not be had.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a name is waited for: what somebody said does not depend on it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names that are remembered.
const MOST: usize = 10_000;

/// What channels are called, by their lanes.
#[derive(Default)]
pub struct ChannelNames {
    known: Mutex<HashMap<String, (Option<String>, Instant)>>,
}

impl ChannelNames {
    /// The name of the channel at a place; `ask` asks the chat when it is not known.
    pub async fn of(&self, place: &Place, ask: impl Future<Output = Option<String>>) -> Option<String> {
        let lane = place.lane();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&lane).cloned();
        if let Some((name, until)) = known
            && until > Instant::now()
        {
            return name;
        }
        let name = tokio::time::timeout(PATIENCE, ask).await.ok().flatten().filter(|name| !name.is_empty());
        let until = Instant::now() + if name.is_some() { LIFE } else { PAUSE };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(lane, (name.clone(), until));
        name
    }
}

impl Via {
    /// Whether the chat did not say what the channel is called.
    pub(super) fn is_nameless(&self) -> bool {
        self.channel.name == self.channel.id && self.channel.kind == "channel"
    }

    pub(super) fn name_channel(&mut self, name: String) {
        if let Some(channel) = self.detail.get_mut("channel") {
            channel["name"] = name.as_str().into();
        }
        self.channel.name = name;
    }
}
