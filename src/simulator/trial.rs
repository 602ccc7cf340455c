//! A test of a bot, run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;

use super::acting::{Refusal, Visitor};
use super::expecting::{Misfit, Outcome};
use super::house::{House, Told};
use super::stand_ins::StandIns;
use crate::clock::Clock;
use crate::config::Config;
use crate::manifest::Fault;
use crate::manifest::bot_test::{BotTest, Deed, Step};
use crate::model::Result;
use crate::model::message::Post;
use crate::store::execution::Execution;

/// Runs that are looked at after each step.
const RUNS: i64 = 100;

/// What a test is run with.
#[derive(Clone, Debug, Default)]
pub struct Around {
    pub bots: Vec<PathBuf>,
    pub playbooks: Vec<PathBuf>,
    pub connectors: Vec<PathBuf>,
}

/// Runs a test in a house of its own, of which nothing stays. Answers what was not as expected, in the first step that went
/// another way; later ones would only tell of it again.
pub async fn run(test: &BotTest, around: &Around) -> anyhow::Result<Vec<Fault>> {
    let folder = tempfile::tempdir().context("failed to make a folder for a test")?;
    let stand_ins = Arc::new(StandIns::default());
    let connectors = folder.path().join("connectors");
    stand_ins.write_connectors(&around.connectors, &connectors)?;
    let mut config = Config::shipped()?;
    config.data = folder.path().join("data");
    config.bots.clone_from(&around.bots);
    config.playbooks.clone_from(&around.playbooks);
    config.connector_dirs = vec![connectors];
    let house = House::open(&config, Clock::fixed(test.now), Some(&stand_ins)).await?;
    let outcome = trial(&house, test, &stand_ins).await;
    house.close().await;
    Ok(outcome?)
}

async fn trial(house: &House, test: &BotTest, stand_ins: &Arc<StandIns>) -> Result<Vec<Fault>> {
    stand_ins.answer_first(&test.answers);
    let mut trial =
        Trial { house, test, stand_ins, people: BTreeMap::new(), read: BTreeMap::new(), runs: BTreeMap::new() };
    // Everybody is there from the start: who may approve is told at once.
    for person in &test.people {
        let visitor = Visitor::enter(house, &person.name, person, &test.bot, &test.channel).await?;
        trial.people.insert(person.name.clone(), visitor);
    }
    for step in &test.steps {
        let misfits = trial.step(step).await?;
        if !misfits.is_empty() {
            let done = describe(step);
            let fault = |misfit: &Misfit| test.fault(&place(step, &misfit.key), misfit.story(&done));
            return Ok(misfits.iter().map(fault).collect());
        }
    }
    Ok(Vec::new())
}

/// Where what a step expects is written.
fn place(step: &Step, key: &str) -> String {
    let expect = format!("{}/expect", step.pointer);
    match key {
        "" => step.pointer.clone(),
        key => format!("{expect}/{key}"),
    }
}

/// What is done in a step, in words.
fn describe(step: &Step) -> String {
    let pairs = |values: &BTreeMap<String, String>| {
        values.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let done = match &step.deed {
        Deed::Say(text) => format!("says \"{text}\""),
        Deed::Press(label) => format!("presses \"{label}\""),
        Deed::Choose { label, value } => format!("chooses \"{value}\" at \"{label}\""),
        Deed::Fill(values) => format!("fills in {}", pairs(values)),
        Deed::Run { command, parameters } => format!("runs {command} {}", pairs(parameters)),
        Deed::Wait(millis) => return format!("{} pass", crate::flow::write_duration(*millis)),
    };
    format!("{} {}", step.by, done.trim_end())
}

struct Trial<'t> {
    house: &'t House,
    test: &'t BotTest,
    stand_ins: &'t Arc<StandIns>,
    people: BTreeMap<String, Visitor>,
    /// How far each conversation was read.
    read: BTreeMap<String, i64>,
    /// The status in which each run was seen last.
    runs: BTreeMap<String, &'static str>,
}

