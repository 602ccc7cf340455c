//! Tests over the whole module; what one file does alone is tested there.

mod building;
mod helping;
mod language;
mod linting;
mod properties;
mod ranking;
