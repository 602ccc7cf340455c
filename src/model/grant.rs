//! Rights as data: who may do what to which things, or may not. A key's scopes are written in the same words.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use super::conversation::Millis;
use super::name::is_same_byte;
use super::principal::Role;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Know that it is there and read it.
    View,
    /// Say something.
    Chat,
    /// Run it.
    Invoke,
    /// Do its commands, as a process elsewhere.
    Serve,
    /// Change or end it, or look behind it.
    Manage,
}

impl Verb {
    pub const ALL: [Self; 5] = [Self::View, Self::Chat, Self::Invoke, Self::Serve, Self::Manage];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Chat => "chat",
            Self::Invoke => "invoke",
            Self::Serve => "serve",
            Self::Manage => "manage",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }
}

/// The kinds of things that rights are given on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    Bot,
    /// Named `bot/command`.
    Command,
    Playbook,
    Workflow,
    Connector,
    Credential,
    /// An address of another program that is told what happens.
    Webhook,
    /// A run, named by what runs, `bot/command`.
    Execution,
    /// API keys and service principals of others.
    Key,
    /// Settings, health, manifests, rights, the audit log.
    Installation,
}

impl ResourceKind {
    pub const ALL: [Self; 10] = [
        Self::Bot,
        Self::Command,
        Self::Playbook,
        Self::Workflow,
        Self::Connector,
        Self::Credential,
        Self::Webhook,
        Self::Execution,
        Self::Key,
        Self::Installation,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Command => "command",
            Self::Playbook => "playbook",
            Self::Workflow => "workflow",
            Self::Connector => "connector",
            Self::Credential => "credential",
            Self::Webhook => "webhook",
            Self::Execution => "execution",
            Self::Key => "key",
            Self::Installation => "installation",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A thing as patterns see it.
#[derive(Clone, Copy, Debug)]
pub struct Thing<'a> {
    pub kind: ResourceKind,
    /// The bot of a command or a run; empty for everything else.
    pub bot: &'a str,
    pub name: &'a str,
}

/// How a right stands to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    No,
    Yes,
    /// All but the arguments: they are others than those it is about.
    OtherArguments,
}

/// What a grant or a scope is about: verbs, a kind of things, their names and, for commands, values of arguments.
///
/// Written `verbs:kind:name`, such as `invoke:command:shop/deploy?environment=staging|dev`. Verbs are separated by commas;
/// `*` is every verb, every kind, and in a name or a value any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Empty: every one.
    pub verbs: Vec<Verb>,
    /// None: every kind.
    pub kind: Option<ResourceKind>,
    /// A pattern; of commands `bot/command`, or the command's name alone for that of any bot.
    pub name: String,
    /// Per argument, patterns of the values it is about; all arguments that are named must fit.
    pub when: BTreeMap<String, Vec<String>>,
}

/// The longest pattern, in bytes.
const LONGEST: usize = 200;

