//! Acting on what came in: who did it, in which conversation, and then as through any other door.

use serde_json::{Value, json};

use super::{AskedForm, Deed, Inbound, Outside, Via, is_passing};
use crate::chat::{Choice, Order, Said, Target};
use crate::model::action::{Action, FormState};
use crate::model::conversation::HOUSE_BOT;
use crate::model::message::{Message, Tone, escape_markdown};
use crate::model::principal::{Principal, PrincipalKind};
use crate::model::{Error, Kind, Result};
use crate::render;
use crate::store::action::{unknown, used};
use crate::store::inbox::Arrival;
use crate::store::outbox::{NewNotice, Notice};

impl Outside {
    /// Acts on an arrival. Whatever is said or taken is known by the arrival's id, so that trying again changes nothing.
    pub(super) async fn act(&self, arrival: &Arrival) -> Result<()> {
        let payload: Value = serde_json::from_str(&arrival.payload)
            .map_err(|error| Error::invalid(format!("what came from outside is no JSON: {error}")))?;
        let adapter = self.adapter(&arrival.adapter)?;
        let Some(mut inbound) = adapter.read(&payload)? else { return Ok(()) };
        let may_run =
            matches!(inbound.deed, Deed::Say { .. } | Deed::Run { .. } | Deed::Take { .. } | Deed::Submit { .. });
        if may_run
            && inbound.via.is_nameless()
            && let Some(name) = adapter.channel_name(&inbound.via.place).await
        {
            inbound.via.name_channel(name);
        }
        let principal = match self.identity.of_account(&inbound.via.account, self.guests).await? {
            Some(known) if known.kind != PrincipalKind::Guest => Some(known),
            guest => {
                // Only who is nobody here goes by the name they have there.
                let name = adapter.name_of(&inbound.via.account).await;
                inbound.via.account.name.clone_from(&name);
                guest.map(|guest| Principal { name, ..guest })
            }
        };
        let Some(principal) = principal else { return self.ask_to_sign_in(arrival, &inbound).await };
        let account = &inbound.via.account;
        let outcome = self.carry_out(arrival, &principal, &inbound).await;
        match &outcome {
            // Who waits for it hears it another way.
            Err(error) if !is_passing(error) && !self.is_awaited(arrival) => {
                let message = Box::new(Message::text(escape_markdown(&error.message)).tone(Tone::Warning));
                let notice = Notice::Private { account: account.clone(), message };
                self.notify(&arrival.id, &inbound.via, notice).await?;
            }
            _ => {}
        }
        outcome
    }

    /// Sends a notice; one of the same id is the same.
    pub(super) async fn notify(&self, id: &str, via: &Via, notice: Notice) -> Result<()> {
        let (id, at) = (id.to_owned(), self.clock.now());
        self.store.send_notice(NewNotice { id, place: via.place.clone(), notice, at }).await
    }

    /// Somebody unknown here gets a link, but only when they meant us.
    async fn ask_to_sign_in(&self, arrival: &Arrival, inbound: &Inbound) -> Result<()> {
        let meant = match inbound.deed {
            Deed::Say { addressed, .. } => addressed,
            Deed::Run { .. } | Deed::Take { .. } | Deed::Submit { .. } => true,
            Deed::Edit { .. } | Deed::Unsay => false,
        };
        if !meant {
            return Ok(());
        }
        let notice = Notice::SignIn { account: inbound.via.account.clone() };
        self.notify(&arrival.id, &inbound.via, notice).await
    }

