use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::approval::Confirm;
use crate::model::bot::Access;
use crate::model::command::{Body, Effect, Reply};
use crate::model::parameter::{ParameterType, ValuePattern};

fn parameter(name: &str) -> Parameter {
    Parameter { name: name.into(), required: true, ..Parameter::default() }
}

/// `service` by a pattern, `environment` one of two, `count` with a default, `note` not needed, `key` hidden.
fn command(auto_submit: bool) -> Command {
    let mut service = parameter("service");
    service.pattern = Some(ValuePattern::new("[a-z]{2,9}").unwrap());
    let mut environment = parameter("environment");
    environment.kind = ParameterType::Choice { choices: vec!["staging".into(), "prod".into()] };
    let mut count = parameter("count");
    (count.kind, count.default, count.required) = (ParameterType::Integer, Some("1".into()), false);
    let note = Parameter { required: false, ..parameter("note") };
    let key = Parameter { hidden: true, ..parameter("key") };
    Command {
        bot: "shop".into(),
        name: "deploy".into(),
        description: String::new(),
        intents: Vec::new(),
        parameters: vec![service, environment, count, note, key],
        mapped_parameters: BTreeMap::new(),
        examples: Vec::new(),
        access: Access::default(),
        effect: Effect::Read,
        confirm: Confirm::Never,
        approve: None,
        auto_submit,
        priority: 0,
        body: Body::Reply(Reply::default()),
        data: BTreeMap::new(),
    }
}

fn open(command: &Command, channel: &str, given: &[(&str, &str)]) -> State {
    open_as(command, channel, given, false)
}

fn open_as(command: &Command, channel: &str, given: &[(&str, &str)], whole: bool) -> State {
    let arguments: BTreeMap<String, String> =
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let missing = command.parameters.iter().filter(|p| p.required && !arguments.contains_key(&p.name));
    let faults =
        missing.map(|p| Fault { parameter: p.name.clone(), code: "required", message: String::new(), value: None });
    let need = Need {
        bot_version: "1".into(),
        faults: faults.collect(),
        arguments,
        matches: Vec::new(),
        source: Source { channel: channel.into(), ..Source::default() },
        whole,
    };
    State::open(command, need)
}

#[test]
fn a_form_that_is_opened_asks_for_everything() {
    let all = [("service", "web"), ("environment", "prod"), ("key", "k")];
    let names = ["service", "environment", "count", "note", "key"];
    for (channel, stage) in [("web", Stage::Form), ("api", Stage::Questions)] {
        for given in [&all[..], &[]] {
            let state = open_as(&command(true), channel, given, true);
            assert_eq!((state.stage, state.asked.as_slice()), (stage, &names.map(str::to_owned)[..]));
        }
    }
}

fn asks(next: Next) -> State {
    match next {
        Next::Ask(state, _) => state,
        other => panic!("{other:?} asks nothing"),
    }
}

#[test]
fn questions_come_one_by_one_and_can_be_taken_back() {
    let command = command(true);
    let state = open(&command, "api", &[("environment", "prod")]);
    assert_eq!((state.stage, &state.asked[..]), (Stage::Questions, &["service".to_owned(), "key".to_owned()][..]));
    let wrong = asks(state.answer(&command, "UPPER"));
    assert_eq!((wrong.at, wrong.tries), (0, 1));
    let second = asks(wrong.answer(&command, " web "));
    assert_eq!((second.at, second.tries, second.arguments["service"].as_str()), (1, 0, "web"));
    let first = asks(second.answer(&command, "Back"));
    assert_eq!(first.at, 0);
    let kept = asks(first.answer(&command, "default"));
    assert_eq!((kept.at, kept.arguments["service"].as_str()), (1, "web"), "what was said before is the default");
    assert_eq!(asks(kept.answer(&command, "?")), kept, "help changes nothing");
    assert_eq!(asks(kept.answer(&command, "default")), kept, "there is no default");
    // In quotation marks a reserved word is an answer.
    let Next::Run(done) = kept.answer(&command, "\"cancel\"") else { panic!("it is complete") };
    assert_eq!(done.arguments["key"], "cancel");
    assert!(matches!(kept.answer(&command, "CANCEL"), Next::Cancel(_)));
}

