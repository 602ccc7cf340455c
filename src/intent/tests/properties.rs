//! What holds for every text and every set of intents.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::building::{bot, command, index, say, told};
use crate::intent::pattern::{Class, Element, Form, Pattern, Words, accepted};
use crate::intent::search::Search;
use crate::intent::text::{Text, collapse};
use crate::intent::{Index, MAX_CHARACTERS, Resolution, Scope, normalise};
use crate::model::bot::Bot;
use crate::model::command::Command;

const PARAMETERS: [&str; 5] = ["plain", "pick:red,blue", "number:integer", "people:user", "tail"];

/// One part of an intent: a few words, so that intents collide, and every class of slot.
fn part() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "go",
        "stop",
        "red",
        "5",
        "{plain}",
        "{pick}",
        "{number}",
        "{people}",
        "[now]",
        "(go|red)",
        "[in {plain}]",
        "{number=7}",
    ])
}

/// Intents that can be parsed.
fn intent() -> impl Strategy<Value = String> {
    (prop::collection::vec(part(), 1..5), prop::bool::weighted(0.2))
        .prop_map(|(parts, tail)| {
            let mut parts = parts;
            if tail {
                parts.push("{tail:rest}");
            }
            parts.join(" ")
        })
        .prop_filter("must be a pattern", |intent| words(intent).is_some())
}

fn words(intent: &str) -> Option<Words> {
    let parameters: Vec<_> = PARAMETERS.iter().map(|written| super::building::parameter(written)).collect();
    match Pattern::parse(intent, &parameters).ok()?.form {
        Form::Words(words) => Some(words),
        Form::Expression(_) => None,
    }
}

const TOKENS: [&str; 16] = [
    "go",
    "GO!",
    "stop",
    "red",
    "blue",
    "5",
    "7.",
    "now",
    "in",
    "ann",
    "\"go\"",
    "plain=x",
    "--pick=red",
    "zone=1",
    "tail=\"a b\"",
    "number=5",
];

/// A text near one of the bots' intents: words as they are, any token for a slot, now and then one dropped or added,
/// perhaps cut short, perhaps with named values.
fn text(bots: &[Arc<Bot>], picks: &[prop::sample::Index]) -> String {
    let mut picks = picks.iter();
    let mut pick = |size: usize| picks.next().map_or(0, |pick| pick.index(size));
    let bot = &bots[pick(bots.len())];
    let intent = words(&bot.commands[pick(bot.commands.len())].intents[0]).unwrap();
    let shape = &intent.shapes[pick(intent.shapes.len())];
    let mut said = Vec::new();
    for element in &shape[..shape.len() - pick(8).saturating_sub(5).min(shape.len())] {
        match (element, pick(16)) {
            (_, 0) => {}
            (Element::Word { written, .. }, _) => said.push(written.clone()),
            (Element::Slot(_), _) => said.push(TOKENS[pick(TOKENS.len())].to_owned()),
        }
    }
    said.extend((0..pick(4)).map(|_| TOKENS[pick(TOKENS.len())].to_owned()));
    said.join(" ")
}

fn bots() -> impl Strategy<Value = Vec<Arc<Bot>>> {
    let intents = prop::collection::vec((intent(), 0_i32..2), 1..6);
    prop::collection::vec(intents, 1..4).prop_map(|bots| {
        let made = |(number, intents): (usize, Vec<(String, i32)>)| {
            let commands = intents.into_iter().enumerate().map(|(at, (intent, priority))| {
                let declared = if at % 2 == 0 { &PARAMETERS[..] } else { &PARAMETERS[..4] };
                let declared = if intent.contains("{tail") { &PARAMETERS[..] } else { declared };
                Command { priority, ..command(&format!("command{at}"), &[&intent], declared) }
            });
            bot(&format!("bot{number}"), commands.collect())
        };
        bots.into_iter().enumerate().map(made).collect()
    })
}

/// The ranking, written down again without a tree: every shape is tried with every number of named values.
fn scan(bots: &[Arc<Bot>], text: &Text<'_>, scope: Option<&str>) -> String {
    let mut found: Vec<(Key, usize, String)> = Vec::new();
    for (number, bot) in bots.iter().enumerate() {
        for command in &bot.commands {
            let Ok(Pattern { form: Form::Words(words) }) = Pattern::parse(&command.intents[0], &command.parameters)
            else {
                continue;
            };
            for shape in &words.shapes {
                for head in text.first_pair()..=text.len() {
                    if let Some((classes, left, arguments)) = take(command, &words, shape, text, head) {
                        let key = (scope != Some(bot.name.as_str()), classes, left, -command.priority);
                        let mut told = format!("{}/{}", bot.name, command.name);
                        for (name, value) in arguments {
                            told.push_str(&format!(" {name}={value}"));
                        }
                        found.push((key, number, told));
                    }
                }
            }
        }
    }
    let Some(best) = found.iter().map(|(key, ..)| key.clone()).min() else { return "-".to_owned() };
    let mut seen = Vec::new();
    let mut best_told = Vec::new();
    for (_, bot, told) in found.into_iter().filter(|(key, ..)| *key == best) {
        if !seen.contains(&bot) {
            seen.push(bot);
            best_told.push(told);
        }
    }
    best_told.join(" | ")
}

