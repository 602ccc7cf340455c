//! Ids: UUIDs of version 7, so that they sort by the time they were made.

use uuid::Uuid;

/// A new id as text, for a row that exists from now on.
pub fn new_id() -> String {
    #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
    let id = Uuid::now_v7();
    id.to_string()
}
