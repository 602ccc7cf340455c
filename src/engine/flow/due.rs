//! Whether anything in the database can be due: asked for each step, a look there would cost as much as the step.

use std::sync::{Mutex, PoisonError};

use crate::engine::plan::{StepStatus, Wish};
use crate::model::conversation::Millis;
use crate::store::run::RunState;
use crate::store::step::StepRow;

/// What one server, which has its database for itself, knows of what is due next.
pub(super) struct Due {
    known: Mutex<Known>,
}

struct Known {
    /// Something may be due, or due earlier than was known.
    stirred: bool,
    next: Option<Millis>,
}

impl Due {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self { known: Mutex::new(Known { stirred: true, next: None }) }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Known) -> R) -> R {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether certainly nothing is due.
    pub(super) fn is_nothing(&self, now: Millis) -> bool {
        self.with(|known| !known.stirred && known.next.is_none_or(|next| next > now))
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.with(|known| known.next)
    }

    /// What is committed from now on counts anew.
    pub(super) fn looked(&self) {
        self.with(|known| (known.stirred, known.next) = (false, None));
    }

    /// What the database says; what was told meanwhile may be earlier.
    pub(super) fn is_next(&self, next: Option<Millis>) {
        next.into_iter().for_each(|next| self.is_at_the_latest(next));
    }

    pub(super) fn is_at_the_latest(&self, at: Millis) {
        self.with(|known| known.next = Some(known.next.map_or(at, |next| next.min(at))));
    }

    pub(super) fn stir(&self) {
        self.with(|known| known.stirred = true);
    }
}

/// Whether nothing of a run as it was committed has to be looked for: its steps have ended or may begin at once.
pub(super) fn is_plain<'r>(rows: impl IntoIterator<Item = &'r StepRow>, state: &RunState, now: Millis) -> bool {
    let ends = state.wish == Wish::Run.as_str() && state.deadline.is_none();
    ends && rows.into_iter().all(|row| match StepStatus::parse(&row.status) {
        Some(StepStatus::Ready) => row.ready_at.is_some_and(|at| at <= now),
        Some(StepStatus::Active) => row.deadline.is_none(),
        Some(status) => status.is_final(),
        None => false,
    })
}
