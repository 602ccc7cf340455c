//! `parlour chat`: the bots, in the terminal.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{print, role, say};
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::manifest::bot_test::Person;
use crate::model::action::{Form, FormState};
use crate::model::conversation::HOUSE_BOT;
use crate::model::message::{Message, Post};
use crate::model::principal::Role;
use crate::render::Place;
use crate::render::plain::{self, Look, Numbered};
use crate::simulator::{House, Refusal, Visitor};

/// How often it is looked whether a bot has said something by itself.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Args)]
pub(super) struct Chat {
    /// A folder with bots; may be given several times. Without it: bots.
    #[arg(long)]
    bots: Vec<PathBuf>,
    /// The bot to talk to; without it, all of them.
    #[arg(long)]
    bot: Option<String>,
    /// What you are called.
    #[arg(long = "as", default_value = "you")]
    name: String,
    /// A role you have; may be given several times. Without it: user and admin.
    #[arg(long = "role", value_parser = role)]
    roles: Vec<Role>,
    /// A group you are in; may be given several times.
    #[arg(long = "group")]
    groups: Vec<String>,
    /// A folder where everything is kept; without it nothing is.
    #[arg(long)]
    data: Option<PathBuf>,
    /// A folder with playbooks; may be given several times.
    #[arg(long)]
    playbooks: Vec<PathBuf>,
    /// A folder with connectors; may be given several times.
    #[arg(long)]
    connectors: Vec<PathBuf>,
    /// A file with settings.
    #[arg(long)]
    config: Option<PathBuf>,
}

pub(super) async fn run(chat: Chat) -> anyhow::Result<ExitCode> {
    let Chat { bots, bot, name, roles, groups, data, playbooks, connectors, config } = chat;
    let passing = if data.is_none() { Some(tempfile::tempdir()?) } else { None };
    let data = data.or_else(|| passing.as_ref().map(|folder| folder.path().to_owned()));
    let overrides = Overrides { data, bots, playbooks, connector_dirs: connectors, ..Overrides::default() };
    let mut config = Config::load(config.as_deref(), &overrides)?;
    // A server's own database, whatever settings name it, is not for this.
    config.database.clear();
    for folder in &config.bots {
        ensure!(folder.is_dir(), "there is no folder of bots at {}; name one with --bots", folder.display());
    }
    let house = House::open(&config, Clock::system(), None).await?;
    let outcome = talk(&house, bot.as_deref(), Person { name, roles, groups }).await;
    house.close().await;
    outcome?;
    Ok(ExitCode::SUCCESS)
}

async fn talk(house: &House, bot: Option<&str>, mut person: Person) -> anyhow::Result<()> {
    let snapshot = house.hub.snapshot();
    for fault in &snapshot.faults {
        say(&fault.to_string());
    }
    let bot = match bot {
        None => HOUSE_BOT.to_owned(),
        Some(name) => {
            let known: Vec<&str> = snapshot.statuses().map(|(name, _)| name).collect();
            let loaded = snapshot.bot(name);
            loaded
                .map(|loaded| loaded.bot.name.clone())
                .with_context(|| format!("there is no bot \"{name}\"; there is {}", known.join(", ")))?
        }
    };
    if person.roles.is_empty() {
        person.roles = vec![Role::User, Role::Admin];
    }
    let id = format!("terminal:{}", person.name);
    let visitor = Visitor::enter(house, &id, &person, &bot, "terminal").await?;
    let own = visitor.conversation(house).await?;
    let mut terminal = Terminal::new(house, visitor);
    // What was said at another time is not said again.
    terminal.skip().await?;
    if terminal.is_person {
        let whom = if bot == HOUSE_BOT { "all bots" } else { bot.as_str() };
        say(&format!("Talking to {whom}. Say help to see what can be said; Ctrl-D ends."));
    }
    tracing::debug!(conversation = own, "talking");
    terminal.talk().await
}

struct Terminal<'h> {
    house: &'h House,
    visitor: Visitor,
    lines: UnboundedReceiver<String>,
    /// Whether somebody types, rather than a file or another program.
    is_person: bool,
    look: Look,
    /// How far each conversation was shown.
    shown: BTreeMap<String, i64>,
    /// What was shown of each message, without what can be done at it.
    texts: BTreeMap<String, String>,
    /// The messages whose numbers count, and how many numbers come before each one's.
    offering: Vec<(usize, Post)>,
    /// Whether something was typed since: numbers begin anew.
    is_anew: bool,
}

