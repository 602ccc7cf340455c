//! Somebody who talks to a bot: says things, presses, chooses, fills in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::house::House;
use crate::chat::{Choice, Order, Said};
use crate::manifest::bot_test::{Deed, Person};
use crate::model::action::{Action, Form, FormState};
use crate::model::conversation::Conversation;
use crate::model::message::Post;
use crate::model::principal::{Principal, PrincipalKind, Rights};
use crate::model::{Error, Result};
use crate::store::conversation::Listed;

/// Conversations of one person that are looked at.
const MOST_CONVERSATIONS: i64 = 100;

/// Somebody, and the bot they talk to.
pub struct Visitor {
    pub principal: Arc<Principal>,
    pub bot: String,
    /// The kind of channel: `web`, or `terminal`, which knows no forms.
    pub channel: String,
}

/// Why something could not be done.
#[derive(Debug)]
pub enum Refusal {
    /// The house did not take it.
    Refused(Error),
    /// There was nothing to do it to; what there is instead.
    NotThere(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere(why) => f.write_str(why),
            Self::Refused(error) => {
                write!(f, "{}: {}", error.code, error.message)?;
                let errors = error.details.get("errors").and_then(Value::as_array);
                for fault in errors.into_iter().flatten() {
                    let text = |key: &str| fault.get(key).and_then(Value::as_str).unwrap_or_default();
                    if text("message") != error.message {
                        write!(f, "\n{}: {}", text("field"), text("message"))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Visitor {
    /// Lets somebody into the house; nobody else may have this id there.
    pub async fn enter(house: &House, id: &str, person: &Person, bot: &str, channel: &str) -> Result<Self> {
        let user = Principal {
            id: id.to_owned(),
            kind: PrincipalKind::User,
            name: person.name.clone(),
            roles: person.roles.clone(),
            groups: person.groups.clone(),
            serves: Vec::new(),
            rights: Rights::default(),
        };
        let principal = house.identity.let_in(user, "simulator").await?;
        Ok(Self { principal, bot: bot.to_owned(), channel: channel.to_owned() })
    }

    /// The conversation with the bot in their channel, opened when there is none.
    pub async fn conversation(&self, house: &House) -> Result<String> {
        let all = house.store().conversations(&self.principal.id, None, MOST_CONVERSATIONS).await?;
        let is_ours =
            |conversation: &&Conversation| conversation.bot == self.bot && conversation.channel == self.channel;
        match all.iter().map(|listed| &listed.conversation).find(is_ours) {
            Some(open) => Ok(open.id.clone()),
            None => Ok(house.hub.open(&self.principal, &self.bot, &self.channel).await?.id),
        }
    }

    /// All conversations they have, that with the bot first.
    pub async fn conversations(&self, house: &House) -> Result<Vec<String>> {
        let mut all = house.store().conversations(&self.principal.id, None, MOST_CONVERSATIONS).await?;
        all.sort_by_key(|Listed { conversation, .. }| {
            (conversation.bot != self.bot, conversation.channel != self.channel)
        });
        Ok(all.into_iter().map(|listed| listed.conversation.id).collect())
    }

    pub async fn act(&self, house: &House, deed: &Deed) -> std::result::Result<(), Refusal> {
        match deed {
            Deed::Say(text) => self.say(house, text).await?,
            Deed::Press(label) => self.press(house, label).await?,
            Deed::Choose { label, value } => self.choose(house, label, value).await?,
            Deed::Fill(values) => self.fill(house, values).await?,
            Deed::Run { command, parameters } => {
                let order = Order {
                    conversation: self.conversation(house).await?,
                    command: command.clone(),
                    bot: None,
                    parameters: parameters.clone().into_iter().collect(),
                    client_id: None,
                };
                house.hub.command(&self.principal, order).await?;
            }
            Deed::Wait(millis) => house.pass(*millis).await?,
        }
        Ok(())
    }

    pub async fn say(&self, house: &House, text: &str) -> Result<()> {
        let said = Said {
            conversation: self.conversation(house).await?,
            content: text.to_owned(),
            client_id: None,
            reply_to: None,
            attachments: Vec::new(),
        };
        Box::pin(house.hub.say(&self.principal, said)).await.map(|_| ())
    }

    /// Takes an action of a message.
    pub async fn take(&self, house: &House, post: &Post, action_id: &str, value: Value) -> Result<()> {
        let choice = Choice {
            conversation: post.session_id.clone(),
            message_id: post.message_id.clone(),
            action_id: action_id.to_owned(),
            value,
            client_id: None,
        };
        Box::pin(house.hub.take(&self.principal, choice)).await.map(|_| ())
    }

    async fn posts(&self, house: &House) -> Result<Vec<Post>> {
        let mut posts = Vec::new();
        for conversation in self.conversations(house).await? {
            posts.extend(house.messages(&conversation).await?);
        }
        Ok(posts)
    }

    async fn press(&self, house: &House, label: &str) -> std::result::Result<(), Refusal> {
        let posts = self.posts(house).await?;
        for post in &posts {
            for action in post.actions.iter().filter(|action| is_there(action)) {
                if let (Action::Button { id, .. }, true) = (action, is_same(action.label(), label)) {
                    return Ok(self.take(house, post, id, Value::Null).await?);
                }
            }
            let Some(form) = open_form(post) else { continue };
            if is_same(&form.submit, label) {
                return Ok(self.take(house, post, &form.id, filled(form, &BTreeMap::new())).await?);
            }
            if is_same("Cancel", label) {
                return Ok(self.take(house, post, &form.cancel_id, Value::Null).await?);
            }
        }
        let all: Vec<String> = posts.iter().flat_map(offered).collect();
        Err(Refusal::NotThere(format!("there is no button \"{label}\"; there is {}", list(&all))))
    }

    async fn choose(&self, house: &House, label: &str, value: &str) -> std::result::Result<(), Refusal> {
        let posts = self.posts(house).await?;
        for post in &posts {
            for action in post.actions.iter().filter(|action| is_there(action) && is_same(action.label(), label)) {
                let value = match action {
                    // By its label, too, since that is what people see.
                    Action::Select { options, .. } => {
                        let named = options.iter().find(|option| is_same(&option.label, value));
                        named
                            .filter(|_| !options.iter().any(|option| option.value == value))
                            .map(|one| one.value.as_str())
                    }
                    Action::Date { .. } => None,
                    Action::Button { .. } | Action::Link { .. } => continue,
                }
                .unwrap_or(value);
                return Ok(self.take(house, post, action.id().unwrap_or_default(), json!(value)).await?);
            }
        }
        let all: Vec<String> = posts.iter().flat_map(offered).collect();
        Err(Refusal::NotThere(format!("there is no choice \"{label}\"; there is {}", list(&all))))
    }

    async fn fill(&self, house: &House, values: &BTreeMap<String, String>) -> std::result::Result<(), Refusal> {
        let posts = self.posts(house).await?;
        for post in &posts {
            if let Some(form) = open_form(post) {
                return Ok(self.take(house, post, &form.id, filled(form, values)).await?);
            }
        }
        Err(Refusal::NotThere("there is no form to fill in".to_owned()))
    }
}

/// The form of a message, when it can be filled in.
pub(super) fn open_form(post: &Post) -> Option<&Form> {
    post.form.as_ref().filter(|form| form.state == FormState::Open)
}

/// What a form sends: what stands in it, and what is given.
fn filled(form: &Form, values: &BTreeMap<String, String>) -> Value {
    let standing = form.fields.iter().filter_map(|field| Some((field.name.clone(), json!(field.value.as_ref()?))));
    let mut all: Map<String, Value> = standing.collect();
    all.extend(values.iter().map(|(name, value)| (name.clone(), json!(value))));
    Value::Object(all)
}

fn is_there(action: &Action) -> bool {
    action.life().is_none_or(|life| life.used.is_none())
}

fn is_same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

/// The labels of what can be done at a message.
pub(super) fn offered(post: &Post) -> Vec<String> {
    let actions = post.actions.iter().filter(|action| is_there(action)).map(|action| action.label().to_owned());
    let form = open_form(post).into_iter().flat_map(|form| [form.submit.clone(), "Cancel".to_owned()]);
    actions.chain(form).collect()
}

/// A list in words.
pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
