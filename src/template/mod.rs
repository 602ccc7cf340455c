//! Floor 1, pure: handlebars templates under limits.
//!
//! A bot's author writes templates, anybody's words end up in them. So a template is read once, when the bot is loaded,
//! and everything that can be wrong with it is said then, with line and column: a name that does not exist, a helper
//! that does not exist, a template that includes itself. What is left for the render is cheap and bounded: no template
//! reaches a file, the environment, a secret or the clock, and every value is escaped for the place it lands in.
//!
//! [`Template`] is one text, [`reply::Compiled`] a whole message whose strings are templates.

mod check;
mod context;
mod escape;
mod fault;
mod helpers;
mod nearest;
mod partials;
mod render;
pub mod reply;
mod scan;

pub use check::{Names, ROOTS};
pub use context::Context;
pub use fault::Fault;
pub use nearest::nearest;
pub use partials::Partials;
pub use render::{Budget, Template};

/// What a rendered text is read as, and so how the values in it are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Markdown: no value can become markup.
    Markdown,
    /// Plain text, as in a code block or a button: nothing is markup, so nothing is escaped.
    Plain,
    /// JSON: values are escaped as the inside of a JSON string, `{{json x}}` writes a whole JSON value.
    Json,
}

/// The partials that `source` includes, in order; none when it cannot be read.
pub fn includes(source: &str) -> Vec<String> {
    if !source.contains("{{") {
        return Vec::new();
    }
    scan::scan(source).map(|scan| scan.includes.into_iter().map(|include| include.name).collect()).unwrap_or_default()
}

/// What one template, and one render, may cost.
pub mod limit {
    use std::time::Duration;

    /// The longest source of one template or partial, in bytes.
    pub const SOURCE_BYTES: usize = 64 * 1024;
    /// The longest text one render may produce, in bytes; for a reply, all its texts together.
    pub const OUTPUT_BYTES: usize = 256 * 1024;
    /// How deep blocks may nest, `else if` chains and partials included.
    pub const DEPTH: usize = 64;
    /// How deep expressions in parentheses may nest.
    pub const EXPRESSION_DEPTH: usize = 16;
    /// How much source a template may have once every partial is put in its place, in bytes.
    pub const EXPANDED_BYTES: usize = 1024 * 1024;
    /// How long one render may take; for a reply, all its texts together.
    pub const TIME: Duration = Duration::from_millis(50);
}

#[cfg(test)]
mod tests;
