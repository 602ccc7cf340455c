//! Floor 1, pure: the intent language and the matcher. No input, no output, no clock.
//!
//! [`Pattern::parse`] reads one intent and says what is wrong with it, where. [`Index::build`] puts the patterns of all
//! bots into one immutable index; [`Index::resolve`] finds the one command a text means.