/// Out of scope, how the tokens are taken, what is left of the shape, the priority turned round.
type Key = (bool, Vec<Class>, usize, i32);

type Taken = (Vec<Class>, usize, BTreeMap<String, String>);

/// The shape against the first `head` tokens as words and the others as named values.
fn take(command: &Command, words: &Words, shape: &[Element], text: &Text<'_>, head: usize) -> Option<Taken> {
    let mut named = BTreeMap::new();
    for at in head..text.len() {
        let pair = text.pair_at(at);
        named.insert(command.parameter(&pair.folded)?.name.clone(), pair.value.clone().into_owned());
    }
    let mut arguments: BTreeMap<String, String> = BTreeMap::new();
    for slot in &words.slots {
        if let Some(default) = &slot.default {
            arguments.insert(command.parameters[slot.parameter].name.clone(), default.clone());
        }
    }
    let (mut classes, mut at, mut slotted) = (Vec::new(), 0, false);
    for (place, element) in shape.iter().enumerate() {
        if at == head {
            // The text has no more words: the slots that are left must be given by name.
            let left = &shape[place..];
            let slots: Vec<_> = left
                .iter()
                .filter_map(|element| match element {
                    Element::Slot(slot) => Some(&words.slots[*slot]),
                    Element::Word { .. } => None,
                })
                .collect();
            let given =
                |slot: &&&crate::intent::pattern::Slot| named.contains_key(&command.parameters[slot.parameter].name);
            let reachable = slotted || matches!(element, Element::Slot(_));
            let all = slots.iter().all(|slot| slot.default.is_some() || given(&slot));
            if at == 0 || !reachable || !all || slots.iter().filter(given).count() == 0 {
                return None;
            }
            classes.extend(vec![Class::Pair; text.len() - head]);
            arguments.extend(named);
            return Some((classes, left.len(), arguments));
        }
        let token = text.tokens[at];
        match element {
            Element::Word { folded, .. } => {
                let bare = text.raw(token).trim_end_matches(['?', '!', '.', ',', ';', ':']).to_lowercase();
                if token.quoted || bare != *folded {
                    return None;
                }
                classes.push(Class::Literal);
                at += 1;
            }
            Element::Slot(slot) => {
                let slot = &words.slots[*slot];
                let name = command.parameters[slot.parameter].name.clone();
                let class = slot.class(command);
                slotted = true;
                if class == Class::Rest {
                    if named.contains_key(&name) {
                        return None;
                    }
                    classes.extend(vec![class; head - at]);
                    arguments.insert(name, text.span(at, head).into_owned());
                    at = head;
                } else {
                    let value = text.value(token);
                    arguments.insert(name, accepted(slot.token_type(command)?, &value)?.to_owned());
                    classes.push(class);
                    at += 1;
                }
            }
        }
    }
    if at < head {
        return None;
    }
    classes.extend(vec![Class::Pair; text.len() - head]);
    arguments.extend(named);
    Some((classes, 0, arguments))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_scan_finds(
        bots in bots(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 30),
        scope in prop::option::of(0..3_usize),
    ) {
        let text = text(&bots, &picks);
        let index = Index::build(&bots);
        let name = scope.map(|number| format!("bot{number}"));
        let scope = Scope { bot: name.as_deref() };
        let plain = normalise(&text).unwrap();
        let expected = scan(&bots, &Text::read(&plain), scope.bot);
        match index.resolve(&text, &scope) {
            Resolution::Match(_) => prop_assert_eq!(told(&index.resolve(&text, &scope)), expected),
            Resolution::Ambiguous(_) if expected != "-" => {
                prop_assert_eq!(told(&index.resolve(&text, &scope)), expected);
            }
            other => prop_assert_eq!(expected, "-", "{}", told(&other)),
        }
        let explanation = index.explain(&text, &scope);
        let chosen = explanation.candidates.iter().filter(|candidate| candidate.chosen).count();
        prop_assert_eq!(chosen == 0, matches!(index.resolve(&text, &scope), Resolution::Nothing));
    }

    #[test]
    fn what_an_intent_says_resolves_to_it(intent in intent(), seed in any::<u64>()) {
        let pattern = words(&intent).unwrap();
        let shape = &pattern.shapes[(seed % pattern.shapes.len() as u64) as usize];
        let command = command(&intent, &[&intent], &PARAMETERS);
        let said: Vec<String> = shape
            .iter()
            .map(|element| match element {
                Element::Word { written, .. } => written.to_uppercase(),
                Element::Slot(slot) => match pattern.slots[*slot].class(&command) {
                    Class::Choice => "blue".to_owned(),
                    Class::Typed => "-12".to_owned(),
                    Class::Rest => "what is left".to_owned(),
                    _ => format!("\"{seed} x\""),
                },
            })
            .collect();
        let index = Index::build(&[bot("ops", vec![command])]);
        let resolution = index.resolve(&said.join("  "), &Scope::default());
        let matches = matches!(resolution, Resolution::Match(_));
        prop_assert!(matches, "{} does not say {}: {}", said.join(" "), intent, told(&resolution));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), tokens in prop::collection::vec(token(), 0..30)) {
        let index = &*VARIOUS;
        for text in [text, tokens.concat()] {
            let scope = Scope { bot: Some("ops") };
            index.resolve(&text, &scope);
            index.explain(&text, &scope);
            index.suggest(&text, &scope, &|_, _| true, 3);
            for completion in index.complete(&text, &scope, &|_, _| true, 8) {
                prop_assert!(normalise(&completion.insert).is_some());
            }
        }
    }

    #[test]
    fn no_intent_makes_parsing_panic(parts in prop::collection::vec(token(), 0..12), any in any::<String>()) {
        for intent in [parts.concat(), any] {
            let parameters: Vec<_> = PARAMETERS.iter().map(|written| super::building::parameter(written)).collect();
            if let Err(fault) = Pattern::parse(&intent, &parameters) {
                prop_assert!(intent.get(fault.at.clone()).is_some(), "{:?} {:?}", intent, fault);
            } else {
                Index::build(&[bot("ops", vec![command("any", &[&intent], &PARAMETERS)])]);
            }
        }
    }

    #[test]
    fn normalising_twice_is_normalising_once(text in any::<String>(), tokens in prop::collection::vec(token(), 0..30)) {
        for text in [text, tokens.concat()] {
            let once = normalise(&text).map(std::borrow::Cow::into_owned);
            let twice = once.as_deref().and_then(normalise).map(std::borrow::Cow::into_owned);
            prop_assert_eq!(&once, &twice);
            if let Some(once) = once {
                let collapsed = collapse(&once).into_owned();
                prop_assert_eq!(collapse(&collapsed), &*collapsed);
            }
        }
    }
}