impl Trial<'_> {
    async fn step(&mut self, step: &Step) -> Result<Vec<Misfit>> {
        self.stand_ins.answer_first(&step.answers);
        let (house, calls) = (self.house, self.stand_ins.count());
        let Some(visitor) = self.people.get(&step.by) else { return Ok(Vec::new()) };
        // What is done later is later: a message of the same moment would not be rewritten.
        house.clock.advance(1);
        let refusal = visitor.act(house, &step.deed).await.err();
        if let Some(Refusal::Refused(error)) = &refusal
            && error.kind == crate::model::Kind::Internal
        {
            tracing::error!(?error, test = self.test.bot, "a step failed inside");
        }
        house.rest().await?;
        let asked = self.asked(&step.by).await?;
        let (told, posts) = self.told().await?;
        let run = self.run(&posts).await?;
        let approval = match &run {
            Some(run) => house.store().approval(&run.id).await?,
            None => None,
        };
        let called = self.stand_ins.called_since(calls);
        let outcome = Outcome { refusal, told, posts, run, approval, asked, called };
        Ok(outcome.misfits(&step.expect))
    }

    /// What was said since the last step, and those messages as they stand now.
    async fn told(&mut self) -> Result<(Vec<Told>, Vec<Post>)> {
        let (mut all, mut posts): (Vec<Told>, Vec<Post>) = Default::default();
        for visitor in self.people.values() {
            for conversation in visitor.conversations(self.house).await? {
                let after = self.read.get(&conversation).copied().unwrap_or_default();
                let (told, head) = self.house.told_since(&conversation, after).await?;
                self.read.insert(conversation, head);
                for told in &told {
                    // The last one counts, at the place of the first.
                    match posts.iter_mut().find(|post| post.message_id == told.post.message_id) {
                        Some(post) => *post = told.post.clone(),
                        None => posts.push(told.post.clone()),
                    }
                }
                all.extend(told);
            }
        }
        Ok((all, posts))
    }

    /// The run that has begun or come further since the last step: the newest of them, and rather one that said something.
    async fn run(&mut self, posts: &[Post]) -> Result<Option<Execution>> {
        let runs = self.house.store().recent_executions(None, RUNS).await?;
        let is_new = |run: &&Execution| self.runs.get(&run.id).is_none_or(|status| *status != run.status.as_str());
        let changed: Vec<&Execution> = runs.iter().filter(is_new).collect();
        let spoke = |run: &&&Execution| posts.iter().any(|post| post.invocation_id.as_ref() == Some(&run.id));
        let said = posts.iter().rev().find_map(|post| post.invocation_id.as_ref());
        let found = changed.iter().find(spoke).or(changed.first()).copied();
        let found = found.or_else(|| runs.iter().find(|run| Some(&run.id) == said)).cloned();
        self.runs.extend(runs.iter().map(|run| (run.id.clone(), run.status.as_str())));
        Ok(found)
    }

    /// What the open dialog of somebody asks for.
    async fn asked(&self, name: &str) -> Result<Vec<String>> {
        let Some(visitor) = self.people.get(name) else { return Ok(Vec::new()) };
        let mut asked = Vec::new();
        for conversation in visitor.conversations(self.house).await? {
            let Some(dialog) = self.house.store().open_dialog(&conversation).await? else { continue };
            let state: Value = serde_json::from_str(&dialog.state).unwrap_or_default();
            let names = state.get("asked").and_then(Value::as_array).cloned().unwrap_or_default();
            let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
            match state.get("stage").and_then(Value::as_str) {
                Some("questions") => {
                    let at = state.get("at").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
                    asked.extend(names.skip(at.unwrap_or_default()).take(1));
                }
                // The form also shows what is known; wanted is what is not.
                Some("form") => {
                    let known = state.get("arguments").and_then(Value::as_object);
                    let names: Vec<String> = names.collect();
                    let is_known = |name: &&String| known.is_some_and(|known| known.contains_key(*name));
                    let wanted: Vec<String> = names.iter().filter(|name| !is_known(name)).cloned().collect();
                    asked.extend(if wanted.is_empty() { names } else { wanted });
                }
                _ => asked.push("submit".to_owned()),
            }
        }
        Ok(asked)
    }
}
