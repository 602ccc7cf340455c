//! What webhooks are told of runs.

use serde_json::{Value, json};

use crate::bus::Frame;
use crate::clock::rfc3339;
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::execution::ExecutionStatus;
use crate::model::id::new_id;
use crate::model::webhook::Topic;
use crate::store::query::{Failure, query};
use crate::store::transaction::{Transaction, failed};

/// The longest output that is told, in bytes; who wants a longer one reads it.
const LONGEST_OUTPUT: usize = 16 * 1024;

impl Transaction<'_> {
    /// Tells the webhooks that listen of a run that has begun or ended. It reads the run back, so it comes after what
    /// changed it, and costs nothing while nobody listens.
    pub(in crate::store) async fn tell_hooks(
        &mut self,
        execution: &str,
        status: ExecutionStatus,
        at: Millis,
    ) -> Result<()> {
        if !self.is_heard() {
            return Ok(());
        }
        let topics = Topic::of(status);
        if topics.is_empty() {
            return Ok(());
        }
        let find = query(
            "SELECT e.bot, e.command, e.principal, e.responses, e.error, e.created_at, e.finished_at, r.kind, r.source, \
             r.output FROM executions e LEFT JOIN runs r ON r.execution = e.id WHERE e.id = $1",
        );
        let Some(row) = self.optional(find.bind(execution)).await? else { return Ok(()) };
        let read = || -> Result<(String, Value), Failure> {
            let (bot, command): (String, String) = (row.get(0)?, row.get(1)?);
            let (said, error): (String, Option<String>) = (row.get(3)?, row.get(4)?);
            let (kind, source): (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
            // What a command says is what it gives; a document gives values.
            let (workflow, output) = match source.filter(|_| kind.is_some_and(|kind| kind != "command")) {
                Some(source) => (source, row.get::<Option<String>>(9)?.unwrap_or_else(|| "null".to_owned())),
                None if bot.is_empty() => (command, said),
                None => (format!("{bot}/{command}"), said),
            };
            let is_long = output.len() > LONGEST_OUTPUT;
            let output: Value = if is_long { Value::Null } else { serde_json::from_str(&output).unwrap_or_default() };
            let data = json!({
                "workflowId": workflow,
                "executionId": execution,
                "status": status.as_str(),
                "output": output,
                "outputOmitted": is_long,
                "error": error,
                "startedBy": row.get::<String>(2)?,
                "startedAt": rfc3339(row.get(5)?),
                "endedAt": row.get::<Option<i64>>(6)?.map(rfc3339),
            });
            Ok((row.get(2)?, data))
        };
        let (principal, data) = read().map_err(failed)?;
        for topic in topics {
            self.tell_topic(topic.as_str(), &principal, &data, at).await?;
        }
        Ok(())
    }

    async fn tell_topic(&mut self, topic: &str, principal: &str, data: &Value, at: Millis) -> Result<()> {
        let message = new_id();
        let payload = payload(topic, data, at);
        // One statement however many listen; the names of topics hold neither % nor _.
        let family = topic.split('.').next().unwrap_or_default();
        let tell = query(
            "INSERT INTO webhook_deliveries (id, webhook, message, event, payload, state, attempt, ready_at, created_at) \
             SELECT $1 || '.' || w.id, w.id, $1, $2, $3, 'waiting', 0, $4, $4 FROM webhooks w \
             WHERE w.state = 'active' AND (w.hears_all = 1 OR w.owner = $5) \
             AND (w.events LIKE $6 OR w.events LIKE $7 OR w.events LIKE '%,*,%')",
        );
        let tell = tell
            .bind(&message)
            .bind(topic)
            .bind(&payload)
            .bind(at)
            .bind(principal)
            .bind(format!("%,{topic},%"))
            .bind(format!("%,{family}.*,%"));
        if self.write(tell).await? > 0 {
            self.announce(Frame::Telling);
        }
        Ok(())
    }
}

/// What a webhook is told, in the words of all who listen.
pub fn payload(topic: &str, data: &Value, at: Millis) -> String {
    let at = rfc3339(at);
    json!({ "event": topic, "type": topic, "event_type": topic, "timestamp": at, "instance_id": "parlour", "data": data })
        .to_string()
}
