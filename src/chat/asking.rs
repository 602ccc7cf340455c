//! Runs that wait for an answer: how they begin, go on and end. What is asked is decided in `dialog`; here it becomes
//! turns.

use std::sync::Arc;

use super::Hub;
use super::dialog::{Need, Next, Stage, State, words};
use super::hub::{Scene, TRIES, outside};
use super::say::is_for_the_speaker;
use crate::engine::answer::{Speaker, answer, register};
use crate::engine::invoke::{Considered, Invoked, Place, Request, Wanting};
use crate::engine::registry::LoadedBot;
use crate::model::action::{FormState, Style};
use crate::model::command::Command;
use crate::model::conversation::{Conversation, Millis};
use crate::model::event::NewEvent;
use crate::model::execution::ExecutionStatus;
use crate::model::id::{action_id, new_id};
use crate::model::message::{Message, Tone, escape_markdown};
use crate::model::offer::{Deed, Offer, Step};
use crate::model::parameter::Parameter;
use crate::model::{Error, Result};
use crate::store::action::Registered;
use crate::store::delivery::execution_update;
use crate::store::dialog::{Becomes, Dialog};
use crate::store::execution::RunChange;
use crate::store::log::Receipt;
use crate::store::rewrite::{Revision, Rewrite};
use crate::store::turn::{Beside, DIALOG_CHANGED, Turn};

/// An open dialog whose command is still the one that was asked for.
pub(super) struct Going {
    pub(super) dialog: Arc<Dialog>,
    pub(super) state: State,
    pub(super) bot: Arc<LoadedBot>,
    pub(super) command: Arc<Command>,
}

/// Why a dialog ends that nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Another command asks now.
    Replaced,
    /// The conversation was closed.
    Closed,
    /// Its run was cancelled.
    Withdrawn,
    Expired,
}

impl Ending {
    /// The status of the run, and why in words.
    fn words(self) -> (ExecutionStatus, &'static str) {
        match self {
            Self::Replaced => (ExecutionStatus::Cancelled, "cancelled, another command was asked for"),
            Self::Closed => (ExecutionStatus::Cancelled, "cancelled, the conversation was closed"),
            Self::Withdrawn => (ExecutionStatus::Cancelled, "cancelled"),
            Self::Expired => (ExecutionStatus::Expired, "expired, nobody answered in time"),
        }
    }
}

/// Reads the state of a dialog.
pub(super) fn state(dialog: &Dialog) -> Result<State> {
    serde_json::from_str(&dialog.state).map_err(|error| Error::internal("read a dialog", error))
}

/// A question to be put.
struct Question<'a> {
    execution: &'a str,
    bot: &'a LoadedBot,
    command: &'a Command,
    state: State,
    preface: Option<&'a str>,
}

impl Hub {
    /// The dialog with its command; none when the bot has changed since or is gone.
    pub(super) fn going(&self, scene: &Scene<'_>, dialog: &Arc<Dialog>, state: State) -> Option<Going> {
        let bot = scene.snapshot.bot(&state.bot).filter(|bot| bot.bot.version == state.bot_version);
        let command = bot.and_then(|bot| Some((bot.clone(), bot.command(&state.command)?)));
        command.map(|(bot, command)| Going { dialog: dialog.clone(), state, bot, command })
    }

    /// Runs a request that begins here, or opens the dialog that asks for what it lacks.
    pub(super) async fn start(&self, scene: &Scene<'_>, request: Request, turn: Turn) -> Result<Receipt> {
        let place = Place::Conversation { turn: Box::new(turn), waiting: None, agreed: false };
        match self.engine.invoke(scene.principal, request, place).await? {
            Invoked::Said(receipt) => Ok(receipt),
            Invoked::Wants(wanting, turn) => Box::pin(self.open_dialog(scene, *wanting, *turn, false)).await,
            Invoked::Polled(_) => Err(Error::internal("answer", "a run answered another door")),
        }
    }

    /// Opens the dialog that asks for all parameters of a request, also for those that are known or not needed.
    pub(super) async fn open_form(&self, scene: &Scene<'_>, request: Request, turn: Turn) -> Result<Receipt> {
        let wanting = match self.engine.consider(scene.principal, request.clone())? {
            Considered::Ready(prepared) if prepared.command.parameters.is_empty() => {
                return self.start(scene, request, turn).await;
            }
            Considered::Ready(prepared) => prepared.unsettled(),
            Considered::Wanting(wanting) => *wanting,
        };
        self.open_dialog(scene, wanting, turn, true).await
    }

