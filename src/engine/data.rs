//! What a template sees: who asks, where, with which arguments, and the facts a command asks for by name.

use serde_json::{Map, Value, json};

use super::Engine;
use super::invoke::Prepared;
use crate::clock::rfc3339;
use crate::model::command::Command;
use crate::model::conversation::Millis;
use crate::model::parameter::ParameterType;
use crate::model::principal::Principal;
use crate::model::{Error, Result};

const DAY: Millis = 24 * 60 * 60 * 1000;

/// Everything a command's reply may use.
pub(super) async fn context(engine: &Engine, principal: &Principal, prepared: &Prepared) -> Result<Value> {
    let mut context = Map::new();
    let Prepared { command, source, .. } = prepared;
    context.insert("parameters".into(), parameters(prepared));
    context.insert("mapped".into(), json!(prepared.mapped));
    context.insert(
        "user".into(),
        json!({ "id": principal.id, "name": principal.name, "roles": principal.roles, "groups": principal.groups }),
    );
    context.insert("channel".into(), json!({ "type": source.channel, "id": source.conversation }));
    context.insert("conversation".into(), json!({ "id": source.conversation }));
    context.insert(
        "command".into(),
        json!({ "name": command.name, "description": command.description, "bot": command.bot }),
    );
    context.insert("matches".into(), json!(prepared.matches));
    for (name, wanted) in &command.data {
        let value = fact(engine, principal, prepared, wanted).await?;
        context.insert(name.clone(), value);
    }
    Ok(Value::Object(context))
}

/// The arguments by their types; a declared parameter without a value is `null`, so that `{{#if}}` can ask for it.
pub(super) fn parameters(prepared: &Prepared) -> Value {
    let typed = |kind: &ParameterType, text: &str| match kind {
        ParameterType::Boolean => Value::Bool(text == "true"),
        ParameterType::Integer | ParameterType::Number => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        ParameterType::Json => serde_json::from_str(text).unwrap_or(Value::Null),
        ParameterType::List => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
        _ => json!(text),
    };
    let value = |parameter: &crate::model::parameter::Parameter| {
        prepared.arguments.get(&parameter.name).map_or(Value::Null, |text| typed(&parameter.kind, text))
    };
    let command: &Command = &prepared.command;
    Value::Object(command.parameters.iter().map(|p| (p.name.clone(), value(p))).collect())
}

/// One fact of the closed list.
async fn fact(engine: &Engine, principal: &Principal, prepared: &Prepared, name: &str) -> Result<Value> {
    let now = engine.clock().now();
    let timestamp = jiff::Timestamp::from_millisecond(now).map_err(|error| Error::internal("read the clock", error))?;
    let today = timestamp.to_zoned(jiff::tz::TimeZone::UTC);
    Ok(match name {
        "now.iso" => json!(rfc3339(now)),
        "now.date" => json!(today.strftime("%Y-%m-%d").to_string()),
        "now.time" => json!(today.strftime("%H:%M").to_string()),
        "now.iso_week" => json!(today.strftime("%V").to_string().trim_start_matches('0')),
        "installation.version" => json!(env!("CARGO_PKG_VERSION")),
        "installation.uptime" => json!(spell_duration(now - engine.started_at())),
        "installation.started_at" => json!(rfc3339(engine.started_at())),
        "installation.status" => status(engine, &prepared.snapshot, now).await?,
        "installation.bots" => {
            let visible = prepared.snapshot.visible_bots(principal);
            visible
                .iter()
                .map(|(bot, status)| json!({ "name": bot.bot.name, "status": status.word(), "commands": bot.bot.commands.len() }))
                .collect()
        }
        "installation.online" => {
            let present = engine.bus().present();
            present.iter().map(|present| json!({ "name": present.name, "since": clock_time(present.since) })).collect()
        }
        "installation.stats" => {
            let runs = engine.store().runs_since(now - 7 * DAY).await?;
            json!({ "runs": runs.total, "failed": runs.failed, "by_bot": runs.by_bot })
        }
        "installation.recent" => {
            // Whoever does not run the installation sees their own runs only.
            let whose = (!principal.is_admin()).then_some(principal.id.as_str());
            let runs = engine.store().recent_executions(whose, 10).await?;
            runs.iter()
                .map(|run| {
                    json!({
                        "command": run.command, "bot": run.bot, "by": run.principal_name,
                        "status": run.status.as_str(), "when": clock_time(run.created_at),
                    })
                })
                .collect()
        }
        unknown => return Err(Error::internal("fill a template", format!("there is no data {unknown}"))),
    })
}

async fn status(engine: &Engine, snapshot: &super::registry::Snapshot, now: Millis) -> Result<Value> {
    let runs = engine.store().runs_since(now - now.rem_euclid(DAY)).await?;
    let degraded = snapshot.statuses().filter(|(_, status)| status.detail().is_some()).count();
    Ok(json!({
        "state": if degraded == 0 { "ok" } else { "degraded" },
        "database": engine.store().version(),
        "conversations": engine.store().open_conversations().await?,
        "executions_today": runs.total,
        "failed_today": runs.failed,
        "bots": snapshot.statuses().count(),
        "bots_degraded": degraded,
    }))
}

/// `12:03`, in UTC.
pub(super) fn clock_time(at: Millis) -> String {
    match jiff::Timestamp::from_millisecond(at) {
        Ok(timestamp) => timestamp.strftime("%H:%M").to_string(),
        Err(_) => String::new(),
    }
}

/// `3 h 12 min`: the two largest units that say something.
fn spell_duration(millis: Millis) -> String {
    let seconds = millis.max(0) / 1000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut words = Vec::new();
    for (size, unit) in units.iter().skip(first).take(2) {
        if rest >= *size || words.is_empty() {
            words.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spelled_in_two_units() {
        for (seconds, words) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (11_520, "3 h 12 min"), (3_600, "1 h"), (90_061, "1 d 1 h")]
        {
            assert_eq!(spell_duration(seconds * 1000), words);
        }
    }
}
