//! A message as readers of the automation API know it: a text with attachments, and what its buttons and menus run.

use serde_json::{Map, Value, json};

use crate::model::action::{Action, Style};
use crate::model::message::{Message, Part, PostMode, Tone, unescape_markdown};
use crate::model::offer::{Deed, Offer};
use crate::store::execution::Execution;

/// One message of a run. `request` is the echoed command request.
pub(super) fn response(message: &Message, request: &Map<String, Value>, execution: &Execution) -> Value {
    let source = request.get("source").cloned().unwrap_or_else(|| json!({}));
    let commands: Vec<Command<'_>> = message.offers.iter().enumerate().filter_map(Command::of).collect();
    let (content_type, body) = match message.is_plain() {
        true => ("text/plain", unescape_markdown(&message.text)),
        false => ("application/x-atomist-slack+json", attachments(message, &commands).to_string()),
    };
    let mut response = Map::new();
    response.insert("destinations".into(), json!([source]));
    response.insert("command".into(), json!(execution.command));
    response.insert("source".into(), source);
    response.insert("content_type".into(), json!(content_type));
    response.insert("correlation_id".into(), json!(execution.id));
    if let Some(team) = request.get("team") {
        response.insert("team".into(), team.clone());
    }
    response.insert("api_version".into(), request.get("api_version").cloned().unwrap_or_else(|| json!("1")));
    response.insert("body".into(), json!(body));
    let mut post_mode = PostMode::Ttl;
    if let Some(key) = &message.key {
        post_mode = key.post;
        response.insert("id".into(), json!(key.id));
        response.insert("timestamp".into(), json!(execution.finished_at.unwrap_or(execution.created_at)));
        if let Some(ttl) = key.ttl_ms {
            response.insert("ttl".into(), json!(ttl));
        }
    }
    response.insert("post_mode".into(), json!(post_mode));
    if !commands.is_empty() {
        response.insert("actions".into(), commands.iter().map(Command::reference).collect());
    }
    Value::Object(response)
}

/// An offer that runs a command, with the id by which its button or menu refers to it.
struct Command<'a> {
    id: String,
    offer: &'a Offer,
    name: &'a str,
    parameters: Vec<Value>,
    parameter_name: Option<&'a str>,
}

impl<'a> Command<'a> {
    fn of((index, offer): (usize, &'a Offer)) -> Option<Self> {
        let (name, parameters, parameter_name) = match offer.deed.as_ref()? {
            Deed::Run { command, parameters, parameter_name, .. } => (command, parameters, parameter_name.as_deref()),
            Deed::Form { command, parameters, .. } => (command, parameters, None),
            Deed::Dialog { .. } | Deed::Decide { .. } | Deed::Answer { .. } | Deed::Control { .. } => return None,
        };
        let parameters = parameters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let id = format!("{}-{index}", name.to_lowercase());
        Some(Self { id, offer, name, parameters, parameter_name })
    }

    /// What is run when it is pressed or chosen.
    fn reference(&self) -> Value {
        let mut reference = json!({ "id": self.id, "command": self.name, "parameters": self.parameters });
        if let Some(name) = self.parameter_name {
            reference["parameter_name"] = json!(name);
        }
        reference
    }

    /// How it looks in an attachment; a date has no look there.
    fn shown(&self) -> Option<Value> {
        let name = format!("automation-command::{}", self.id);
        Some(match &self.offer.action {
            Action::Button { label, style, confirm, .. } => {
                let mut button = json!({ "text": label, "type": "button", "name": name, "value": self.id });
                match style {
                    Style::Plain => {}
                    Style::Primary => button["style"] = json!("primary"),
                    Style::Danger => button["style"] = json!("danger"),
                }
                if let Some(text) = confirm {
                    let confirm = json!({ "title": label, "text": text, "ok_text": label, "dismiss_text": "Cancel" });
                    button["confirm"] = confirm;
                }
                button
            }
            Action::Select { label, options, .. } => {
                let options: Vec<Value> =
                    options.iter().map(|choice| json!({ "text": choice.label, "value": choice.value })).collect();
                json!({ "text": label, "type": "select", "name": name, "options": options })
            }
            Action::Date { .. } | Action::Link { .. } => return None,
        })
    }
}

/// The chat message object: text and attachments.
fn attachments(message: &Message, commands: &[Command<'_>]) -> Value {
    let colour = message.tone.map(|tone| match tone {
        Tone::Info => "#2f6fde",
        Tone::Success => "#2e8b57",
        Tone::Warning => "#c77f00",
        Tone::Error => "#c8372d",
        Tone::Question => "#7a5af5",
    });
    let mut attachments: Vec<Value> = message.parts.iter().filter_map(attachment).collect();
    if let Some(title) = &message.title {
        attachments.insert(0, json!({ "fallback": title, "title": title }));
    }
    attachments.extend(message.offers.iter().filter_map(in_words).map(|words| text(&words)));
    let shown: Vec<Value> = commands.iter().filter_map(Command::shown).collect();
    // Five of them is what one attachment shows.
    for actions in shown.chunks(5) {
        let labels: Vec<&str> = actions.iter().filter_map(|action| action["text"].as_str()).collect();
        attachments.push(json!({ "fallback": labels.join(", "), "callback_id": "actions", "actions": actions }));
    }
    if let Some(colour) = colour {
        attachments.iter_mut().filter_map(Value::as_object_mut).for_each(|attachment| {
            attachment.insert("color".into(), json!(colour));
        });
    }
    json!({ "text": message.text, "attachments": attachments })
}

/// What cannot be pressed there, as a text: a link, and a day to choose.
fn in_words(offer: &Offer) -> Option<String> {
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    match &offer.action {
        Action::Link { label, url } => Some(format!("<{}|{}>", plain(url).replace('|', "%7C"), plain(label))),
        Action::Date { label, .. } => Some(plain(label)),
        Action::Button { .. } | Action::Select { .. } => None,
    }
}

fn text(text: &str) -> Value {
    json!({ "fallback": text, "text": text, "mrkdwn_in": ["text"] })
}

fn attachment(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Markdown { text: markdown } => text(markdown),
        Part::Fields { fields } => {
            let fields: Vec<Value> =
                fields.iter().map(|f| json!({ "title": f.name, "value": f.value, "short": f.short })).collect();
            json!({ "fallback": "fields", "fields": fields, "mrkdwn_in": ["fields"] })
        }
        Part::Table { columns, rows } => {
            let lines = std::iter::once(columns).chain(rows).map(|row| row.join(" | "));
            text(&format!("```\n{}\n```", lines.collect::<Vec<_>>().join("\n")))
        }
        Part::Code { text: code, .. } => text(&format!("```\n{code}\n```")),
        Part::List { items } => text(&items.iter().map(|item| format!("• {item}")).collect::<Vec<_>>().join("\n")),
        Part::Quote { text: quote } => {
            text(&quote.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n"))
        }
        // A picture of this installation has no address that another chat could reach.
        Part::Image { url, alt } if url.starts_with('/') => text(alt),
        Part::Image { url, alt } => json!({ "fallback": alt, "image_url": url }),
        Part::Context { texts } => json!({ "fallback": texts.join(" · "), "footer": texts.join(" · ") }),
        Part::Collapsible { title, text } => {
            json!({ "fallback": title, "title": title, "text": text, "mrkdwn_in": ["text"] })
        }
        Part::Progress { label, step, total, .. } => text(&format!("{label} ({step}/{total})")),
        Part::Divider => return None,
    })
}