    async fn carry_out(&self, arrival: &Arrival, principal: &Principal, inbound: &Inbound) -> Result<()> {
        let via = &inbound.via;
        let client_id = Some(format!("{}-{}", arrival.adapter, arrival.id));
        match &inbound.deed {
            Deed::Say { text, addressed, files } => {
                let conversation = match self.store.conversation_at(&via.place, &principal.id).await? {
                    Some(open) => open,
                    None if !addressed => return Ok(()),
                    None => {
                        let bot = inbound.bot.as_deref().unwrap_or(HOUSE_BOT);
                        self.hub.open_at(principal, bot, &via.place).await?
                    }
                };
                let is_known = match client_id.as_deref().filter(|_| !files.is_empty()) {
                    Some(id) => self.was_said(arrival, &conversation, &principal.id, id).await?,
                    None => false,
                };
                if is_known {
                    return Ok(());
                }
                let attachments = self.take_in(arrival, principal, via, files).await?;
                let content = match text.trim().is_empty() {
                    false => text.clone(),
                    true if files.is_empty() => "help".to_owned(),
                    // Nothing is left of it.
                    true if attachments.is_empty() => return Ok(()),
                    true => String::new(),
                };
                let said = Said { conversation, content, client_id, reply_to: None, attachments };
                self.hub.say_via(principal, said, Some(via)).await?;
            }
            Deed::Run { bot, command, parameters } => {
                let here = inbound.bot.as_deref().unwrap_or(HOUSE_BOT);
                let order = Order {
                    conversation: self.hub.open_at(principal, here, &via.place).await?,
                    command: command.clone(),
                    bot: Some(bot.clone()),
                    parameters: parameters.clone(),
                    client_id,
                };
                self.hub.command_via(principal, order, Some(via)).await?;
            }
            Deed::Edit { text } => {
                let Some(target) = self.target(via, client_id).await? else { return Ok(()) };
                quietly(self.hub.edit_via(principal, target, text.clone(), Some(via)).await)?;
            }
            Deed::Unsay => {
                let Some(target) = self.target(via, client_id).await? else { return Ok(()) };
                quietly(self.hub.delete_via(principal, target, Some(via)).await)?;
            }
            Deed::Take { action, value, trigger } => {
                let (conversation, message) = self.offered(action).await?;
                if value.is_null() && self.shows_form(via, (&conversation, &message, action), trigger).await? {
                    return Ok(());
                }
                let value = self.meant(&conversation, &message, action, value).await?;
                let choice = Choice { conversation, message_id: message, action_id: action.clone(), value, client_id };
                self.hub.take_via(principal, choice, Some(via)).await?;
            }
            Deed::Submit { action, state } => {
                let (conversation, message) = self.offered(action).await?;
                let post = self.store.message(&conversation, &message).await?.map(|(_, post)| post);
                let form = post.and_then(|post| post.form).ok_or_else(unknown)?;
                let value = self.adapter(&via.place.platform)?.submitted(&form, state);
                let choice = Choice { conversation, message_id: message, action_id: action.clone(), value, client_id };
                self.hub.take_via(principal, choice, Some(via)).await?;
            }
        }
        Ok(())
    }

    /// The message of a conversation that was changed outside, when it is one.
    async fn target(&self, via: &Via, client_id: Option<String>) -> Result<Option<Target>> {
        let Some(reference) = &via.reference else { return Ok(None) };
        let known = self.store.referred(&via.place, reference).await?;
        Ok(known.map(|(conversation, message_id)| Target { conversation, message_id, client_id }))
    }

    /// The conversation and message that offer an action.
    async fn offered(&self, action: &str) -> Result<(String, String)> {
        self.store.place_of_action(action).await?.ok_or_else(unknown)
    }

    /// A chosen value as the action has it: chats get short keys of long values.
    async fn meant(&self, conversation: &str, message: &str, action: &str, value: &Value) -> Result<Value> {
        let Some(key) = value.as_str() else { return Ok(value.clone()) };
        let registered = self.store.action(conversation, message, action).await?;
        Ok(match registered.map(|registered| registered.look) {
            Some(Action::Select { options, .. }) => json!(render::chosen(&options, key).unwrap_or(key)),
            _ => value.clone(),
        })
    }

    /// Shows the form of a message to whoever presses the button that stands for it; `false` when there is none to show.
    async fn shows_form(
        &self,
        via: &Via,
        (conversation, message, action): (&str, &str, &str),
        trigger: &Option<String>,
    ) -> Result<bool> {
        let Some((_, post)) = self.store.message(conversation, message).await? else { return Ok(false) };
        let Some(form) = post.form.filter(|form| form.id == action) else { return Ok(false) };
        if form.state != FormState::Open {
            return Err(used());
        }
        let Some(trigger) = trigger.clone() else { return Ok(false) };
        let title = post.title.unwrap_or_else(|| form.submit.clone());
        let asked = AskedForm { via: via.clone(), trigger, title, form };
        self.adapter(&via.place.platform)?.show_form(&asked).await?;
        Ok(true)
    }
}

/// What cannot be changed stays: whoever changed it outside asked nothing of us.
fn quietly<T>(outcome: Result<T>) -> Result<()> {
    match outcome {
        Err(error) if matches!(error.kind, Kind::Invalid | Kind::Forbidden | Kind::NotFound | Kind::Conflict) => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}
