use proptest::prelude::*;

use super::building::{PLACE, choices, escaped, everything, message, typed};
use crate::model::action::{Action, Life};
use crate::model::message::Message;
use crate::render::plain::{self, Look, Numbered, numbered};

#[test]
fn every_part_can_be_read_as_text() {
    insta::assert_snapshot!("plain_everything", plain::text(&everything(), &PLACE, Look::default()));
    let coloured = plain::text(&Message::text("**bold** and `code`"), &PLACE, Look { ansi: true, numbered: 0 });
    assert_eq!(coloured, "\u{1b}[1mbold\u{1b}[22m and \u{1b}[36mcode\u{1b}[39m");
}

#[test]
fn what_can_be_done_is_numbered() {
    let select =
        Action::Select { id: "a_1".into(), label: "Where?".into(), options: choices(2), life: Life::default() };
    let said = Message { actions: vec![select], ..Message::text("Choose.") };
    assert_eq!(plain::text(&said, &PLACE, Look::default()), "Choose.\n\n1. Where?: Choice 1\n2. Where?: Choice 2");
    let second = Numbered::Choose { id: "a_1", label: "Where?", choice: "Choice 2", value: "value-2" };
    assert_eq!(numbered(&said)[1], second);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_steers_a_terminal(message in message(), text in typed()) {
        let shown = plain::text(&message, &PLACE, Look::default());
        prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        let typed = plain::text(&Message::text(format!("said {}.", escaped(&text))), &PLACE, Look::default());
        let squeeze = |text: &str| {
            text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != '\u{202e}').collect::<String>()
        };
        prop_assert_eq!(squeeze(&typed), squeeze(&format!("said {text}.")));
    }
}