impl Reach {
    /// Whether it makes sense, and why not.
    pub fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.len() > LONGEST {
            return Err(format!("a name or pattern has 1 to {LONGEST} characters; * is every name"));
        }
        if self.name.chars().any(char::is_control) {
            return Err("a name holds no control characters".to_owned());
        }
        if !self.when.is_empty() && self.kind != Some(ResourceKind::Command) {
            return Err("only a command has arguments to look at".to_owned());
        }
        match self.when.iter().find(|(name, values)| name.is_empty() || values.is_empty()) {
            Some((name, _)) => Err(format!("no value is given for the argument {name:?}")),
            None => Ok(()),
        }
    }

    pub fn has(&self, verb: Verb) -> bool {
        self.verbs.is_empty() || self.verbs.contains(&verb)
    }

    /// Whether a thing is one of those it is about, whatever is done to it.
    pub fn names(&self, thing: Thing<'_>) -> bool {
        if self.kind.is_some_and(|kind| kind != thing.kind) {
            return false;
        }
        match thing.kind {
            ResourceKind::Command | ResourceKind::Execution => match self.name.split_once('/') {
                Some((bot, name)) => like(bot, thing.bot, true) && like(name, thing.name, true),
                None => like(&self.name, thing.name, true),
            },
            ResourceKind::Bot => like(&self.name, thing.name, true),
            _ => like(&self.name, thing.name, false),
        }
    }

    /// Whether the arguments are those it is about; without arguments they may still become so.
    pub fn arguments(&self, arguments: Option<&BTreeMap<String, String>>) -> Fit {
        let Some(arguments) = arguments.filter(|_| !self.when.is_empty()) else { return Fit::Yes };
        let fits = self.when.iter().all(|(name, values)| {
            let given = arguments.iter().find(|(known, _)| like(name, known, true));
            let given = given.map_or("", |(_, value)| value.as_str());
            values.iter().any(|value| like(value, given, false))
        });
        if fits { Fit::Yes } else { Fit::OtherArguments }
    }

    /// Whether it is about commands of this bot, so that who has it has something to say to the bot.
    pub fn touches(&self, bot: &str) -> bool {
        match self.kind {
            None => true,
            Some(ResourceKind::Bot) => like(&self.name, bot, true),
            Some(ResourceKind::Command) => self.name.split_once('/').is_none_or(|(of, _)| like(of, bot, true)),
            Some(_) => false,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verbs: Vec<&str> = self.verbs.iter().map(|verb| verb.as_str()).collect();
        let verbs = if verbs.is_empty() { "*".to_owned() } else { verbs.join(",") };
        write!(f, "{verbs}:{}:{}", self.kind.map_or("*", ResourceKind::as_str), self.name)?;
        for (index, (name, values)) in self.when.iter().enumerate() {
            write!(f, "{}{name}={}", if index == 0 { '?' } else { '&' }, values.join("|"))?;
        }
        Ok(())
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not verbs:kind:name, such as invoke:command:shop/deploy or view:bot:*");
        let (verbs, rest) = text.split_once(':').ok_or_else(form)?;
        let (kind, rest) = rest.split_once(':').ok_or_else(form)?;
        let (name, conditions) = rest.split_once('?').map_or((rest, None), |(name, when)| (name, Some(when)));
        let verbs = match verbs {
            "*" => Vec::new(),
            verbs => verbs.split(',').map(verb).collect::<Result<_, _>>()?,
        };
        let kind = if kind == "*" { None } else { Some(resource_kind(kind)?) };
        let mut when = BTreeMap::new();
        for condition in conditions.into_iter().flat_map(|conditions| conditions.split('&')) {
            let wrong = || format!("{condition:?} is not argument=value, or argument=value|value");
            let (name, values) = condition.split_once('=').ok_or_else(wrong)?;
            when.insert(name.to_owned(), values.split('|').map(str::to_owned).collect());
        }
        let reach = Self { verbs, kind, name: name.to_owned(), when };
        reach.check().map(|()| reach)
    }
}

/// A verb by its name, or what the names are.
pub fn verb(text: &str) -> Result<Verb, String> {
    Verb::parse(text)
        .ok_or_else(|| format!("{text:?} is no verb; verbs are {}", Verb::ALL.map(Verb::as_str).join(", ")))
}

/// A kind by its name, or what the names are.
pub fn resource_kind(text: &str) -> Result<ResourceKind, String> {
    let known = || ResourceKind::ALL.map(ResourceKind::as_str).join(", ");
    ResourceKind::parse(text).ok_or_else(|| format!("{text:?} is no kind of thing; kinds are {}", known()))
}

/// Whether a text is as a pattern says: `*` is any number of characters. `loose` compares as names of bots and commands
/// do: without case, `-` and `_` alike.
fn like(pattern: &str, text: &str, loose: bool) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let same = |a: u8, b: u8| a == b || (loose && is_same_byte(a, b));
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how far the text went that it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|byte| same(*byte, text[t])) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whom a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// By the user's id.
    User(String),
    Group(String),
    Role(Role),
    /// By the service principal's id.
    Service(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Role(role) => write!(f, "role:{}", role.as_str()),
            Self::Service(id) => write!(f, "service:{id}"),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not user:ID, group:NAME, role:NAME or service:ID");
        let (kind, name) = text.split_once(':').ok_or_else(form)?;
        if name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control) {
            return Err(form());
        }
        match kind {
            "user" => Ok(Self::User(name.to_owned())),
            "group" => Ok(Self::Group(name.to_owned())),
            "service" => Ok(Self::Service(name.to_owned())),
            "role" => Role::parse(name)
                .map(Self::Role)
                .ok_or_else(|| format!("{name:?} is no role; roles are {}", Role::ALL.map(Role::as_str).join(", "))),
            _ => Err(form()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Allow,
    Deny,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|effect| effect.as_str() == text)
    }
}

/// A right that was given or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: String,
    pub effect: Effect,
    pub subject: Subject,
    pub reach: Reach,
    /// Why, for people; may be empty.
    pub note: String,
    /// Name of who made it.
    pub created_by: String,
    pub created_at: Millis,
}

/// All grants of an installation, by whom they are for.
#[derive(Debug, Default)]
pub struct Rules {
    users: HashMap<String, Vec<Arc<Grant>>>,
    groups: HashMap<String, Vec<Arc<Grant>>>,
    services: HashMap<String, Vec<Arc<Grant>>>,
    roles: [Vec<Arc<Grant>>; Role::ALL.len()],
}

