//! Where outside conversations are held.

use super::Store;
use super::query::query;
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Conversation;
use crate::model::event::NewEvent;
use crate::model::place::Place;

struct OpenAt {
    conversation: Conversation,
    announcement: NewEvent,
    place: String,
}

const HELD: &str = "SELECT c.id FROM conversation_places p JOIN conversations c ON c.id = p.conversation \
                    WHERE p.place = $1 AND p.owner = $2 AND c.status = 'active'";

impl Work for OpenAt {
    type Output = String;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<String> {
        let Self { conversation, announcement, place } = self;
        let held = query(HELD).bind(place).bind(&conversation.owner);
        if let Some(row) = transaction.optional(held).await? {
            return row.get(0).map_err(failed);
        }
        transaction.insert_conversation(conversation).await?;
        let keep = query(
            "INSERT INTO conversation_places (place, owner, conversation) VALUES ($1, $2, $3) \
             ON CONFLICT (place, owner) DO UPDATE SET conversation = excluded.conversation",
        );
        transaction.write(keep.bind(place).bind(&conversation.owner).bind(&conversation.id)).await?;
        transaction.append(std::slice::from_ref(announcement), None).await?;
        Ok(conversation.id.clone())
    }
}

impl Store {
    /// Opens a conversation at a place, unless its owner has an open one there; answers the id of the one that is.
    pub async fn open_conversation_at(
        &self,
        conversation: Conversation,
        announcement: NewEvent,
        place: &Place,
    ) -> Result<String> {
        self.write(OpenAt { conversation, announcement, place: place.to_string() }).await
    }

    /// The open conversation that somebody has at a place.
    pub async fn conversation_at(&self, place: &Place, owner: &str) -> Result<Option<String>> {
        let mut reader = self.reader().await?;
        let find = query(HELD).bind(place.to_string()).bind(owner);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| row.get(0).map_err(failed)).transpose()
    }

    /// Whether anybody has, or had, a conversation at a place.
    pub async fn is_held_at(&self, place: &Place) -> Result<bool> {
        let mut reader = self.reader().await?;
        let find = query("SELECT place FROM conversation_places WHERE place = $1 LIMIT 1").bind(place.to_string());
        Ok(find.optional(&mut reader.connection()).await.map_err(failed)?.is_some())
    }

    /// Where outside a conversation is held.
    pub async fn places_of(&self, conversation: &str) -> Result<Vec<Place>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT place FROM conversation_places WHERE conversation = $1 ORDER BY place");
        let rows = find.bind(conversation).all(&mut reader.connection()).await.map_err(failed)?;
        let places = rows.iter().map(|row| row.get::<String>(0).map_err(failed));
        Ok(places.collect::<Result<Vec<_>>>()?.iter().filter_map(|text| Place::parse(text)).collect())
    }
}