#[test]
fn three_wrong_answers_end_it_and_a_right_one_forgives() {
    let command = command(true);
    let mut state = open(&command, "api", &[("key", "k")]);
    state = asks(state.answer(&command, "X"));
    state = asks(state.answer(&command, "X"));
    state = asks(state.answer(&command, "web"));
    state = asks(state.answer(&command, "mars"));
    state = asks(state.answer(&command, "mars"));
    assert!(matches!(state.answer(&command, "mars"), Next::Cancel(_)));
    assert!(matches!(state.answer(&command, "Staging"), Next::Run(_)));
}

#[test]
fn a_form_shows_what_is_open_and_what_was_given() {
    let command = command(true);
    let state = open(&command, "web", &[("environment", "prod")]);
    assert_eq!((state.stage, state.asked.join(" ")), (Stage::Form, "service environment key".to_owned()));
    let values = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let faults = state.submit(&command, &values(&[("service", "X"), ("environment", ""), ("count", "2")])).unwrap_err();
    // What stands at a field is plain text.
    assert_eq!(faults[1].message, "That does not fit service: text that matches [a-z]{2,9}.");
    let faults: Vec<_> = faults.iter().map(|fault| (fault.parameter.as_str(), fault.code)).collect();
    let expected = [("count", "unknown"), ("service", "pattern"), ("environment", "required"), ("key", "required")];
    assert_eq!(faults, expected);
    let filled = values(&[("service", "web"), ("environment", "Staging"), ("key", "s3cret")]);
    let done = state.submit(&command, &filled).unwrap();
    assert_eq!(done.arguments["environment"], "staging");
    assert!(!done.shown(&command).contains_key("key"));
    // A hidden value comes back empty and stays.
    let again = done.edit(&command).submit(&command, &values(&[("service", "api"), ("environment", "prod")])).unwrap();
    assert_eq!((again.arguments["key"].as_str(), again.arguments["service"].as_str()), ("s3cret", "api"));
    // A text answers the first open field.
    let by_text = asks(state.answer(&command, "web"));
    assert_eq!(by_text.current(&command).unwrap().name, "key");
}

#[test]
fn what_has_to_be_agreed_to_is_shown_first() {
    let command = command(false);
    let all = [("service", "web"), ("environment", "prod"), ("key", "k")];
    let state = open(&command, "api", &all);
    assert_eq!(state.stage, Stage::Summary);
    assert!(matches!(state.answer(&command, "submit"), Next::Run(_)));
    let edited = asks(state.answer(&command, "edit"));
    assert_eq!((edited.stage, edited.asked.len()), (Stage::Questions, 5));
    let questions = open(&command, "api", &all[..2]);
    assert_eq!(asks(questions.answer(&command, "k")).stage, Stage::Summary);
    let form = open(&command, "web", &all[..2]);
    assert_eq!((form.stage, form.asked.len()), (Stage::Form, 5), "sending it is agreeing, so it shows everything");
    assert_eq!(open(&command, "web", &all).answer(&command, "hello"), Next::Elsewhere);
    let message = words::summary(&command, &state, "e", 1000);
    assert!(!format!("{message:?}").contains("\"k\""), "hidden: {message:?}");
}

proptest! {
    /// Whatever is said: nothing wrong is kept, it ends or asks on, and a run has all it needs.
    #[test]
    fn no_order_of_answers_breaks_a_dialog(
        channel in prop_oneof![Just("web"), Just("api")],
        auto_submit: bool,
        texts in proptest::collection::vec(
            prop_oneof![
                Just("web"), Just("prod"), Just("X"), Just("back"), Just("default"), Just("?"), Just("submit"),
                Just("edit"), Just("7"), Just("\"back\"")
            ],
            0..40,
        ),
    ) {
        let command = command(auto_submit);
        let mut state = open(&command, channel, &[]);
        for text in texts {
            match state.answer(&command, text) {
                Next::Ask(next, _) => state = next,
                Next::Elsewhere => {}
                Next::Cancel(_) => break,
                Next::Run(done) => {
                    for parameter in command.parameters.iter().filter(|parameter| parameter.required) {
                        prop_assert!(done.arguments.contains_key(&parameter.name));
                    }
                    prop_assert!(auto_submit || state.stage == Stage::Summary, "it was agreed to");
                    break;
                }
            }
            prop_assert!(state.tries < TRIES);
            prop_assert!(state.stage != Stage::Questions || state.current(&command).is_some());
            for (name, value) in &state.arguments {
                prop_assert!(command.parameter(name).unwrap().check(value, "").as_ref() == Ok(value));
            }
            // It is the same after a restart.
            let text = serde_json::to_string(&state).unwrap();
            prop_assert_eq!(&serde_json::from_str::<State>(&text).unwrap(), &state);
        }
    }
}
