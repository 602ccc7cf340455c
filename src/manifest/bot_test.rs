//! `tests/*.yaml` of a bot: what is said to it, and what it must answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::document::Document;
use super::fault::{Fault, Level};
use super::folder::FILE_BYTES;
use super::load::bot_folders;
use crate::clock::moment;
use crate::model::conversation::Millis;
use crate::model::principal::Role;
use crate::schema::Schema;

/// The JSON Schema of a test, as it is served.
pub const SCHEMA: &str = include_str!("bot-test-v1.schema.json");

/// The folder of a bot's tests.
pub const FOLDER: &str = "tests";

/// What the clock says first when a test does not say: a Monday morning.
const NOW: Millis = 1_767_603_600_000;

/// Who does what nobody is named for.
const SOMEBODY: &str = "ann";

static COMPILED: LazyLock<Schema> = LazyLock::new(|| {
    let source: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    // That it compiles is tested; a schema that is not there would admit anything.
    Schema::compile(&source).unwrap_or_else(|error| panic!("the schema of tests cannot be used: {error}"))
});

/// One file: steps with one bot, one after the other.
#[derive(Debug)]
pub struct BotTest {
    pub bot: String,
    /// The folder of bots it was read from, as it was given.
    pub dir: PathBuf,
    /// Unix milliseconds.
    pub now: Millis,
    /// `web` or `terminal`.
    pub channel: String,
    /// Everybody who does anything in it.
    pub people: Vec<Person>,
    pub answers: Vec<Answer>,
    pub steps: Vec<Step>,
    document: Document,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
}

/// One thing that somebody does, and what must come of it.
#[derive(Debug)]
pub struct Step {
    /// Its place in the document, as a JSON pointer.
    pub pointer: String,
    /// Name of one of the test's people.
    pub by: String,
    pub deed: Deed,
    pub answers: Vec<Answer>,
    pub expect: Expect,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Say(String),
    Press(String),
    Choose {
        label: String,
        value: String,
    },
    Fill(BTreeMap<String, String>),
    Run {
        command: String,
        parameters: BTreeMap<String, String>,
    },
    /// Milliseconds.
    Wait(Millis),
}

/// What something outside answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// `connector.action`, or `remote.command`.
    #[serde(rename = "use")]
    pub name: String,
    /// What a call's input must have.
    #[serde(default)]
    pub with: Value,
    #[serde(default)]
    pub result: Value,
    #[serde(default)]
    pub reply: Option<String>,
    #[serde(default)]
    pub fails: Option<Failing>,
    /// How often it still answers; none: always.
    #[serde(default)]
    pub times: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Failing {
    Message(String),
    Told {
        #[serde(default)]
        code: Option<String>,
        message: String,
        #[serde(default)]
        retryable: bool,
    },
}

/// What must hold after a step; what is not written is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Expect {
    pub reply: Names,
    pub not: Names,
    pub nothing: bool,
    pub refused: Option<String>,
    pub title: Option<String>,
    pub tone: Option<String>,
    pub buttons: Option<Vec<String>>,
    pub asks: Names,
    pub from: Option<Approvers>,
    pub command: Option<String>,
    pub parameters: BTreeMap<String, Value>,
    pub status: Option<String>,
    pub calls: Option<Vec<Call>>,
}

/// Who is asked to approve.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Approvers {
    pub groups: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
    pub count: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    #[serde(rename = "use")]
    pub name: String,
    #[serde(default)]
    pub with: Value,
    #[serde(default = "once")]
    pub times: usize,
}

fn once() -> usize {
    1
}