    async fn open_dialog(&self, scene: &Scene<'_>, wanting: Wanting, mut turn: Turn, whole: bool) -> Result<Receipt> {
        if let Some(old) = scene.dialog {
            let ended = self.dismiss(old, turn.beside(), Ending::Replaced, scene.at)?;
            turn.follows.push(ended);
        }
        let execution = wanting.execution(scene.principal, scene.at)?;
        let id = execution.id.clone();
        turn.execution = Some(execution);
        self.ask_for(scene, &mut turn, &id, wanting, whole)?;
        self.commit(turn).await
    }

    /// Asks for all that a request wants.
    fn ask_for(
        &self,
        scene: &Scene<'_>,
        turn: &mut Turn,
        execution: &str,
        wanting: Wanting,
        whole: bool,
    ) -> Result<()> {
        let Wanting { bot, command, arguments, faults, matches, source } = wanting;
        let need = Need { bot_version: bot.bot.version.clone(), arguments, faults, matches, source, whole };
        let state = State::open(&command, need);
        let question = Question { execution, bot: &bot, command: &command, state, preface: None };
        self.ask(scene, turn, question, None)
    }

    /// Puts a question: as the next message, and as the open dialog of the conversation. `form` is the dialog whose
    /// form stays.
    fn ask(&self, scene: &Scene<'_>, turn: &mut Turn, question: Question<'_>, form: Option<&Dialog>) -> Result<()> {
        let Question { execution, bot, command, mut state, preface } = question;
        state.hides = state.current(command).is_some_and(|parameter| parameter.hidden);
        let expires_at = form.map_or(scene.at + self.patience.expires, |dialog| dialog.expires_at);
        let reminds_at = form.map_or(self.patience.reminds_at(expires_at), |dialog| dialog.reminds_at);
        let mut message = match form {
            Some(_) => words::question(command, &state, preface),
            None => words::message(command, &state, execution, (scene.at, expires_at), preface),
        };
        let mut steps = Vec::new();
        if let Some(form) = &mut message.form {
            let id = || action_id().map_err(|error| Error::internal("make an id", error));
            (form.id, form.cancel_id) = (id()?, id()?);
            let submit = (form.id.clone(), form.submit.clone(), Step::Submit);
            steps = vec![submit, (form.cancel_id.clone(), "Cancel".to_owned(), Step::Cancel)];
        }
        let id = self.tell(scene, turn, bot, Some((execution, &command.name)), message)?;
        let conversation = turn.conversation.clone();
        for (action, label, step) in steps {
            let deed = Deed::Dialog { execution: execution.to_owned(), step };
            turn.beside().actions.push(Registered {
                id: action,
                conversation: conversation.clone(),
                message: id.clone(),
                principal: scene.principal.id.clone(),
                look: Offer::button(label, Style::Plain, deed.clone()).action,
                deed,
                single_use: false,
                expires_at: Some(expires_at),
                used_at: None,
            });
        }
        if form.is_none() {
            state.message = id;
        }
        let state = serde_json::to_string(&state).map_err(|error| Error::internal("write a dialog", error))?;
        turn.beside().dialog = Some(Becomes::Open(Dialog {
            execution: execution.to_owned(),
            conversation,
            principal: scene.principal.id.clone(),
            token: new_id(),
            state,
            expires_at,
            reminds_at,
        }));
        Ok(())
    }

    /// Adds an answer of a bot to the turn.
    fn tell(
        &self,
        scene: &Scene<'_>,
        turn: &mut Turn,
        bot: &LoadedBot,
        run: Option<(&str, &str)>,
        message: Message,
    ) -> Result<String> {
        let bot = Speaker { id: &bot.bot.name, name: &bot.bot.display_name };
        answer(turn, message, (bot, &scene.principal.id), run, scene.at)
    }

    /// Goes on with a dialog after an answer.
    pub(super) async fn go_on(&self, scene: &Scene<'_>, going: Going, next: Next, mut turn: Turn) -> Result<Receipt> {
        match next {
            Next::Ask(state, preface) => {
                let stays = state.stage == Stage::Form && !state.message.is_empty();
                if stays && state.arguments != going.state.arguments {
                    rewrite_form(&mut turn, &going, &state, FormState::Open);
                } else if state.message.is_empty() || state.stage != going.state.stage {
                    leave(&mut turn, &going, &state, FormState::Submitted);
                }
                let Going { dialog, bot, command, .. } = &going;
                let preface = preface.as_deref();
                let question = Question { execution: &dialog.execution, bot, command, state, preface };
                self.ask(scene, &mut turn, question, stays.then_some(dialog.as_ref()))?;
                self.commit(turn).await
            }
            Next::Run(state) => {
                let again = turn.clone();
                match self.finish(scene, &going, state, turn).await {
                    Err(error) if is_for_the_speaker(&error) => {
                        let message = self.engine.explain(&error, &going.state.bot, &going.state.command);
                        self.conclude(scene, &going, again, ExecutionStatus::Failed, message).await
                    }
                    outcome => outcome,
                }
            }
            Next::Cancel(text) => {
                self.conclude(scene, &going, turn, ExecutionStatus::Cancelled, Message::text(text)).await
            }
            Next::Elsewhere => Err(Error::internal("go on with a dialog", "that was no answer")),
        }
    }

