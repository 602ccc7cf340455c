//! What every renderer keeps: each part as it should look, every limit for every message, and no text that becomes
//! more than text.

mod building;
mod discord;
mod peers;
mod plain;
mod slack;