/// One text or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Names(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Names {
    fn from(written: OneOrMany) -> Self {
        match written {
            OneOrMany::One(one) => Self(vec![one]),
            OneOrMany::Many(many) => Self(many),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenPerson {
    Name(String),
    Whole { user: String, roles: Option<Vec<Role>>, groups: Option<Vec<String>> },
}

impl BotTest {
    /// A fault of what stands at a JSON pointer; its file is relative to the folder of bots.
    pub fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        self.document.fault(pointer, message)
    }
}

/// The tests of all bots in some folders, and what is wrong with the others.
pub fn load_tests(dirs: &[PathBuf]) -> (Vec<BotTest>, Vec<(PathBuf, Fault)>) {
    let (mut tests, mut faults) = (Vec::new(), Vec::new());
    for dir in dirs {
        // That a folder cannot be read is told where the bots are loaded.
        for bot in bot_folders(dir).unwrap_or_default() {
            for file in files(&dir.join(&bot).join(FOLDER)) {
                let name = file.file_name().unwrap_or_default();
                let shown = Path::new(&bot).join(FOLDER).join(name);
                match read_file(&file, &shown).and_then(|source| read_test(dir, &bot, &shown, source)) {
                    Ok(test) => tests.push(test),
                    Err(found) => faults.extend(found.into_iter().map(|fault| (dir.clone(), fault))),
                }
            }
        }
    }
    (tests, faults)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let is_test = |path: &PathBuf| {
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        is_yaml && !is_hidden && path.is_file()
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_test).collect();
    files.sort();
    files
}

fn read_file(file: &Path, shown: &Path) -> Result<String, Vec<Fault>> {
    let whole = |message: String| {
        vec![Fault { file: shown.to_owned(), line: 1, column: 1, level: Level::Error, message, suggestion: None }]
    };
    let meta = fs::metadata(file).map_err(|error| whole(format!("the file cannot be read: {error}")))?;
    if meta.len() > FILE_BYTES {
        return Err(whole(format!("the file is longer than {} KiB", FILE_BYTES / 1024)));
    }
    fs::read_to_string(file).map_err(|error| whole(format!("the file cannot be read: {error}")))
}

/// Reads a test; `file` is what faults name.
pub fn read_test(dir: &Path, bot: &str, file: &Path, source: String) -> Result<BotTest, Vec<Fault>> {
    let document = Document::parse(file, source).map_err(|fault| vec![fault])?;
    let faults = document.check(&COMPILED);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut reading = Reading { document: &document, people: Vec::new(), by: SOMEBODY.to_owned(), faults: Vec::new() };
    let around = if document.value.is_array() { "" } else { "/steps" };
    let count = document.value.pointer(around).and_then(Value::as_array).map_or(0, Vec::len);
    let steps: Vec<Step> = (0..count).filter_map(|at| reading.step(&format!("{around}/{at}"))).collect();
    let answers = reading.get("/answers").unwrap_or_default();
    let now = reading.get::<String>("/now").and_then(|text| moment(&text)).unwrap_or(NOW);
    let channel = reading.get("/channel").unwrap_or_else(|| "web".to_owned());
    let Reading { people, faults, .. } = reading;
    if !faults.is_empty() {
        return Err(faults);
    }
    let (bot, dir) = (bot.to_owned(), dir.to_owned());
    Ok(BotTest { bot, dir, now, channel, people, answers, steps, document })
}

struct Reading<'d> {
    document: &'d Document,
    people: Vec<Person>,
    /// Who goes on.
    by: String,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn get<T: serde::de::DeserializeOwned>(&mut self, pointer: &str) -> Option<T> {
        let value = self.document.value.pointer(pointer)?;
        match serde_json::from_value(value.clone()) {
            Ok(read) => Some(read),
            Err(error) => {
                self.error(pointer, error.to_string());
                None
            }
        }
    }

    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.faults.push(self.document.fault(pointer, message));
    }

    fn values(&mut self, pointer: &str) -> Option<BTreeMap<String, String>> {
        let values: BTreeMap<String, Value> = self.get(pointer)?;
        Some(values.into_iter().map(|(name, value)| (name, in_words(&value))).collect())
    }

    fn step(&mut self, pointer: &str) -> Option<Step> {
        self.person(&format!("{pointer}/as"));
        let at = |key: &str| format!("{pointer}/{key}");
        let mut deeds = Vec::new();
        deeds.extend(self.get(&at("say")).map(Deed::Say));
        deeds.extend(self.get(&at("press")).map(Deed::Press));
        let chosen: Option<BTreeMap<String, String>> = self.get(&at("choose"));
        deeds.extend(chosen.into_iter().flatten().map(|(label, value)| Deed::Choose { label, value }));
        deeds.extend(self.values(&at("fill")).map(Deed::Fill));
        if let Some(command) = self.get(&at("run/command")) {
            let parameters = self.values(&at("run/parameters")).unwrap_or_default();
            deeds.push(Deed::Run { command, parameters });
        }
        if let Some(text) = self.get::<String>(&at("wait")) {
            match crate::flow::parse_duration(&text) {
                Some(millis) => deeds.push(Deed::Wait(millis)),
                None => self.error(&at("wait"), "this is a time such as 30m"),
            }
        }
        let expect = self.expect(&at("expect"));
        let answers = self.get(&at("answers")).unwrap_or_default();
        if deeds.len() > 1 {
            self.error(pointer, "a step does one thing: say, press, choose, fill, run or wait");
            return None;
        }
        let Some(deed) = deeds.pop() else {
            if self.faults.is_empty() {
                self.error(pointer, "a step does one of say, press, choose, fill, run and wait");
            }
            return None;
        };
        Some(Step { pointer: pointer.to_owned(), by: self.by.clone(), deed, answers, expect })
    }

    /// Who does a step; whoever did the last one when nobody is named.
    fn person(&mut self, pointer: &str) {
        let (name, roles, groups) = match self.get::<WrittenPerson>(pointer) {
            None => (self.by.clone(), None, None),
            Some(WrittenPerson::Name(name)) => (name, None, None),
            Some(WrittenPerson::Whole { user, roles, groups }) => (user, roles, groups),
        };
        self.by.clone_from(&name);
        let roles_of = |roles: Option<Vec<Role>>| roles.unwrap_or_else(|| vec![Role::User]);
        match self.people.iter().find(|person| person.name == name) {
            None => self.people.push(Person { name, roles: roles_of(roles), groups: groups.unwrap_or_default() }),
            Some(known) => {
                let other_roles = roles.is_some_and(|roles| roles != known.roles);
                let other_groups = groups.is_some_and(|groups| groups != known.groups);
                if other_roles || other_groups {
                    let message = format!("{name} has other roles or groups above; a person stays the same in a test");
                    self.error(pointer, message);
                }
            }
        }
    }

    fn expect(&mut self, pointer: &str) -> Expect {
        let Some(written) = self.document.value.pointer(pointer) else { return Expect::default() };
        if let Some(text) = written.as_str() {
            self.pattern(pointer, text);
            return Expect { reply: Names(vec![text.to_owned()]), ..Expect::default() };
        }
        let expect: Expect = self.get(pointer).unwrap_or_default();
        let lists = [("reply", &expect.reply), ("not", &expect.not)];
        for (key, Names(patterns)) in lists {
            patterns.iter().for_each(|pattern| self.pattern(&format!("{pointer}/{key}"), pattern));
        }
        for (key, pattern) in [("refused", &expect.refused), ("title", &expect.title)] {
            pattern.iter().for_each(|pattern| self.pattern(&format!("{pointer}/{key}"), pattern));
        }
        if expect.nothing && !expect.reply.0.is_empty() {
            self.error(pointer, "\"nothing\" and \"reply\" exclude each other");
        }
        expect
    }

    fn pattern(&mut self, pointer: &str, pattern: &str) {
        if let Err(why) = Pattern::read(pattern) {
            self.error(pointer, why);
        }
    }
}

