//! A command that was not said in words: named, with its parameters beside it.

use serde_json::json;

use super::Hub;
use super::hub::{Act, Scene};
use super::outside::Via;
use super::say::{Said, check_content, said_event};
use crate::engine::invoke::Request;
use crate::model::Result;
use crate::model::command::Command;
use crate::model::id::sha256_hex;
use crate::model::name::fold;
use crate::model::principal::Principal;
use crate::store::log::Receipt;

/// A wish to run a command in a conversation.
#[derive(Debug)]
pub struct Order {
    pub conversation: String,
    pub command: String,
    /// The bot it belongs to; none means the conversation's, or else the one bot that has such a command.
    pub bot: Option<String>,
    pub parameters: Vec<(String, String)>,
    /// The sender's own id for it.
    pub client_id: Option<String>,
}

impl Hub {
    /// Runs a command in a conversation; it stands there as if its sender had typed it. What cannot be mended by asking
    /// is an error, and nothing is stored.
    pub async fn command(&self, principal: &Principal, order: Order) -> Result<Receipt> {
        self.command_via(principal, order, None).await
    }

    /// The same for what may come from outside.
    pub async fn command_via(&self, principal: &Principal, order: Order, via: Option<&Via>) -> Result<Receipt> {
        self.act(principal, &order.conversation, Act::Command(&order), via).await
    }

    /// One try of [`Hub::command`].
    pub(super) async fn obey(&self, scene: &Scene<'_>, order: &Order) -> Result<Receipt> {
        let own = &scene.conversation.bot;
        let has_it = |bot: &String| scene.snapshot.bot(bot).is_some_and(|bot| bot.command(&order.command).is_some());
        let bot = order.bot.clone().or_else(|| Some(own.clone()).filter(has_it));
        let mut request = Request {
            command: order.command.clone(),
            bot,
            arguments: order.parameters.clone(),
            matches: Vec::new(),
            source: scene.source(""),
        };
        let command = self.engine.command(scene.principal, &request)?;
        let content = readable(&command, own, &order.parameters);
        check_content(&content)?;
        request.source = scene.source(&content);
        let wish = json!([order.command, order.bot, order.parameters]).to_string();
        let said = Said {
            conversation: scene.conversation.id.clone(),
            content: String::new(),
            client_id: order.client_id.clone(),
            reply_to: None,
            attachments: Vec::new(),
        };
        let turn =
            scene.turn(said_event(scene.principal, &said, &content, &[], scene.at)?, sha256_hex(wish.as_bytes()));
        self.start(scene, request, turn).await
    }
}

/// A command with its values as one would type it to the bot `here`; hidden values are not shown.
pub(super) fn readable(command: &Command, here: &str, values: &[(String, String)]) -> String {
    let mut text =
        if command.bot == here { command.name.clone() } else { format!("@{} {}", command.bot, command.name) };
    let place = |name: &str| command.parameters.iter().position(|parameter| fold(&parameter.name) == fold(name));
    let mut values: Vec<&(String, String)> = values.iter().collect();
    // In the order of the command, whatever order they came in.
    values.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    for (name, value) in values {
        text.push_str(&format!(" {name}={}", quoted(command.shown(name, value))));
    }
    text
}

/// A value in quotation marks, when it needs them to stay one.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\');
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
