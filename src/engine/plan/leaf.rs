//! Steps that have none below them: done at once, put down for a worker, or waited for.

use serde_json::{Map, Value, json};

use super::journal::{Fault, Row, StepStatus};
use super::walk::{End, State, Walk};
use super::{Child, Emitted, Question, Saying};
use crate::clock::moment;
use crate::expression::in_words;
use crate::flow::{
    Ask, Call, Case, Dialect, Effect, Retry, RunBody, Step, Verb, Wait, parse_duration, text, write_duration,
};
use crate::model::conversation::Millis;
use crate::model::id::sha256_hex;
use crate::model::message::{Field, Message, Part, Tone};
use crate::template::Form;

/// How long one call may take when nothing is said about it.
const CALL_TIMEOUT: Millis = 5 * 60 * 1000;

/// How often it is tried to find out whether something happened before a person is asked.
const PROBES: i64 = 5;

impl Walk<'_> {
    /// What a step does.
    pub(super) fn verb(&mut self, step: &Step, path: &str) -> State {
        match &step.verb {
            Verb::Steps(steps) => {
                self.open(step, path);
                let state = self.list(steps, path);
                self.contain(step, path, state)
            }
            Verb::Switch(cases) => self.switch(step, path, cases),
            Verb::Parallel { fail_fast, branches } => self.parallel(step, path, branches, *fail_fast),
            Verb::Compensate(id) => {
                let target = self.target(id, path);
                self.open(step, path);
                let state = self.compensate(&target, path);
                self.contain(step, path, state)
            }
            Verb::Use(call) => self.call(step, call, path),
            Verb::Script { source } => self.script(step, source, path),
            Verb::Run(body) => self.child(step, body, path),
            Verb::Ask(ask) => self.ask(step, ask, path),
            Verb::Wait(wait) => self.wait(step, wait, path),
            Verb::Set(_)
            | Verb::Say(_)
            | Verb::Log { .. }
            | Verb::Fail { .. }
            | Verb::Cancel { .. }
            | Verb::Emit { .. } => self.at_once(step, path),
        }
    }

    fn has_begun(&self, path: &str) -> bool {
        self.journal.rows.get(path).is_some_and(|row| row.status != StepStatus::Pending)
    }

    fn expression(&mut self, path: &str, what: &str, why: &str) -> State {
        self.fail(path, Fault::new("expression_failed", format!("{what}: {why}")))
    }

    fn switch(&mut self, step: &Step, path: &str, cases: &[Case]) -> State {
        if self.open(step, path) {
            let mut chosen = Value::Null;
            for (index, case) in cases.iter().enumerate() {
                let holds = match &case.when {
                    None => Ok(true),
                    Some(when) => self.evaluator.holds(when, &self.scope.values),
                };
                match holds {
                    Ok(true) => {
                        chosen = json!(index);
                        break;
                    }
                    Ok(false) => {}
                    Err(why) => return self.expression(path, "when", &why),
                }
            }
            self.change(path, |row| row.data = json!({ "case": chosen }));
        }
        let chosen = self.journal.rows.get(path).and_then(|row| row.data["case"].as_u64());
        let chosen = chosen.and_then(|at| usize::try_from(at).ok());
        let state = match chosen.and_then(|at| cases.get(at)) {
            Some(case) => self.list(&case.steps, path),
            None => State::Done(End::Succeeded(json!({}))),
        };
        if let State::Done(_) = &state {
            for (index, case) in cases.iter().enumerate() {
                if Some(index) != chosen {
                    self.pass_over(&case.steps);
                }
            }
        }
        self.contain(step, path, state)
    }

    fn at_once(&mut self, step: &Step, path: &str) -> State {
        self.begin(path, StepStatus::Active);
        match self.do_at_once(step, path) {
            Ok(Ok(output)) => self.close(step, path, output),
            Ok(Err(fault)) => self.fail(path, fault),
            Err(why) => self.expression(path, step.verb.word(), &why),
        }
        .cancelled_by(self, step, path)
    }

    fn do_at_once(&mut self, step: &Step, path: &str) -> Result<Result<Value, Fault>, String> {
        let render = |this: &Self, source: &str, form| text::render(source, form, &this.scope.values, &this.evaluator);
        Ok(Ok(match &step.verb {
            Verb::Set(values) => {
                let filled = self.evaluator.fill(&Value::Object(values.clone()), &self.scope.values)?;
                for (name, value) in filled.as_object().into_iter().flatten() {
                    self.journal.vars.insert(name.clone(), value.clone());
                }
                self.scope.set_vars(&self.journal.vars);
                filled
            }
            Verb::Log { level, message } => {
                let message = render(self, message, Form::Plain)?;
                self.effects.logged.push((path.to_owned(), level.clone(), message.clone()));
                json!({ "level": level, "message": message })
            }
            Verb::Say(say) => {
                let message = self.message(say)?;
                let output = json!({ "text": message.text });
                self.effects.sayings.push(Saying { path: path.to_owned(), message });
                output
            }
            Verb::Fail { code, message } => {
                return Ok(Err(Fault::new(code.clone(), render(self, message, Form::Plain)?)));
            }
            Verb::Cancel { reason } => {
                let reason = render(self, reason, Form::Plain)?;
                self.change(path, |row| row.data = json!({ "cancel": reason }));
                json!({ "reason": reason })
            }
            Verb::Emit { topic, data } => {
                let topic = in_words(&self.evaluator.fill(&json!(topic), &self.scope.values)?);
                let data = self.evaluator.fill(data, &self.scope.values)?;
                self.effects.emitted.push(Emitted { topic: topic.clone(), data: data.clone() });
                json!({ "topic": topic, "data": data })
            }
            _ => Value::Null,
        }))
    }

    /// What a step says, as a message.
    fn message(&self, say: &Map<String, Value>) -> Result<Message, String> {
        let scope = &self.scope.values;
        let words = |key: &str, form| {
            let text = say.get(key).and_then(Value::as_str);
            text.map(|text| text::render(text, form, scope, &self.evaluator)).transpose()
        };
        let filled = |key: &str| say.get(key).map(|value| self.evaluator.fill(value, scope)).transpose();
        let body = match words("message", Form::Markdown)? {
            Some(text) => text,
            None => words("text", Form::Markdown)?.unwrap_or_default(),
        };
        let mut message = Message::text(body);
        message.title = words("title", Form::Plain)?;
        message.tone = match say.get("tone").and_then(Value::as_str) {
            Some("info") => Some(Tone::Info),
            Some("success") => Some(Tone::Success),
            Some("warning") => Some(Tone::Warning),
            Some("error") => Some(Tone::Error),
            Some("question") => Some(Tone::Question),
            _ => None,
        };
        let escaped = |value: &Value| crate::model::message::escape_markdown(&in_words(value));
        if let Some(Value::Array(fields)) = filled("fields")? {
            let field = |field: &Value| Field {
                name: in_words(&field["name"]),
                value: escaped(&field["value"]),
                short: field["short"] == json!(true),
            };
            message = message.part(Part::Fields { fields: fields.iter().map(field).collect() });
        }
        if let Some(Value::Array(items)) = filled("list")? {
            message = message.part(Part::List { items: items.iter().map(escaped).collect() });
        }
        if let Some(table) = filled("table")? {
            let columns: Vec<String> = table["columns"].as_array().into_iter().flatten().map(in_words).collect();
            let row = |row: &Value| match row {
                Value::Array(cells) => cells.iter().map(escaped).collect(),
                Value::Object(cells) => {
                    let cell = |column: &String| cells.get(column).or_else(|| cells.get(&column.to_lowercase()));
                    columns.iter().map(|column| cell(column).map(escaped).unwrap_or_default()).collect()
                }
                other => vec![escaped(other)],
            };
            let rows = table["rows"].as_array().into_iter().flatten().map(row).collect();
            message = message.part(Part::Table { columns, rows });
        }
        if let Some(image) = say.get("image") {
            let words = |key: &str| {
                let text = image[key].as_str().unwrap_or_default();
                text::render(text, Form::Plain, scope, &self.evaluator)
            };
            let (url, alt) = (words("url")?, words("alt")?);
            message = message.part(Part::Image { url: picture(&url)?, alt });
        }
        Ok(message)
    }

    /// A call as a worker gets it.
    pub(super) fn filled(&self, call: &Call) -> Result<Value, String> {
        let with = self.evaluator.fill(&call.with, &self.scope.values)?;
        let connection = match &call.connection {
            Some(template) => self.evaluator.fill(&json!(template), &self.scope.values)?,
            None => Value::Null,
        };
        Ok(json!({ "connector": call.connector, "action": call.action, "with": with, "connection": connection }))
    }

    /// Puts work down for a worker.
    pub(super) fn put_down(&mut self, path: &str, input: Value, effect: Effect, timeout: Millis) {
        let now = self.now;
        let row = self.begin(path, StepStatus::Ready);
        (row.input, row.effect, row.timeout, row.ready_at) = (input, effect, Some(timeout), Some(now));
    }

    fn timeout_of(&self, step: &Step) -> Millis {
        step.timeout.or(self.flow.defaults.timeout).unwrap_or(CALL_TIMEOUT)
    }

    fn call(&mut self, step: &Step, call: &Call, path: &str) -> State {
        if !self.has_begun(path) {
            let input = match self.filled(call) {
                Ok(input) => input,
                Err(why) => return self.expression(path, "with", &why),
            };
            let probe = match step.probe.as_ref().map(|probe| self.filled(&probe.call)).transpose() {
                Ok(probe) => probe,
                Err(why) => return self.expression(path, "probe", &why),
            };
            // What nobody declared is done by the connector's own word; the engine puts that in.
            let effect = step.effect.or(self.flow.defaults.effect);
            let timeout = self.timeout_of(step);
            self.put_down(path, input, effect.unwrap_or(Effect::Once), timeout);
            let data = json!({ "phase": "call", "probe": probe, "declared": effect.is_some() });
            self.change(path, |row| row.data = data);
            if let Some(undo) = &step.undo {
                self.keep_undo(undo, path, None);
            }
            return State::Open;
        }
        let is_probe = self.journal.rows.get(path).is_some_and(|row| row.data["phase"] == "probe");
        match (self.outcomes.remove(path), is_probe) {
            (Some(Ok(result)), true) => self.probed(step, path, result),
            (Some(Ok(result)), false) => self.called(step, path, result),
            (Some(Err(fault)), _) => self.tried(step, path, fault),
            (None, _) => State::Open,
        }
    }

    fn called(&mut self, step: &Step, path: &str, result: Value) -> State {
        if let Some(undo) = &step.undo {
            self.keep_undo(undo, path, Some(&result));
        }
        self.close(step, path, result)
    }

    fn probed(&mut self, step: &Step, path: &str, result: Value) -> State {
        let Some(probe) = &step.probe else { return State::Open };
        let value = self.scope.put("result", result.clone());
        let happened = self.evaluator.holds(&probe.ok, &self.scope.values);
        self.scope.take_back(value);
        match happened {
            Ok(true) => self.called(step, path, result),
            Ok(false) => {
                self.call_again(path);
                State::Open
            }
            Err(why) => self.tried(step, path, Fault::new("expression_failed", format!("probe: {why}"))),
        }
    }

    /// It did not happen, so it may be tried once more.
    pub(super) fn call_again(&mut self, path: &str) {
        let now = self.now;
        self.change(path, |row| {
            row.status = StepStatus::Ready;
            row.ready_at = Some(now);
            row.deadline = None;
            row.intent = None;
            if !row.data["call"].is_null() {
                row.input = row.data["call"].take();
            }
            row.data["phase"] = json!("call");
        });
    }

    /// A try has failed: it is tried again, found out about, or the step has failed.
    fn tried(&mut self, step: &Step, path: &str, mut fault: Fault) -> State {
        let Some(row) = self.journal.rows.get(path).cloned() else { return State::Open };
        let is_probe = row.data["phase"] == "probe";
        let now = self.now;
        if !is_probe && fault.uncertain && row.effect == Effect::Once {
            return self.doubt(path, &row, fault);
        }
        let again = |row: &mut Row, at: Millis| {
            row.status = StepStatus::Ready;
            row.ready_at = Some(at);
            row.deadline = None;
            row.intent = None;
        };
        if fault.code == WORKER_LOST {
            // Nobody's try.
            self.change(path, |row| again(row, now));
            return State::Open;
        }
        let tries = row.tries + 1;
        if is_probe {
            if tries < PROBES {
                let pause = Retry::default().pause(tries, chance(&self.journal.execution, path, tries));
                self.change(path, |row| {
                    row.tries = tries;
                    again(row, now + pause.max(100));
                });
                return State::Open;
            }
            return self.ask_what_happened(path, fault);
        }
        let policy = step.retry.as_ref().or(self.flow.defaults.retry.as_ref());
        let fits = |policy: &Retry| {
            let named = policy.retry_on.contains(&fault.code);
            let any = policy.retry_on.is_empty();
            let may_help = fault.retryable || step.retry.is_some() || self.flow.dialect == Dialect::Playbook;
            tries < policy.max_attempts && (named || (any && may_help))
        };
        let mut policy = policy.filter(|policy| fits(policy)).cloned();
        if let Some(condition) = policy.as_ref().and_then(|policy| policy.condition.clone()) {
            let value = self.scope.put("error", fault.value());
            let holds = self.evaluator.holds(&condition, &self.scope.values);
            self.scope.take_back(value);
            match holds {
                Ok(true) => {}
                Ok(false) => policy = None,
                Err(why) => {
                    policy = None;
                    fault.message = format!("{} (retry.if: {why})", fault.message);
                }
            }
        }
        match policy {
            Some(policy) => {
                let pause = policy.pause(tries, chance(&self.journal.execution, path, tries));
                let pause = pause.max(fault.retry_after.unwrap_or_default());
                self.change(path, |row| {
                    row.tries = tries;
                    row.error = Some(fault);
                    again(row, now.saturating_add(pause));
                });
                State::Open
            }
            None => {
                self.change(path, |row| row.tries = tries);
                self.fail(path, fault)
            }
        }
    }

    /// It may have happened: the probe finds out, or a person has to say.
    fn doubt(&mut self, path: &str, row: &Row, fault: Fault) -> State {
        let probe = row.data["probe"].clone();
        if probe.is_null() {
            return self.ask_what_happened(path, fault);
        }
        let now = self.now;
        self.change(path, |row| {
            row.status = StepStatus::Ready;
            row.ready_at = Some(now);
            row.deadline = None;
            row.intent = None;
            row.tries = 0;
            row.error = Some(fault);
            row.data["phase"] = json!("probe");
            row.data["call"] = std::mem::replace(&mut row.input, probe);
        });
        State::Open
    }

    fn ask_what_happened(&mut self, path: &str, fault: Fault) -> State {
        self.change(path, |row| {
            row.status = StepStatus::Uncertain;
            row.ready_at = None;
            row.deadline = None;
            row.error = Some(fault);
        });
        self.effects.unresolved.push(path.to_owned());
        State::Open
    }

    fn script(&mut self, step: &Step, source: &str, path: &str) -> State {
        if !self.has_begun(path) {
            let input = json!({ "script": source, "scope": self.named_in(source) });
            let timeout = step.timeout.or(self.flow.defaults.timeout).unwrap_or(10_000).min(60_000);
            self.put_down(path, input, Effect::Pure, timeout);
            return State::Open;
        }
        match self.outcomes.remove(path) {
            Some(Ok(result)) => self.close(step, path, result),
            Some(Err(fault)) => self.tried(step, path, fault),
            None => State::Open,
        }
    }

    /// The values that a script can see: those it names, so that a row does not hold all that ever happened.
    fn named_in(&self, source: &str) -> Value {
        let mut named = Map::new();
        for (name, value) in &self.scope.values {
            if name == "steps" {
                let steps = value.as_object().into_iter().flatten();
                let wanted = steps.filter(|(id, _)| source.contains(id.as_str()) || source.contains("steps["));
                named.insert(name.clone(), wanted.map(|(id, entry)| (id.clone(), entry.clone())).collect());
            } else if source.contains(name.as_str()) || name == "inputs" {
                named.insert(name.clone(), value.clone());
            }
        }
        Value::Object(named)
    }

    fn child(&mut self, step: &Step, body: &RunBody, path: &str) -> State {
        let restart = self.journal.rows.get(path).is_some_and(|row| {
            row.status == StepStatus::Waiting
                && row.data["restart"] == json!(true)
                && row.ready_at.is_some_and(|at| at <= self.now)
        });
        if !self.has_begun(path) || restart {
            let filled =
                self.evaluator.fill(&json!({ "workflow": body.workflow, "with": body.with }), &self.scope.values);
            let filled = match filled {
                Ok(filled) => filled,
                Err(why) => return self.expression(path, "run", &why),
            };
            let (tries, round) = self.journal.rows.get(path).map_or((0, 0), |row| (row.tries, row.round));
            let deadline = step.timeout.map(|timeout| self.now.saturating_add(timeout));
            let row = self.begin(path, StepStatus::Waiting);
            (row.deadline, row.tries, row.round) = (deadline, tries, round + i64::from(restart));
            let row = row.clone();
            let key = row.idempotency_key(&self.journal.execution);
            let id = uuid_of(&key);
            let workflow = in_words(&filled["workflow"]);
            self.change(path, |row| row.data = json!({ "child": id, "workflow": workflow }));
            self.effects.children.push(Child {
                path: path.to_owned(),
                workflow,
                version: body.version.clone(),
                inputs: filled["with"].as_object().cloned().unwrap_or_default(),
                waits: body.wait,
            });
            if !body.wait {
                return self.close(step, path, json!({ "execution_id": id }));
            }
            return State::Open;
        }
        let Some(row) = self.journal.rows.get(path).cloned() else { return State::Open };
        if !row.signal.is_null() {
            let signal = row.signal;
            if signal["status"] == "completed" {
                return self.close(step, path, signal["output"].clone());
            }
            let error = &signal["error"];
            let code = error["code"].as_str().unwrap_or("failed").to_owned();
            let message = error["message"].as_str().unwrap_or("the run failed").to_owned();
            let fault = Fault {
                details: json!({ "execution_id": row.data["child"] }),
                retryable: true,
                ..Fault::new(code, message)
            };
            self.change(path, |row| row.signal = Value::Null);
            let state = self.tried(step, path, fault);
            if state == State::Open {
                // Tried again as another run, after the pause.
                self.change(path, |row| {
                    row.status = StepStatus::Waiting;
                    row.data["restart"] = json!(true);
                });
            }
            return state;
        }
        self.time_out(step, path, &row)
    }

    /// Fails what has waited for too long.
    fn time_out(&mut self, step: &Step, path: &str, row: &Row) -> State {
        if row.deadline.is_some_and(|deadline| deadline <= self.now) {
            let began = row.started_at.unwrap_or(self.now);
            let limit = row.deadline.map(|deadline| write_duration(deadline - began)).unwrap_or_default();
            let message = format!("{} was not over within {limit}", step.title());
            return self.fail(path, Fault::new("timeout", message));
        }
        State::Open
    }

    fn ask(&mut self, step: &Step, ask: &Ask, path: &str) -> State {
        if !self.has_begun(path) {
            let message = match text::render(&ask.message, Form::Markdown, &self.scope.values, &self.evaluator) {
                Ok(message) => message,
                Err(why) => return self.expression(path, "message", &why),
            };
            let on_timeout =
                match ask.on_timeout.as_ref().map(|value| self.evaluator.fill(value, &self.scope.values)).transpose() {
                    Ok(value) => value,
                    Err(why) => return self.expression(path, "on_timeout", &why),
                };
            let deadline = ask.timeout.or(step.timeout).map(|timeout| self.now.saturating_add(timeout));
            let row = self.begin(path, StepStatus::Waiting);
            row.deadline = deadline;
            row.data = json!({
                "message": message, "form": ask.form, "votes": [], "on_timeout": on_timeout,
                "approvers": { "roles": ask.roles, "groups": ask.groups, "quorum": ask.quorum, "not_requester": ask.not_requester },
            });
            let ask = Ask { message, on_timeout, ..ask.clone() };
            self.effects.questions.push(Question { path: path.to_owned(), ask });
            return State::Open;
        }
        let Some(row) = self.journal.rows.get(path).cloned() else { return State::Open };
        if !row.signal.is_null() {
            return self.close(step, path, row.signal);
        }
        if row.deadline.is_some_and(|deadline| deadline <= self.now) && !row.data["on_timeout"].is_null() {
            return self.close(step, path, row.data["on_timeout"].clone());
        }
        self.time_out(step, path, &row)
    }

    fn wait(&mut self, step: &Step, wait: &Wait, path: &str) -> State {
        if let Wait::Poll(poll) = wait {
            return self.poll(step, poll, path);
        }
        if !self.has_begun(path) {
            let mut data = Value::Null;
            let (mut ready_at, mut deadline) = (None, step.timeout.map(|timeout| self.now.saturating_add(timeout)));
            match wait {
                Wait::For(length) => ready_at = Some(self.now.saturating_add(*length)),
                Wait::Length(expression) | Wait::Until(expression) => {
                    let value = match self.evaluator.value(expression, &self.scope.values) {
                        Ok(value) => value,
                        Err(why) => return self.expression(path, "wait", &why),
                    };
                    let at = match (&value, wait) {
                        (Value::String(text), Wait::Until(_)) => moment(text),
                        (Value::String(text), _) => parse_duration(text)
                            .or_else(|| text.parse().ok())
                            .map(|length: Millis| self.now.saturating_add(length)),
                        (Value::Number(number), wait) => {
                            #[expect(
                                clippy::cast_possible_truncation,
                                reason = "a moment has no parts of milliseconds"
                            )]
                            let millis = number.as_i64().or_else(|| number.as_f64().map(|millis| millis as Millis));
                            let from = if matches!(wait, Wait::Until(_)) { 0 } else { self.now };
                            millis.map(|millis| millis.saturating_add(from))
                        }
                        _ => None,
                    };
                    if at.is_none() {
                        return self.expression(path, "wait", &format!("{value} is no time"));
                    }
                    ready_at = at;
                }
                Wait::Event { topic, key, timeout } => {
                    let filled = self.evaluator.fill(&json!({ "topic": topic, "key": key }), &self.scope.values);
                    match filled {
                        Ok(filled) => data = json!({ "topic": in_words(&filled["topic"]), "key": filled["key"] }),
                        Err(why) => return self.expression(path, "event", &why),
                    }
                    deadline = timeout.map(|timeout| self.now.saturating_add(timeout)).or(deadline);
                }
                Wait::Poll(_) => {}
            }
            let row = self.begin(path, StepStatus::Waiting);
            (row.ready_at, row.deadline, row.data) = (ready_at, deadline, data);
        }
        let Some(row) = self.journal.rows.get(path).cloned() else { return State::Open };
        let is_event = matches!(wait, Wait::Event { .. });
        if is_event && !row.signal.is_null() {
            return self.close(step, path, row.signal);
        }
        if !is_event && row.ready_at.is_some_and(|at| at <= self.now) {
            let until = row.ready_at.map(crate::clock::rfc3339);
            return self.close(step, path, json!({ "until": until }));
        }
        self.time_out(step, path, &row)
    }

    fn poll(&mut self, step: &Step, poll: &crate::flow::Poll, path: &str) -> State {
        if !self.has_begun(path) {
            let input = match self.filled(&poll.call) {
                Ok(input) => input,
                Err(why) => return self.expression(path, "poll", &why),
            };
            let limit = poll.timeout.or(step.timeout).map(|timeout| self.now.saturating_add(timeout));
            self.put_down(path, input, Effect::Pure, CALL_TIMEOUT.min(poll.timeout.unwrap_or(CALL_TIMEOUT)));
            // Beside the deadline of each try, which a claim writes.
            self.change(path, |row| row.data = json!({ "phase": "call", "limit": limit, "polls": 0 }));
            return State::Open;
        }
        let Some(row) = self.journal.rows.get(path).cloned() else { return State::Open };
        let is_over = row.data["limit"].as_i64().is_some_and(|limit| limit <= self.now);
        let (outcome, now) = (self.outcomes.remove(path), self.now);
        let again = |this: &mut Self| {
            if is_over {
                return this.fail(path, Fault::new("timeout", format!("{} did not come true in time", step.title())));
            }
            let ready_at = now.saturating_add(poll.every);
            let ready_at = row.data["limit"].as_i64().map_or(ready_at, |limit| ready_at.min(limit));
            this.change(path, |row| {
                row.status = StepStatus::Ready;
                row.ready_at = Some(ready_at);
                row.deadline = None;
                row.intent = None;
                row.data["polls"] = json!(row.data["polls"].as_i64().unwrap_or_default() + 1);
            });
            State::Open
        };
        match outcome {
            Some(Ok(result)) => {
                let value = self.scope.put("result", result.clone());
                let holds = self.evaluator.holds(&poll.until, &self.scope.values);
                self.scope.take_back(value);
                match holds {
                    Ok(true) => self.close(step, path, result),
                    Ok(false) => again(self),
                    Err(why) => self.expression(path, "until", &why),
                }
            }
            // What is not there yet may answer with an error; the limit decides.
            Some(Err(fault)) if fault.retryable || fault.code == WORKER_LOST => again(self),
            Some(Err(fault)) => self.fail(path, fault),
            None => State::Open,
        }
    }
}

