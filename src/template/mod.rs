//! Floor 1, pure: handlebars templates under limits.
