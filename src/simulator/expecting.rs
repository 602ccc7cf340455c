//! What came of a step, held against what was expected.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::acting::{Refusal, list, offered, open_form};
use super::house::Told;
use super::stand_ins::Called;
use crate::manifest::bot_test::{Expect, Pattern, has, in_words};
use crate::model::approval::State;
use crate::model::message::Post;
use crate::model::name::fold;
use crate::render::Place;
use crate::render::plain::{self, Look};
use crate::store::approval::Approval;
use crate::store::execution::Execution;

/// Everything that can be looked at after a step.
pub(super) struct Outcome {
    pub(super) refusal: Option<Refusal>,
    /// What bots said, in every conversation of the test, each as it stood then.
    pub(super) told: Vec<Told>,
    /// The messages that were said or rewritten, as they stand now.
    pub(super) posts: Vec<Post>,
    /// The run that the step began or brought further.
    pub(super) run: Option<Execution>,
    pub(super) approval: Option<Approval>,
    /// What the open dialog asks for: names of parameters, or `submit`.
    pub(super) asked: Vec<String>,
    pub(super) called: Vec<Called>,
}

/// Something that is not as it was expected: the key that expects it, and what is told.
pub(super) struct Misfit {
    pub(super) key: String,
    pub(super) problem: String,
    pub(super) expected: String,
    pub(super) was: String,
}

impl Misfit {
    fn new(key: &str, problem: &str, expected: impl Into<String>, was: impl Into<String>) -> Self {
        Self { key: key.to_owned(), problem: problem.to_owned(), expected: expected.into(), was: was.into() }
    }

    /// The whole story of a step that went another way, for people.
    pub(super) fn story(&self, done: &str) -> String {
        let mut out = self.problem.clone();
        for (name, text) in [("done", done), ("expected", &self.expected), ("was", &self.was)] {
            let mut lines = text.lines();
            let _ = write!(out, "\n    {name:<9} {}", lines.next().unwrap_or("nothing"));
            lines.for_each(|line| {
                let _ = write!(out, "\n              {line}");
            });
        }
        out
    }
}

/// A message as text, with everything that belongs to it.
fn whole(post: &Post) -> String {
    plain::text(&post.message(), &Place::default(), Look::default())
}

