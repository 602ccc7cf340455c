//! Tests over the whole module; what one file does alone is tested there.

mod building;
mod language;
mod linting;
mod ranking;
