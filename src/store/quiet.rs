//! Whether anything goes on by itself.

use super::Store;
use super::query::query;
use super::transaction::failed;
use crate::model::Result;
use crate::model::conversation::Millis;

/// What will change without anybody's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrest {
    /// Things that are under way or due.
    pub under_way: i64,
    /// When the next step is tried again that failed.
    pub tries_again_at: Option<Millis>,
}

impl Store {
    /// Looks at all that somebody works on: steps, deliveries, approvals, dialogs. What waits for time or for people is at rest.
    pub async fn unrest(&self, now: Millis) -> Result<Unrest> {
        let due = self.due_steps(now).await?;
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT (SELECT count(*) FROM steps s JOIN runs r ON r.execution = s.execution WHERE r.is_open = 1 \
             AND (s.status = 'running' OR (s.status = 'ready' AND s.ready_at <= $1 AND r.wish = 'run'))) \
             + (SELECT count(*) FROM deliveries WHERE state <> 'done' AND ready_at <= $1) \
             + (SELECT count(*) FROM approvals WHERE state = 'approved' OR (state = 'approve' AND notified = 0) \
             OR (state IN ('confirm', 'approve') AND expires_at <= $1)) \
             + (SELECT count(*) FROM dialogs WHERE expires_at <= $1 OR reminds_at <= $1), \
             (SELECT min(s.ready_at) FROM steps s JOIN runs r ON r.execution = s.execution WHERE r.is_open = 1 \
             AND s.status = 'ready' AND s.ready_at > $1 AND r.wish = 'run')",
        );
        let row = find.bind(now).one(&mut reader.connection()).await.map_err(failed)?;
        let under_way: i64 = row.get(0).map_err(failed)?;
        let tries_again_at = row.get(1).map_err(failed)?;
        Ok(Unrest { under_way: under_way + i64::from(!due.is_empty()), tries_again_at })
    }
}
