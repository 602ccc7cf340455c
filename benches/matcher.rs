//! What one match costs among 10, 1,000 and 10,000 intents, and what it costs to build the index.
//!
//! `cargo bench --bench matcher`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parlour::intent::{Index, Resolution, Scope};
use parlour::model::bot::{Access, Bot};
use parlour::model::command::{Body, Command, Effect, Reply};
use parlour::model::parameter::{Parameter, ParameterType};

const VERBS: [&str; 10] =
    ["deploy", "restart", "status of", "rollback", "scale", "logs for", "open ticket", "page", "approve", "silence"];

/// Rounds of which the median is told, and how long each lasts.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(150);

fn command(bot: &str, name: String, intent: String, parameters: &[(&str, ParameterType)]) -> Arc<Command> {
    let parameter = |(name, kind): &(&str, ParameterType)| Parameter {
        name: (*name).to_owned(),
        kind: kind.clone(),
        required: true,
        ..Parameter::default()
    };
    Arc::new(Command {
        bot: bot.to_owned(),
        name,
        description: String::new(),
        intents: vec![intent],
        parameters: parameters.iter().map(parameter).collect(),
        mapped_parameters: BTreeMap::new(),
        examples: Vec::new(),
        access: Access::default(),
        effect: Effect::Read,
        auto_submit: true,
        body: Body::Reply(Reply::default()),
        ..Command::default()
    })
}

fn bots(commands: impl Iterator<Item = (String, Arc<Command>)>) -> Vec<Arc<Bot>> {
    let mut by_bot: BTreeMap<String, Vec<Arc<Command>>> = BTreeMap::new();
    for (bot, command) in commands {
        by_bot.entry(bot).or_default().push(command);
    }
    let bot = |(name, commands): (String, Vec<Arc<Command>>)| {
        Arc::new(Bot {
            display_name: name.clone(),
            name,
            description: String::new(),
            avatar: String::new(),
            access: Access::default(),
            commands,
            version: String::new(),
        })
    };
    by_bot.into_iter().map(bot).collect()
}

/// `verb svcN to {environment}`, a hundred commands a bot.
fn words(count: usize) -> Vec<Arc<Bot>> {
    let environment = ParameterType::Choice { choices: vec!["staging".to_owned(), "prod".to_owned()] };
    bots((0..count).map(|i| {
        let bot = format!("bot{}", i / 100);
        let intent = format!("{} svc{i} to {{environment}}", VERBS[i % 10]);
        let made = command(&bot, format!("command{i}"), intent, &[("environment", environment.clone())]);
        (bot, made)
    }))
}

/// The same as regular expressions.
fn expressions(count: usize) -> Vec<Arc<Bot>> {
    bots((0..count).map(|i| {
        let bot = format!("bot{}", i / 100);
        let intent = format!(r"^{} svc{i} to (?<environment>\w+)$", VERBS[i % 10]);
        let made = command(&bot, format!("command{i}"), intent, &[("environment", ParameterType::String)]);
        (bot, made)
    }))
}

fn measure(texts: &[String], mut run: impl FnMut(&str)) -> (f64, f64, f64) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (start, mut done) = (Instant::now(), 0_u32);
            while start.elapsed() < ROUND {
                for text in texts {
                    run(black_box(text));
                    done += 1;
                }
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(done)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1])
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}

#[expect(clippy::print_stdout, reason = "a benchmark is there to print")]
fn main() {
    println!("{:<28} {:>7} {:>10} {:>22}", "what", "intents", "ns", "(least … most)");
    // The largest first, so that its memory is not taken from what another left behind.
    for count in [10_000, 1_000, 10] {
        let name = |k: usize| VERBS[k % 10];
        let of = |make: &dyn Fn(usize) -> String| -> Vec<String> { (0..257).map(|k| make(k * 7919 % count)).collect() };
        let hits = of(&|i| format!("{} svc{i} to prod", name(i)));
        let near = of(&|i| format!("{} svc{i} to mars", name(i)));
        let typos = of(&|i| format!("{} svc{i} ot prod", name(i)));
        let misses: Vec<String> =
            (0..257).map(|k| format!("good morning everyone, how did deploy number {k} go")).collect();

        for (kind, bots) in [("words", words(count)), ("expressions", expressions(count))] {
            let before = resident();
            let start = Instant::now();
            let index = Index::build(&bots);
            let built = start.elapsed().as_secs_f64() * 1e3;
            println!("{kind:<12} {:<15} {count:>7} {built:>7.1} ms {:>13.1} MiB", "build", resident() - before);

            let scope = Scope { bot: Some("bot0") };
            let told = |what: &str, texts: &[String], expected: fn(&Resolution) -> bool| {
                assert!(texts.iter().all(|text| expected(&index.resolve(text, &scope))), "{kind} {what}");
                let (median, least, most) = measure(texts, |text| {
                    black_box(index.resolve(text, &scope));
                });
                println!("{kind:<12} {what:<15} {count:>7} {median:>10.0} {least:>11.0} … {most:.0}");
            };
            told("hit", &hits, |found| matches!(found, Resolution::Match(_)));
            told("miss", &misses, |found| matches!(found, Resolution::Nothing));
            if kind == "words" {
                told("near miss", &near, |found| matches!(found, Resolution::Near(_)));
                let (median, least, most) = measure(&typos, |text| {
                    black_box(index.suggest(text, &scope, &|_, _| true, 3));
                });
                println!("{kind:<12} {:<15} {count:>7} {median:>10.0} {least:>11.0} … {most:.0}", "suggest");
                let (median, least, most) = measure(&hits, |text| {
                    black_box(index.complete(&text[..5], &scope, &|_, _| true, 8));
                });
                println!("{kind:<12} {:<15} {count:>7} {median:>10.0} {least:>11.0} … {most:.0}", "complete");
            }
        }
    }
}