    /// Runs what was asked for with the values of `state`. Errors leave the dialog as it was.
    pub(super) async fn finish(
        &self,
        scene: &Scene<'_>,
        going: &Going,
        state: State,
        mut turn: Turn,
    ) -> Result<Receipt> {
        leave(&mut turn, going, &state, FormState::Submitted);
        turn.beside().dialog = Some(Becomes::Closed);
        let request = Request {
            command: state.command,
            bot: Some(state.bot),
            arguments: state.arguments.into_iter().collect(),
            matches: state.matches,
            source: state.source,
        };
        let execution = &going.dialog.execution;
        let place = Place::Conversation { turn: Box::new(turn), waiting: Some(execution.clone()), agreed: true };
        match self.engine.invoke(scene.principal, request, place).await? {
            Invoked::Said(receipt) => {
                if !receipt.duplicate {
                    self.remember_dialog(&scene.conversation.id, None);
                }
                Ok(receipt)
            }
            Invoked::Wants(wanting, mut turn) => {
                self.ask_for(scene, &mut turn, execution, *wanting, false)?;
                self.commit(*turn).await
            }
            Invoked::Polled(_) => Err(Error::internal("answer", "a run answered another door")),
        }
    }

    /// Ends a dialog with an answer to who ended it.
    pub(super) async fn conclude(
        &self,
        scene: &Scene<'_>,
        going: &Going,
        mut turn: Turn,
        status: ExecutionStatus,
        message: Message,
    ) -> Result<Receipt> {
        let Going { dialog, state, bot, .. } = going;
        let why = if status == ExecutionStatus::Cancelled { "cancelled".to_owned() } else { message.text.clone() };
        leave(&mut turn, going, state, FormState::Cancelled);
        let ended = end(dialog, turn.beside(), status, &why, scene.at)?;
        turn.follows.push(ended);
        self.tell(scene, &mut turn, bot, Some((&dialog.execution, &state.command)), message)?;
        self.commit(turn).await
    }

    /// Ends a dialog whose bot has changed since or is gone.
    pub(super) async fn abandon(&self, scene: &Scene<'_>, dialog: &Arc<Dialog>, mut turn: Turn) -> Result<Receipt> {
        let state = state(dialog)?;
        let why = format!("{} has changed since this was asked", state.bot);
        let text = format!("{} has changed since I asked, so this has ended.", escape_markdown(&state.bot));
        let mut message = Message::text(text).tone(Tone::Warning);
        if scene.snapshot.bot(&state.bot).is_some_and(|bot| bot.command(&state.command).is_some()) {
            message = message.offer(self.restart(&state));
        }
        let over = Revision::Over { text: None, form: FormState::Cancelled, actions: Vec::new() };
        rewrite(turn.beside(), &state.message, over);
        turn.beside().settled.push(state.message.clone());
        let ended = end(dialog, turn.beside(), ExecutionStatus::Failed, &why, scene.at)?;
        turn.follows.push(ended);
        let name = scene.snapshot.bot(&state.bot).map(|bot| bot.bot.display_name.clone());
        let bot = Speaker { id: &state.bot, name: name.as_deref().unwrap_or(&state.bot) };
        let run = Some((dialog.execution.as_str(), state.command.as_str()));
        answer(&mut turn, message, (bot, &scene.principal.id), run, scene.at)?;
        self.commit(turn).await
    }

    /// Ends a dialog that nobody answers; its message says so. Answers the event that tells who polls the run.
    pub(super) fn dismiss(&self, dialog: &Dialog, beside: &mut Beside, ending: Ending, at: Millis) -> Result<NewEvent> {
        let state = state(dialog)?;
        let (status, why) = ending.words();
        let mut actions = Vec::new();
        if ending == Ending::Expired {
            let offers = vec![self.restart(&state)];
            let (shown, registered) =
                register(offers, &dialog.conversation, &state.message, (&state.bot, &dialog.principal), at)?;
            actions = shown;
            beside.actions.extend(registered);
        } else {
            beside.settled.push(state.message.clone());
        }
        let text = Some(format!("**{}**: {why}.", escape_markdown(&state.command)));
        let form = if ending == Ending::Expired { FormState::Expired } else { FormState::Cancelled };
        rewrite(beside, &state.message, Revision::Over { text, form, actions });
        end(dialog, beside, status, why, at)
    }

