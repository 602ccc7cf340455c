//! A file that was sent along with a message.

use serde::{Deserialize, Serialize};

/// What readers of a message learn of a file; its bytes are fetched by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct File {
    pub id: String,
    /// As its sender called it, without a folder.
    pub name: String,
    /// As its content says, whatever its name or its sender said.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
}