fn fits(pattern: &str, post: &Post) -> bool {
    let Ok(pattern) = Pattern::read(pattern) else { return false };
    let alone = crate::model::message::Message::text(post.content.clone());
    let alone = plain::text(&alone, &Place::default(), Look::default());
    pattern.fits(&post.content) || pattern.fits(&alone) || pattern.fits(&whole(post))
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

impl Outcome {
    /// What was said, for people.
    fn said(&self) -> String {
        if let Some(refusal) = &self.refusal {
            return format!("refused: {refusal}");
        }
        let texts: Vec<String> = self.posts.iter().map(whole).collect();
        if texts.is_empty() { "nothing was said".to_owned() } else { texts.join("\n--\n") }
    }

    /// All that is not as expected; empty when everything is.
    pub(super) fn misfits(&self, expect: &Expect) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        // First, since the others may follow from it.
        for called in self.called.iter().filter(|called| !called.is_answered) {
            let wanted = format!("an answer for {} in \"answers\"", called.name);
            misfits.push(Misfit::new("", "the test has no answer for a call", wanted, calls(&[called])));
        }
        match (&self.refusal, &expect.refused) {
            (Some(refusal), None) => {
                misfits.push(Misfit::new("", "this could not be done", "to be done", refusal.to_string()));
                return misfits;
            }
            (Some(refusal), Some(wanted)) => {
                let code = match refusal {
                    Refusal::Refused(error) => error.code,
                    Refusal::NotThere(_) => "",
                };
                let is_it = Pattern::read(wanted).is_ok_and(|wanted| {
                    wanted.fits(code)
                        || refusal.to_string().lines().any(|line| wanted.fits(line))
                        || matches!(refusal, Refusal::Refused(error) if wanted.fits(&error.message))
                });
                if !is_it {
                    misfits.push(Misfit::new(
                        "refused",
                        "it was refused for another reason",
                        wanted,
                        refusal.to_string(),
                    ));
                }
            }
            (None, Some(wanted)) => {
                misfits.push(Misfit::new("refused", "it was not refused", wanted, self.said()));
            }
            (None, None) => {}
        }
        self.words(expect, &mut misfits);
        self.asking(expect, &mut misfits);
        self.running(expect, &mut misfits);
        self.calling(expect, &mut misfits);
        misfits
    }

    fn words(&self, expect: &Expect, misfits: &mut Vec<Misfit>) {
        let all = || self.told.iter().map(|told| &told.post).chain(&self.posts);
        for pattern in &expect.reply.0 {
            if !all().any(|post| fits(pattern, post)) {
                misfits.push(Misfit::new("reply", "no reply is like this", pattern, self.said()));
            }
        }
        for pattern in &expect.not.0 {
            if let Some(post) = all().find(|post| fits(pattern, post)) {
                misfits.push(Misfit::new("not", "this must not be said", format!("not {pattern}"), whole(post)));
            }
        }
        if expect.nothing && !self.told.is_empty() {
            misfits.push(Misfit::new("nothing", "something was said", "nothing", self.said()));
        }
        let replies = || {
            let is_reply = |post: &&Post| expect.reply.0.iter().any(|pattern| fits(pattern, post));
            self.posts.iter().filter(move |post| expect.reply.0.is_empty() || is_reply(post))
        };
        if let Some(wanted) = &expect.title {
            let titles: Vec<String> = replies().filter_map(|post| post.title.clone()).collect();
            if !titles.iter().any(|title| Pattern::read(wanted).is_ok_and(|wanted| wanted.fits(title))) {
                misfits.push(Misfit::new("title", "the title is another one", wanted, list(&titles)));
            }
        }
        if let Some(wanted) = &expect.tone {
            let word =
                |post: &Post| post.tone.and_then(|tone| serde_json::to_value(tone).ok()).map(|tone| in_words(&tone));
            let tones: Vec<String> = replies().filter_map(word).collect();
            if !tones.contains(wanted) {
                misfits.push(Misfit::new("tone", "the tone is another one", wanted, list(&tones)));
            }
        }
        if let Some(wanted) = &expect.buttons {
            let buttons: Vec<String> = replies().flat_map(offered).collect();
            if buttons != *wanted {
                misfits.push(Misfit::new("buttons", "other things can be pressed", quoted(wanted), quoted(&buttons)));
            }
        }
    }

    /// What is waited for, in words of a test.
    fn waits_for(&self) -> Vec<String> {
        match self.approval.as_ref().map(|approval| approval.state) {
            Some(State::Confirm) => return vec!["confirm".to_owned()],
            Some(State::Approve) => return vec!["approve".to_owned()],
            _ => {}
        }
        if !self.asked.is_empty() {
            return self.asked.clone();
        }
        let form = self.posts.iter().rev().find_map(open_form);
        form.into_iter().flat_map(|form| &form.fields).map(|field| field.name.clone()).collect()
    }

    fn asking(&self, expect: &Expect, misfits: &mut Vec<Misfit>) {
        let wanted = &expect.asks.0;
        if !wanted.is_empty() {
            let waits_for = self.waits_for();
            let set = |names: &[String]| names.iter().map(|name| fold(name)).collect::<BTreeSet<_>>();
            if set(wanted) != set(&waits_for) {
                let was = if waits_for.is_empty() { self.said() } else { quoted(&waits_for) };
                misfits.push(Misfit::new("asks", "something else is asked for", quoted(wanted), was));
            }
        }
        let Some(wanted) = &expect.from else { return };
        let rule = self.approval.as_ref().filter(|approval| approval.state == State::Approve);
        let rule = rule.and_then(|approval| approval.approve().ok().flatten());
        let Some(rule) = rule else {
            misfits.push(Misfit::new("from", "nobody is asked to approve", "to be asked", self.said()));
            return;
        };
        let roles: Vec<String> = rule.roles.iter().map(|role| role.as_str().to_owned()).collect();
        for (key, wanted, are) in [("groups", &wanted.groups, &rule.groups), ("roles", &wanted.roles, &roles)] {
            let Some(wanted) = wanted else { continue };
            if wanted.iter().collect::<BTreeSet<_>>() != are.iter().collect::<BTreeSet<_>>() {
                misfits.push(Misfit::new(&format!("from/{key}"), "others are asked", quoted(wanted), quoted(are)));
            }
        }
        if let Some(count) = wanted.count.filter(|count| *count != rule.count) {
            let (count, is) = (count.to_string(), rule.count.to_string());
            misfits.push(Misfit::new("from/count", "another number is asked", count, is));
        }
    }

    fn running(&self, expect: &Expect, misfits: &mut Vec<Misfit>) {
        if expect.command.is_none() && expect.parameters.is_empty() && expect.status.is_none() {
            return;
        }
        let Some(run) = &self.run else {
            let (key, wanted) = match (&expect.command, &expect.status) {
                (Some(command), _) => ("command", command.as_str()),
                (None, Some(status)) => ("status", status.as_str()),
                (None, None) => ("parameters", "a run"),
            };
            misfits.push(Misfit::new(key, "nothing was run", wanted, self.said()));
            return;
        };
        if let Some(wanted) = &expect.command
            && fold(wanted) != fold(&run.command)
        {
            misfits.push(Misfit::new("command", "another command was understood", wanted, &run.command));
        }
        let request: Value = serde_json::from_str(&run.request).unwrap_or_default();
        let given = request.get("parameters").and_then(Value::as_array);
        for (name, wanted) in &expect.parameters {
            let is_it =
                |pair: &&Value| pair.get("name").and_then(Value::as_str).is_some_and(|is| fold(is) == fold(name));
            let value = given.into_iter().flatten().find(is_it).and_then(|pair| pair.get("value"));
            if value.is_none_or(|value| !has(value, wanted)) {
                let was = value.map_or_else(|| "no value".to_owned(), in_words);
                let key = format!("parameters/{}", name.replace('~', "~0").replace('/', "~1"));
                misfits.push(Misfit::new(&key, &format!("{name} has another value"), in_words(wanted), was));
            }
        }
        if let Some(wanted) = &expect.status
            && wanted != run.status.as_str()
        {
            let why = run.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            let was = format!("{}{why}", run.status.as_str());
            misfits.push(Misfit::new("status", "the run stands elsewhere", wanted, was));
        }
    }

    fn calling(&self, expect: &Expect, misfits: &mut Vec<Misfit>) {
        let Some(wanted) = &expect.calls else { return };
        let mut left: Vec<&Called> = self.called.iter().collect();
        for (at, call) in wanted.iter().enumerate() {
            let (is, others): (Vec<&Called>, Vec<&Called>) =
                left.iter().partition(|called| called.name == call.name && has(&called.input, &call.with));
            if is.len() != call.times {
                let with = if call.with.is_null() { String::new() } else { format!(" {}", call.with) };
                let (key, wanted) = (format!("calls/{at}"), format!("{} × {}{with}", call.times, call.name));
                let all: Vec<&Called> = self.called.iter().collect();
                let was = format!("{} of\n{}", is.len(), calls(&all));
                misfits.push(Misfit::new(&key, "it was called another number of times", wanted, was));
            }
            left = others;
        }
        if !left.is_empty() {
            misfits.push(Misfit::new("calls", "something else was called, too", "nothing else", calls(&left)));
        }
    }
}

/// Calls in words, one a line.
fn calls(called: &[&Called]) -> String {
    let lines: Vec<String> = called.iter().map(|called| format!("{} {}", called.name, called.input)).collect();
    if lines.is_empty() { "no call".to_owned() } else { lines.join("\n") }
}