impl Rules {
    pub fn new(grants: impl IntoIterator<Item = Grant>) -> Self {
        let mut rules = Self::default();
        for grant in grants {
            let place = match &grant.subject {
                Subject::User(id) => rules.users.entry(id.clone()).or_default(),
                Subject::Group(name) => rules.groups.entry(name.clone()).or_default(),
                Subject::Service(id) => rules.services.entry(id.clone()).or_default(),
                Subject::Role(role) => &mut rules.roles[*role as usize],
            };
            place.push(Arc::new(grant));
        }
        rules
    }

    pub fn user(&self, id: &str) -> &[Arc<Grant>] {
        self.users.get(id).map_or(&[], Vec::as_slice)
    }

    pub fn group(&self, name: &str) -> &[Arc<Grant>] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn service(&self, id: &str) -> &[Arc<Grant>] {
        self.services.get(id).map_or(&[], Vec::as_slice)
    }

    pub fn role(&self, role: Role) -> &[Arc<Grant>] {
        &self.roles[role as usize]
    }

    fn is_empty(&self) -> bool {
        self.users.is_empty()
            && self.groups.is_empty()
            && self.services.is_empty()
            && self.roles.iter().all(Vec::is_empty)
    }
}

/// The grants that count now: a handle that every principal carries, so that a change counts for everybody at once.
#[derive(Clone, Debug, Default)]
pub struct Grants(Arc<Current>);

#[derive(Debug, Default)]
struct Current {
    /// Spares most installations the look.
    any: AtomicBool,
    rules: RwLock<Arc<Rules>>,
}

impl Grants {
    /// None when there are no grants at all.
    pub fn current(&self) -> Option<Arc<Rules>> {
        let any = self.0.any.load(Ordering::Acquire);
        any.then(|| self.0.rules.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// From here on these count.
    pub fn replace(&self, rules: Rules) {
        let any = !rules.is_empty();
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.0.any.store(any, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_matched_whole() {
        for (pattern, text, loose, expected) in [
            ("*", "", false, true),
            ("web-*", "web-1", false, true),
            ("*-prod-*", "eu-prod-2", false, true),
            ("a*b*c", "axbxbc", false, true),
            ("a*b*c", "axbxb", false, false),
            ("Web", "web", false, false),
            ("Web_One", "web-one", true, true),
            ("web", "webs", true, false),
            ("", "x", true, false),
        ] {
            assert_eq!(like(pattern, text, loose), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_reach_reads_as_it_is_written() {
        for text in [
            "invoke:command:shop/deploy?environment=staging|dev&service=web-*",
            "*:*:*",
            "view,manage:playbook:gateway/*.yaml",
            "invoke:credential:a:b",
        ] {
            assert_eq!(text.parse::<Reach>().unwrap().to_string(), text);
        }
        for (text, part) in [
            ("deploy", "verbs:kind:name"),
            ("run:command:x", "no verb"),
            ("invoke:cmd:x", "no kind"),
            ("invoke:command:", "1 to 200"),
            ("invoke:bot:x?a=b", "only a command"),
            ("invoke:command:x?a", "argument=value"),
        ] {
            let wrong = text.parse::<Reach>().unwrap_err();
            assert!(wrong.contains(part), "{text}: {wrong}");
        }
        for (text, good) in [("group:a:b", true), ("role:admin", true), ("role:root", false), ("ann", false)] {
            assert_eq!(text.parse::<Subject>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_reach_names_things_and_arguments() {
        let command = |bot, name| Thing { kind: ResourceKind::Command, bot, name };
        for (text, thing, expected) in [
            ("invoke:command:shop/deploy", command("shop", "deploy"), true),
            ("invoke:command:shop/*", command("other", "deploy"), false),
            ("invoke:command:Deploy", command("other", "deploy"), true),
            ("invoke:*:deploy", command("shop", "deploy"), true),
            ("invoke:bot:shop", command("shop", "deploy"), false),
            ("view:playbook:a/*", Thing { kind: ResourceKind::Playbook, bot: "", name: "a/b/c.yaml" }, true),
        ] {
            assert_eq!(text.parse::<Reach>().unwrap().names(thing), expected, "{text}");
        }
        let reach: Reach = "invoke:command:deploy?env=staging|dev*".parse().unwrap();
        let with = |value: &str| BTreeMap::from([("Env".to_owned(), value.to_owned())]);
        assert_eq!(reach.arguments(None), Fit::Yes);
        assert_eq!(reach.arguments(Some(&with("dev-2"))), Fit::Yes);
        assert_eq!(reach.arguments(Some(&with("prod"))), Fit::OtherArguments);
        assert_eq!(reach.arguments(Some(&BTreeMap::new())), Fit::OtherArguments);
    }
}