/// A value of a parameter as it is typed.
pub fn in_words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text that something must be: all of it, with `*` for anything, or a regular expression that is found in it.
pub struct Pattern(regex::Regex);

impl Pattern {
    pub fn read(text: &str) -> Result<Self, String> {
        let written = text.trim();
        let regex = |flags: &str, source: &str| {
            let built = regex::Regex::new(&format!("(?{flags}){source}"));
            built.map(Self).map_err(|error| {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("this is no regular expression: {why}")
            })
        };
        if let Some(inner) = written.strip_prefix('/').filter(|inner| !inner.is_empty()) {
            if let Some(source) = inner.strip_suffix("/i") {
                return regex("si", source);
            }
            if let Some(source) = inner.strip_suffix('/') {
                return regex("s", source);
            }
        }
        let parts: Vec<String> = written.split('*').map(regex::escape).collect();
        regex("s", &format!("^{}$", parts.join(".*")))
    }

    pub fn fits(&self, text: &str) -> bool {
        self.0.is_match(text.trim())
    }
}

/// Whether `value` has all of `wanted`: every key of its maps, texts as patterns, everything else alike.
pub fn has(value: &Value, wanted: &Value) -> bool {
    match (wanted, value) {
        (Value::Null, _) => true,
        (Value::Object(wanted), Value::Object(value)) => {
            wanted.iter().all(|(key, wanted)| value.get(key).is_some_and(|value| has(value, wanted)))
        }
        (Value::Array(wanted), Value::Array(value)) => {
            wanted.len() == value.len() && wanted.iter().zip(value).all(|(wanted, value)| has(value, wanted))
        }
        (Value::String(wanted), value) => Pattern::read(wanted).is_ok_and(|pattern| pattern.fits(&in_words(value))),
        // As a program may have written it as text.
        (wanted, Value::String(value)) => in_words(wanted) == *value,
        (wanted, value) => wanted == value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(source: &str) -> Result<BotTest, Vec<String>> {
        let read = read_test(Path::new("bots"), "shop", Path::new("shop/tests/a.yaml"), source.to_owned());
        read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_of_steps_is_a_test() {
        let test = read(concat!(
            "- say: deploy web to prod\n  as: {user: ann, groups: [sre]}\n  expect: {asks: confirm}\n",
            "- press: Confirm\n- press: Approve\n  as: {user: bob, groups: [release]}\n",
            "  expect: {reply: \"*Deployed web*\", calls: [{use: http.request, times: 1}]}\n",
            "- wait: 30m\n  as: ann\n",
        ))
        .unwrap();
        let by: Vec<&str> = test.steps.iter().map(|step| step.by.as_str()).collect();
        assert_eq!(by, ["ann", "ann", "bob", "ann"]);
        assert_eq!(test.steps[3].deed, Deed::Wait(30 * 60 * 1000));
        assert_eq!(test.steps[2].expect.calls.as_ref().unwrap()[0].times, 1);
        assert_eq!(test.people[0], Person { name: "ann".into(), roles: vec![Role::User], groups: vec!["sre".into()] });
        let longer = read("now: 2026-11-23T09:00:00Z\nchannel: terminal\nsteps: [{say: hi, expect: hello}]\n").unwrap();
        assert_eq!((longer.now, longer.channel.as_str()), (1_795_424_400_000, "terminal"));
        assert_eq!(longer.steps[0].expect.reply.0, ["hello"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (source, expected) in [
            ("- sya: hi\n", "shop/tests/a.yaml:1:3 unknown key \"sya\", did you mean \"say\"?"),
            ("- as: ann\n", "shop/tests/a.yaml:1:3 a step does one of say, press, choose, fill, run and wait"),
            (
                "- {say: a, press: b}\n",
                "shop/tests/a.yaml:1:3 a step does one thing: say, press, choose, fill, run or wait",
            ),
            (
                "- say: a\n  expect: {tone: loud}\n",
                "shop/tests/a.yaml:2:18 this is one of info, success, warning, error, question",
            ),
            (
                "- say: a\n  expect: {reply: \"/(/\"}\n",
                "shop/tests/a.yaml:2:19 this is no regular expression: unclosed group",
            ),
            ("steps: []\n", "shop/tests/a.yaml:1:8 this has at least 1 items"),
            (
                "- {say: a, as: {user: b, groups: [x]}}\n- {say: a, as: {user: b, groups: [y]}}\n",
                "shop/tests/a.yaml:2:16 b has other roles or groups above; a person stays the same in a test",
            ),
        ] {
            assert_eq!(read(source).unwrap_err(), [expected], "{source}");
        }
    }

    #[test]
    fn patterns_are_whole_texts_stars_or_expressions() {
        for (pattern, text, fits) in [
            ("Hello", " Hello\n", true),
            ("Hello", "Hello Ann", false),
            ("*Ann*", "Hello **Ann**, good to see you", true),
            ("**web** is fine.", "**web** is fine.", true),
            ("a*c", "a\nb\nc", true),
            ("a.c", "abc", false),
            ("/b+/", "abbc", true),
            ("/B/", "abbc", false),
            ("/B/i", "abbc", true),
            ("/", "/", true),
        ] {
            assert_eq!(Pattern::read(pattern).unwrap().fits(text), fits, "{pattern} {text}");
        }
        assert!(has(&json!({"a": {"b": "xyz", "c": 1}}), &json!({"a": {"b": "x*"}})));
        assert!(has(&json!({"n": "3"}), &json!({"n": 3})) && !has(&json!({"n": [1, 2]}), &json!({"n": [1]})));
    }
}