    /// A button that asks for the same again, with the values that were right. Hidden ones are asked for anew.
    fn restart(&self, state: &State) -> Offer {
        let snapshot = self.engine.registry().snapshot();
        let command = snapshot.bot(&state.bot).and_then(|bot| bot.command(&state.command));
        let deed = Deed::Run {
            bot: Some(state.bot.clone()),
            command: state.command.clone(),
            parameters: command.map(|command| state.shown(&command)).unwrap_or_default(),
            parameter_name: None,
        };
        Offer::button("Restart", Style::Primary, deed).once()
    }

    /// Ends the dialog of a run; `false` when it does not ask any more.
    pub(super) async fn withdraw(&self, conversation: &Conversation, execution: &str) -> Result<bool> {
        for _ in 0..TRIES {
            let dialog = self.store().open_dialog(&conversation.id).await?;
            let Some(dialog) = dialog.filter(|dialog| dialog.execution == execution) else { return Ok(false) };
            match self.settle(&dialog, conversation, Ending::Withdrawn).await {
                Err(error) if error.code == DIALOG_CHANGED => {}
                outcome => return outcome.map(|()| true),
            }
        }
        Err(Error::unavailable("the run is being answered; try again"))
    }

    /// Ends a dialog with nothing said.
    pub(super) async fn settle(&self, dialog: &Dialog, of: &Conversation, ending: Ending) -> Result<()> {
        let at = self.engine.clock().now();
        let mut beside = Beside::default();
        let ended = self.dismiss(dialog, &mut beside, ending, at)?;
        let turn = Turn {
            conversation: dialog.conversation.clone(),
            owner: of.owner.clone(),
            said: None,
            body_hash: String::new(),
            files: Vec::new(),
            at,
            dialog: Some(dialog.token.clone()),
            execution: None,
            follows: vec![ended],
            outside: outside(of, None),
            beside: Some(Box::new(beside)),
        };
        self.commit(turn).await.map(|_| ())
    }
}

/// Closes a dialog and its run; answers the event that tells who polls it.
fn end(dialog: &Dialog, beside: &mut Beside, status: ExecutionStatus, why: &str, at: Millis) -> Result<NewEvent> {
    beside.dialog = Some(Becomes::Closed);
    beside.runs.push(RunChange {
        id: dialog.execution.clone(),
        status,
        bot_version: None,
        request: None,
        responses: None,
        error: Some(why.to_owned()),
        started_at: None,
        finished_at: Some(at),
        delivery: None,
        approval: None,
        elsewhere: None,
        run: None,
    });
    execution_update(&dialog.execution, status, None, at)
}

fn rewrite(beside: &mut Beside, message: &str, revision: Revision) {
    beside.rewrites.push(Rewrite { message: message.to_owned(), event_id: new_id(), revision });
}

fn rewrite_form(turn: &mut Turn, going: &Going, state: &State, form: FormState) {
    let mut values = state.shown(&going.command);
    let is_open = |parameter: &&Parameter| !parameter.hidden && !state.wrong.contains(&parameter.name);
    for parameter in going.command.parameters.iter().filter(is_open) {
        if let (Some(default), true) = (&parameter.default, form == FormState::Open) {
            values.entry(parameter.name.clone()).or_insert_with(|| default.clone());
        }
    }
    rewrite(turn.beside(), &going.state.message, Revision::Form { state: form, values });
}

/// The message that asked so far asks no more. `state` holds the values it came to.
fn leave(turn: &mut Turn, going: &Going, state: &State, form: FormState) {
    let message = going.state.message.clone();
    match going.state.stage {
        Stage::Form => {
            rewrite_form(turn, going, state, form);
            turn.beside().settled.push(message);
        }
        // Taken by one of its buttons it shows which.
        Stage::Summary if turn.beside.as_ref().is_some_and(|beside| beside.taken.is_some()) => {}
        Stage::Summary => {
            rewrite(turn.beside(), &message, Revision::Over { text: None, form, actions: Vec::new() });
            turn.beside().settled.push(message);
        }
        Stage::Questions => {}
    }
}