/// Pieces of texts and intents that mean something to the readers.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        " ",
        " ",
        "\n",
        "\u{a0}",
        "\u{200b}",
        "\u{301}",
        "e",
        "É",
        "ſ",
        "“",
        "”",
        "’",
        "\"",
        "'",
        "\\",
        "=",
        "--",
        "—",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "|",
        "/",
        "^",
        "$",
        ":",
        "go",
        "deploy",
        "plain",
        "{plain}",
        "pick=",
        "rest",
        "{tail:rest}",
        "choice(",
        "int",
        "note",
        "0",
        ".*",
        "+",
        "?",
        "é=",
    ])
}

static VARIOUS: LazyLock<Index> = LazyLock::new(|| {
    index(&[
        ("deploy {plain} to {pick}", &PARAMETERS),
        ("note {tail:rest}", &PARAMETERS),
        ("[go] {number} times [{plain}] deploy", &PARAMETERS),
        ("/go (?<plain>.+)/i", &PARAMETERS),
        ("/.e+./", &[]),
    ])
});

#[test]
fn work_is_bounded_by_the_index_and_linear_in_the_text() {
    let pathological = index(&[
        ("[a] [a] [a] [a] [a] [a]  a {plain}", &PARAMETERS),
        ("{plain} [a] {number} [a] {pick} a", &PARAMETERS),
        ("a {plain} a {number} a {tail:rest}", &PARAMETERS),
        ("{plain} {number} {pick} {people} a", &PARAMETERS),
        ("/(a+ ?)+b/", &[]),
    ]);
    let nodes: usize = pathological.shapes.iter().map(|shape| shape.elements.len()).sum::<usize>() + 1;
    let mut visited = Vec::new();
    for length in [8, 80, 800, MAX_CHARACTERS / 2] {
        for unit in ["a ", "5 ", "a=1 ", "\" ", "' ", "--a "] {
            let text = unit.repeat(length * 2 / unit.len());
            let plain = normalise(&text).unwrap();
            let search = Search::new(&pathological, &plain, &Scope::default());
            assert!(search.visited <= nodes, "{unit:?} x {length}: {} of {nodes}", search.visited);
            visited.push((unit, search.visited));
            assert!(search.text.len() <= plain.len());
        }
    }
    let at = |length: usize| &visited[length * 6..(length + 1) * 6];
    assert_eq!(at(1), at(3), "a longer text is no more work for the tree");
    for text in ["a ".repeat(32 * 1024), "\"".repeat(64 * 1024), "a=".repeat(32 * 1024)] {
        assert_eq!(say(&pathological, &text), "-");
        assert!(pathological.suggest(&text, &Scope::default(), &|_, _| true, 3).is_empty());
        assert!(pathological.complete(&text, &Scope::default(), &|_, _| true, 3).is_empty());
    }
}

#[test]
fn an_index_is_shared_between_threads() {
    let found: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| say(&VARIOUS, "see go Home"))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(found, vec!["ops//go (?<plain>.+)/i plain=Home"; 4]);
}
