//! The step that a worker goes on with: claimed in the commit of the result that made it ready, which saves the queue, a
//! transaction and reading the run.

use std::collections::BTreeSet;

use crate::engine::plan::{Journal, StepStatus};
use crate::model::conversation::Millis;
use crate::store::run::Run;
use crate::store::step::{Claim, Claimed, Hold, Lease, StepRow};

/// A step that was claimed in the commit that made it ready.
pub(super) struct Next {
    pub(super) step: Claimed,
    /// The run as it is now.
    pub(super) run: Run,
}

impl Next {
    pub(super) fn new(claim: Claim, row: StepRow, run: Run) -> Self {
        let step = Claimed {
            claim,
            effect: row.effect,
            round: row.round,
            timeout: row.timeout,
            input: row.input,
            begun: row.intent.is_some(),
            cause: run.cause.clone(),
            metadata: run.metadata.clone(),
        };
        Self { step, run }
    }
}

/// A run as it was after its last commit here: its revision tells whether it has come further since.
pub(super) struct Known {
    pub(super) run: Run,
    pub(super) journal: Journal,
}

/// The steps that were ready before: another worker may have taken one, which changes no revision.
#[derive(Default)]
pub(super) struct Offered(BTreeSet<String>);

impl Offered {
    pub(super) fn of(journal: &Journal) -> Self {
        let ready = journal.rows.values().filter(|row| row.status == StepStatus::Ready);
        Self(ready.map(|row| row.path.clone()).collect())
    }
}

/// Claims the first step that may begin at once and that nobody else can have; answers its row.
pub(super) fn take_next(
    rows: &mut [(StepRow, Hold)],
    journal: &mut Journal,
    offered: &Offered,
    lease: Lease,
    now: Millis,
) -> Option<StepRow> {
    let may = |row: &StepRow, hold: &Hold| {
        row.status == StepStatus::Ready.as_str()
            && row.ready_at.is_some_and(|at| at <= now)
            && matches!(hold, Hold::Keep)
            && !offered.0.contains(&row.path)
    };
    let (row, hold) = rows.iter_mut().filter(|(row, hold)| may(row, hold)).min_by_key(|(row, _)| row.position)?;
    let planned = journal.rows.get_mut(&row.path)?;
    row.take(now);
    *hold = Hold::Lease(lease);
    planned.status = StepStatus::Running;
    (planned.fence, planned.intent, planned.deadline) = (row.fence, row.intent, row.deadline);
    Some(row.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::flow::rows;
    use crate::engine::plan::Row;
    use crate::flow::Effect;

    const NOW: Millis = 1_000;

    fn ready(path: &str, position: i64, effect: Effect) -> Row {
        let (ready_at, timeout) = (Some(NOW), Some(200));
        Row { effect, ready_at, timeout, fence: 3, ..Row::new(path, StepStatus::Ready, position, NOW) }
    }

    /// Which step is taken of these, what became of its row, and the journal.
    fn taken(of: Vec<(Row, Hold)>, offered: &Offered) -> (Option<StepRow>, Journal) {
        let mut journal = Journal::default();
        let mut written = Vec::new();
        for (row, hold) in of {
            written.push((rows::row(&row).unwrap(), hold));
            journal.rows.insert(row.path.clone(), row);
        }
        let lease = Lease { worker: "w".to_owned(), until: NOW + 1 };
        let row = take_next(&mut written, &mut journal, offered, lease, NOW);
        let leased = written.iter().filter(|(_, hold)| matches!(hold, Hold::Lease(_))).count();
        assert_eq!(leased, usize::from(row.is_some()));
        (row, journal)
    }

    #[test]
    fn the_first_that_is_ready_is_taken() {
        let of = vec![(ready("b", 2, Effect::Keyed), Hold::Keep), (ready("a", 1, Effect::Keyed), Hold::Keep)];
        let (row, journal) = taken(of, &Offered::default());
        let row = row.unwrap();
        assert_eq!((row.path.as_str(), row.status.as_str(), row.fence), ("a", "running", 4));
        assert_eq!((row.intent, row.deadline), (Some(4), Some(NOW + 200 + crate::store::step::GRACE)));
        // What the plan sees next time is what the database has.
        assert_eq!(rows::row(&journal.rows["a"]).unwrap().status, "running");
        assert_eq!((journal.rows["a"].fence, journal.rows["a"].intent), (4, Some(4)));
        assert_eq!(journal.rows["b"].status, StepStatus::Ready);
    }

    #[test]
    fn what_may_happen_once_only_is_not_begun_by_being_taken() {
        let (row, journal) = taken(vec![(ready("a", 1, Effect::Once), Hold::Keep)], &Offered::default());
        assert_eq!(row.unwrap().intent, None);
        assert_eq!(journal.rows["a"].intent, None);
    }

    #[test]
    fn what_is_not_ready_or_may_be_anothers_is_left() {
        let later = Row { ready_at: Some(NOW + 1), ..ready("a", 1, Effect::Pure) };
        let waits = Row { status: StepStatus::Waiting, ..ready("a", 1, Effect::Pure) };
        for of in [(later, Hold::Keep), (waits, Hold::Keep), (ready("a", 1, Effect::Pure), Hold::Fence)] {
            assert!(taken(vec![of], &Offered::default()).0.is_none());
        }
        let mut journal = Journal::default();
        journal.rows.insert("a".to_owned(), ready("a", 1, Effect::Pure));
        let (row, _) = taken(vec![(ready("a", 1, Effect::Pure), Hold::Keep)], &Offered::of(&journal));
        assert!(row.is_none());
    }
}
