//! Messages to render: one with every part, and any that a generator thinks of.

use proptest::prelude::*;

use crate::model::action::{Action, Choice, Form, FormField, FormState, Life, Style, Used};
use crate::model::file::File;
use crate::model::message::{Field, Message, Part, ProgressState, Tone, escape_markdown};
use crate::render::Place;

pub(super) const PLACE: Place<'static> =
    Place { public_url: Some("https://parlour.example"), full_url: Some("https://parlour.example/c/1#m1") };

fn life() -> Life {
    Life::default()
}

pub(super) fn field(name: &str, value: &str, short: bool) -> Field {
    Field { name: name.into(), value: value.into(), short }
}

pub(super) fn choices(count: usize) -> Vec<Choice> {
    (1..=count).map(|at| Choice { value: format!("value-{at}"), label: format!("Choice {at}") }).collect()
}

pub(super) fn form(fields: Vec<FormField>, state: FormState) -> Form {
    let expires_at = "2026-11-23T12:15:00Z".into();
    Form { id: "a_form".into(), cancel_id: "a_cancel".into(), submit: "Book".into(), fields, state, expires_at }
}

pub(super) fn form_field(name: &str, kind: &str) -> FormField {
    FormField {
        name: name.into(),
        label: format!("Which {name}?"),
        hint: None,
        kind: kind.into(),
        required: true,
        value: None,
        choices: Vec::new(),
        min_length: None,
        max_length: None,
        pattern: None,
        error: None,
        hidden: false,
    }
}

/// Every type of field there is.
pub(super) fn every_field() -> Vec<FormField> {
    vec![
        FormField { value: Some("web".into()), min_length: Some(2), ..form_field("service", "string") },
        FormField { required: false, max_length: Some(500), ..form_field("why", "text") },
        FormField {
            choices: vec!["staging".into(), "prod".into()],
            value: Some("prod".into()),
            hint: Some("Where it goes.".into()),
            ..form_field("environment", "choice")
        },
        FormField { error: Some("a whole number, please".into()), ..form_field("count", "integer") },
        form_field("share", "number"),
        FormField { value: Some("true".into()), ..form_field("restart", "boolean") },
        FormField { value: Some("2026-11-23".into()), ..form_field("day", "date") },
        form_field("contact", "email"),
        form_field("page", "url"),
        FormField { hidden: true, value: Some("never shown".into()), ..form_field("token", "string") },
    ]
}

pub(super) fn button(id: &str, label: &str) -> Action {
    Action::Button { id: id.into(), label: label.into(), style: Style::Plain, confirm: None, life: life() }
}

/// A message that holds everything once.
pub(super) fn everything() -> Message {
    let used = |chosen| Life { used: Some(Used { by: "Ann".into(), at: "…".into(), chosen }), expires_at: None };
    Message {
        title: Some("Rollout of *web*".into()),
        tone: Some(Tone::Warning),
        text: "Going to **prod** with `v1.2`, see [the plan](https://example.com/plan?a=1&b=2).\nSecond line.".into(),
        parts: vec![
            Part::Markdown {
                text:
                    "# Heading\n\nAn *emphasised* word, ~~struck~~ and un**frigging**believable.\n\n1. one\n2. two\n   \
                       - nested\n\n> quoted\n\n```rust\nfn main() {}\n```\n\n---\n\n| a | b |\n|---|---|\n| 1 | 2 |"
                        .into(),
            },
            Part::Fields {
                fields: vec![
                    field("Service", "web", true),
                    field("Version", "`1.2`", true),
                    field("Owner", "a_b *c* \\*d\\*", false),
                ],
            },
            Part::Table {
                columns: vec!["Host".into(), "State".into()],
                rows: vec![vec!["web-1".into(), "**up**".into()], vec!["web-2".into()]],
            },
            Part::Code { lang: "sh".into(), text: "echo '```' <@U1> & done".into() },
            Part::List { items: vec!["first".into(), "**second**".into()] },
            Part::Quote { text: "Said *before*.".into() },
            Part::Image { url: "/hills.png".into(), alt: "Hills".into() },
            Part::Image { url: "data:image/png;base64,AA==".into(), alt: "A dot".into() },
            Part::Context { texts: vec!["small print".into(), "more of *it*".into()] },
            Part::Collapsible { title: "The log".into(), text: "line one\n\nline two".into() },
            Part::Progress { label: "build".into(), step: 1, total: 4, state: ProgressState::Running },
            Part::Progress { label: "test".into(), step: 4, total: 4, state: ProgressState::Done },
            Part::Divider,
        ],
        suggestions: vec!["help".into(), "deploy web to prod".into()],
        actions: vec![
            Action::Button {
                id: "a_go".into(),
                label: "Go".into(),
                style: Style::Danger,
                confirm: Some("Really go?".into()),
                life: life(),
            },
            button("a_plain", "Wait"),
            Action::Select { id: "a_where".into(), label: "Where?".into(), options: choices(3), life: life() },
            Action::Date { id: "a_when".into(), label: "When?".into(), min: None, max: None, life: life() },
            Action::Link { label: "Runbook".into(), url: "https://example.com/runbook".into() },
            Action::Button {
                id: "a_yes".into(),
                label: "Yes".into(),
                style: Style::Primary,
                confirm: None,
                life: used(true),
            },
            Action::Button {
                id: "a_no".into(),
                label: "No".into(),
                style: Style::Plain,
                confirm: None,
                life: used(false),
            },
        ],
        form: Some(form(every_field(), FormState::Open)),
        files: vec![File { id: "f_1".into(), name: "log.txt".into(), media_type: "text/plain".into(), size: 12 }],
        ..Message::default()
    }
}