/// The code of a fault that is a worker's and not the step's.
pub(super) const WORKER_LOST: &str = "worker_lost";

impl State {
    /// A step that says that the run ends says so from the first look on.
    fn cancelled_by(self, walk: &Walk<'_>, step: &Step, path: &str) -> Self {
        match (&self, walk.journal.rows.get(path)) {
            (Self::Done(End::Succeeded(_)), Some(row)) => Walk::ended(row, &step.verb).map_or(self, State::Done),
            _ => self,
        }
    }
}

/// A number from 0 to 1 that is the same each time it is asked for.
fn chance(execution: &str, path: &str, tries: i64) -> f64 {
    let digest = sha256_hex(format!("{execution}\n{path}\n{tries}").as_bytes());
    let number = u32::from_str_radix(&digest[..8], 16).unwrap_or_default();
    f64::from(number) / f64::from(u32::MAX)
}

/// An id that follows from a key.
pub(super) fn uuid_of(key: &str) -> String {
    let digest = sha256_hex(key.as_bytes());
    format!("{}-{}-8{}-8{}-{}", &digest[..8], &digest[8..12], &digest[13..16], &digest[17..20], &digest[20..32])
}

/// The address of a picture: on the web, or of an artifact.
fn picture(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_artifact = text.strip_prefix("/api/executions/").is_some_and(|rest| {
        rest.contains("/artifacts/") && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte))
    });
    let is_web = || url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    match is_artifact || is_web() {
        true => Ok(text.to_owned()),
        false => Err(format!("image: {text:?} is neither a web address nor the url of an artifact")),
    }
}