impl<'h> Terminal<'h> {
    fn new(house: &'h House, visitor: Visitor) -> Self {
        let (sender, lines) = unbounded_channel();
        // A thread that nobody waits for: reading from a terminal cannot be given up.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            house,
            visitor,
            lines,
            is_person: std::io::stdin().is_terminal(),
            look: Look { ansi: std::io::stdout().is_terminal(), numbered: 0 },
            shown: BTreeMap::new(),
            texts: BTreeMap::new(),
            offering: Vec::new(),
            is_anew: false,
        }
    }

    async fn talk(&mut self) -> anyhow::Result<()> {
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        self.prompt("> ")?;
        loop {
            let line = tokio::select! {
                line = self.lines.recv() => line,
                _ = interrupt.recv() => None,
                () = tokio::time::sleep(LOOK) => {
                    if self.show().await? {
                        self.prompt("> ")?;
                    }
                    continue;
                }
            };
            let Some(line) = line else { break };
            self.echo(&line)?;
            if let Err(refusal) = self.hear(line.trim()).await {
                say(&format!("! {refusal}\n"));
            }
            self.follow().await?;
            self.prompt("> ")?;
        }
        if self.is_person {
            say("");
        }
        Ok(())
    }

    fn prompt(&self, text: &str) -> anyhow::Result<()> {
        if self.is_person {
            print(text)?;
            std::io::stdout().flush()?;
        }
        Ok(())
    }

    /// What another program writes is shown as if it had been typed.
    fn echo(&self, line: &str) -> anyhow::Result<()> {
        if self.is_person { Ok(()) } else { print(&format!("> {line}\n")) }
    }

    /// Shows what is said until nothing goes on by itself any more, for a while at most.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let resting = self.house.rest();
        let mut resting = std::pin::pin!(resting);
        loop {
            let rested = tokio::select! {
                rested = &mut resting => Some(rested),
                () = tokio::time::sleep(LOOK) => None,
            };
            self.show().await?;
            match rested {
                None => {}
                Some(Ok(())) => return Ok(()),
                Some(Err(_)) => {
                    say("(this takes longer; what comes of it is shown when it is there)\n");
                    return Ok(());
                }
            }
        }
    }

    async fn skip(&mut self) -> anyhow::Result<()> {
        for conversation in self.visitor.conversations(self.house).await? {
            let (_, head) = self.house.told_since(&conversation, 0).await?;
            self.shown.insert(conversation, head);
        }
        Ok(())
    }

    /// Shows what bots have said since the last time; answers whether that was anything.
    async fn show(&mut self) -> anyhow::Result<bool> {
        let mut any = false;
        for conversation in self.visitor.conversations(self.house).await? {
            let after = self.shown.get(&conversation).copied().unwrap_or_default();
            let (told, head) = self.house.told_since(&conversation, after).await?;
            self.shown.insert(conversation, head);
            let mut posts: Vec<Post> = Vec::new();
            for told in told {
                // The last version counts, at the place of the first.
                match posts.iter_mut().find(|post| post.message_id == told.post.message_id) {
                    Some(post) => *post = told.post,
                    None => posts.push(told.post),
                }
            }
            for post in posts {
                any |= self.show_one(post)?;
            }
        }
        Ok(any)
    }

    fn show_one(&mut self, post: Post) -> anyhow::Result<bool> {
        let message = post.message();
        let bare = Message { actions: Vec::new(), form: None, suggestions: Vec::new(), ..message.clone() };
        let text = plain::text(&bare, &Place::default(), Look::default());
        let before = self.texts.insert(post.message_id.clone(), text.clone());
        let name = match self.look.ansi {
            true => format!("\x1b[1m{}\x1b[22m", plain_name(&post)),
            false => plain_name(&post),
        };
        let offers = !plain::numbered(&message).is_empty();
        let numbered = self.number(post, offers);
        // What only says that a button was pressed tells nobody anything here.
        if before.as_ref() == Some(&text) && !offers {
            return Ok(false);
        }
        let look = Look { numbered, ..self.look };
        print(&format!("{name}:\n{}\n\n", plain::text(&message, &Place::default(), look)))?;
        Ok(true)
    }

    /// Notes what a message offers; answers how many numbers come before its own.
    fn number(&mut self, post: Post, offers: bool) -> usize {
        self.offering.retain(|(_, other)| other.message_id != post.message_id);
        if !offers {
            return 0;
        }
        if std::mem::take(&mut self.is_anew) {
            self.offering.clear();
        }
        let last = self.offering.last();
        let before = last.map_or(0, |(before, last)| before + plain::numbered(&last.message()).len());
        self.offering.push((before, post));
        before
    }

    async fn hear(&mut self, line: &str) -> Result<(), Refusal> {
        if line.is_empty() {
            return Ok(());
        }
        // An answer to a question may be a number.
        let is_asked = {
            let own = self.visitor.conversation(self.house).await?;
            self.house.store().open_dialog(&own).await?.is_some()
        };
        self.is_anew = true;
        if let Some(number) = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1))
            && !self.offering.is_empty()
        {
            let count = |post: &Post| plain::numbered(&post.message()).len();
            let behind = |(before, post): &&(usize, Post)| (*before..before + count(post)).contains(&number);
            let found = self.offering.iter().find(behind).map(|(before, post)| (number - before, post.clone()));
            match found {
                Some((_, post)) if is_asked && !is_of_a_dialog(&post) => {}
                Some((number, post)) => return self.take(&post, number).await,
                None if is_asked => {}
                None => return Err(Refusal::NotThere(format!("there is no {line} to choose"))),
            }
        }
        Ok(self.visitor.say(self.house, line).await?)
    }

    /// Takes what stands behind a number.
    async fn take(&mut self, post: &Post, number: usize) -> Result<(), Refusal> {
        let message = post.message();
        let all = plain::numbered(&message);
        let Some(chosen) = all.get(number) else { return Ok(()) };
        let (id, value) = match chosen {
            Numbered::Press { id, confirm: Some(question), .. } => {
                let answer = self.ask(&format!("{question} (yes or no) ")).await.unwrap_or_default();
                if !matches!(answer.trim().to_lowercase().as_str(), "yes" | "y") {
                    say("Left as it is.\n");
                    return Ok(());
                }
                (*id, Value::Null)
            }
            Numbered::Press { id, .. } => (*id, Value::Null),
            Numbered::Choose { id, value, .. } => (*id, json!(value)),
            Numbered::Day { id, label } => {
                let Some(day) = self.ask(&format!("{label} ")).await else { return Ok(()) };
                (*id, json!(day.trim()))
            }
            Numbered::Fill => {
                let Some(form) = message.form.as_ref().filter(|form| form.state == FormState::Open) else {
                    return Ok(());
                };
                let Some(values) = self.fill(form).await else { return Ok(()) };
                (form.id.as_str(), values)
            }
        };
        Ok(self.visitor.take(self.house, post, id, value).await?)
    }

    /// One line in answer to a question; none at the end of the input.
    async fn ask(&mut self, question: &str) -> Option<String> {
        let _ = print(question);
        let line = self.lines.recv().await?;
        if !self.is_person {
            say(&line);
        }
        Some(line)
    }

    /// The values of a form, asked for one after the other; an empty line leaves what stands there.
    async fn fill(&mut self, form: &Form) -> Option<Value> {
        let mut values = Map::new();
        for field in &form.fields {
            let choices =
                if field.choices.is_empty() { String::new() } else { format!(" ({})", field.choices.join(", ")) };
            let standing = field.value.as_ref().map(|value| format!(" [{value}]")).unwrap_or_default();
            let line = self.ask(&format!("{}{choices}{standing}: ", field.label)).await?;
            let given = Some(line.trim().to_owned()).filter(|line| !line.is_empty()).or_else(|| field.value.clone());
            values.extend(given.map(|given| (field.name.clone(), json!(given))));
        }
        Some(Value::Object(values))
    }
}

/// Whether what a message offers steers a dialog, so that its numbers count although something is asked for.
fn is_of_a_dialog(post: &Post) -> bool {
    post.actions.iter().any(|action| action.label() == "Submit")
}

fn plain_name(post: &Post) -> String {
    crate::render::plain_line(&post.sender.name, 60)
}