/// [`everything`], with each text and each list twenty times as long.
pub(super) fn far_too_large() -> Message {
    let mut message = everything();
    let long = |text: &str| format!("{text} & more. ").repeat(20);
    message.title = message.title.map(|title| long(&title));
    message.text = format!("{}\n\n", message.text).repeat(20);
    message.parts = (0..20).flat_map(|_| message.parts.clone()).collect();
    message.parts.push(Part::Code { lang: String::new(), text: "a line of a log & its <end>\n".repeat(2_000) });
    let row = vec!["cell".to_owned(); 30];
    message.parts.push(Part::Table { columns: row.clone(), rows: vec![row; 300] });
    message.suggestions = message.suggestions.iter().map(|text| long(text)).collect();
    message.actions = (0..20).flat_map(|_| message.actions.clone()).collect();
    for (at, action) in message.actions.iter_mut().enumerate() {
        action.set_id(format!("a_{at}"));
    }
    let options = choices(300).into_iter().map(|option| Choice { label: long(&option.label), ..option });
    message.actions.push(Action::Select {
        id: "a_many".into(),
        label: "One of many".into(),
        options: options.collect(),
        life: life(),
    });
    message
}

/// Pieces that each chat reads as something, in the hands of people who know it.
const PIECES: &[&str] = &[
    "word",
    " ",
    "\n",
    "\n\n",
    "*",
    "**",
    "_",
    "__",
    "~",
    "~~",
    "`",
    "```",
    "> ",
    "# ",
    "- ",
    "1. ",
    "|",
    "||",
    "[",
    "](",
    ")",
    "<",
    ">",
    "<@U123>",
    "<!channel>",
    "<!here|x>",
    "<#C1>",
    "<@&9>",
    "</run:1>",
    "<t:1:R>",
    "<:e:1>",
    "@everyone",
    "@here",
    "#general",
    "&",
    "&lt;",
    "&amp;",
    "https://evil.example/x",
    "http://a",
    "[x](https://evil.example)",
    "<https://evil.example|here>",
    "mailto:a@b.example",
    "\\",
    "é",
    "😀",
    "\u{202e}",
    "\u{1b}[2J",
    "$",
    ":smile:",
];

/// What a person might type.
pub(super) fn typed() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
}

/// A text of any length, sometimes far too long.
fn text() -> impl Strategy<Value = String> {
    (typed(), prop_oneof![4 => Just(1_usize), 1 => 1..200_usize]).prop_map(|(text, times)| text.repeat(times))
}

fn part() -> impl Strategy<Value = Part> {
    let texts = || prop::collection::vec(text(), 0..12);
    prop_oneof![
        text().prop_map(|text| Part::Markdown { text }),
        prop::collection::vec((text(), text(), any::<bool>()), 0..40).prop_map(|fields| Part::Fields {
            fields: fields.into_iter().map(|(name, value, short)| Field { name, value, short }).collect()
        }),
        (prop::collection::vec(typed(), 0..25), prop::collection::vec(prop::collection::vec(typed(), 0..6), 0..110))
            .prop_map(|(columns, rows)| Part::Table { columns, rows }),
        text().prop_map(|text| Part::Code { lang: "rust".into(), text }),
        texts().prop_map(|items| Part::List { items }),
        text().prop_map(|text| Part::Quote { text }),
        (prop::sample::select(vec!["https://example.com/a.png", "/a.png", "javascript:x", ""]), text())
            .prop_map(|(url, alt)| Part::Image { url: url.into(), alt }),
        texts().prop_map(|texts| Part::Context { texts }),
        (text(), text()).prop_map(|(title, text)| Part::Collapsible { title, text }),
        (text(), any::<u32>(), any::<u32>()).prop_map(|(label, step, total)| Part::Progress {
            label,
            step,
            total,
            state: ProgressState::Done
        }),
        Just(Part::Divider),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let life = any::<Option<bool>>().prop_map(|used| Life {
        expires_at: None,
        used: used.map(|chosen| Used { by: "*Ann* <@U1>".into(), at: String::new(), chosen }),
    });
    let options = prop::collection::vec((typed(), typed()), 0..130);
    (0..4_usize, text(), prop::option::of(text()), options, life).prop_map(|(kind, label, confirm, options, life)| {
        let id = String::new();
        match kind {
            0 => Action::Button { id, label, style: Style::Danger, confirm, life },
            1 => {
                let options = options.into_iter().map(|(value, label)| Choice { value, label }).collect();
                Action::Select { id, label, options, life }
            }
            2 => Action::Date { id, label, min: None, max: None, life },
            _ => Action::Link { label, url: "https://example.com/".into() },
        }
    })
}

/// Any message.
pub(super) fn message() -> impl Strategy<Value = Message> {
    let tones = vec![None, Some(Tone::Info), Some(Tone::Error)];
    (
        (text(), prop::option::of(text()), prop::sample::select(tones)),
        prop::collection::vec(part(), 0..8),
        prop::collection::vec(text(), 0..6),
        prop::collection::vec(action(), 0..30),
        any::<Option<bool>>(),
    )
        .prop_map(|((text, title, tone), parts, suggestions, mut actions, opened)| {
            for (at, action) in actions.iter_mut().enumerate() {
                action.set_id(format!("a_{at}"));
            }
            let state = |open| if open { FormState::Open } else { FormState::Expired };
            let form = opened.map(|open| form(every_field(), state(open)));
            Message { text, title, tone, parts, suggestions, actions, form, ..Message::default() }
        })
}

/// What a person typed, as it stands in a reply.
pub(super) fn escaped(text: &str) -> String {
    // As a template writes values: also what is markup only where a line begins.
    escape_markdown(text).replace("- ", "\\- ").replace("1. ", "1\\. ")
}
