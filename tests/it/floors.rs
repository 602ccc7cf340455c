//! The house rules that no compiler keeps: who may use whom, where SQL and printing belong, and that no test is forgotten.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::rust_source::{Named, Piece, Token, crate_paths, tokens};

/// The top-level modules, lowest floor first. A module uses only the floors below its own.
const FLOORS: &[&[&str]] = &[
    &["model"],
    &[
        "config",
        "telemetry",
        "crash_point",
        "clock",
        "bus",
        "tasks",
        "files",
        "intent",
        "template",
        "expression",
        "render",
    ],
    // Between: it finds what was meant as `template` does.
    &["schema"],
    &["flow"],
    &["store", "fetch"],
    &["vault", "browser"],
    &["manifest", "identity"],
    &["connector"],
    &["engine"],
    &["outbox"],
    &["chat"],
    &["api"],
    &["app"],
    // A house without doors, for tests of bots and the terminal.
    &["simulator"],
    &["cli"],
    &["main"],
];

/// How SQL begins. A method name such as `"DELETE"` stands alone, a statement goes on.
const STATEMENTS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "WITH", "PRAGMA"];

/// A Rust file below `src/`.
struct Source {
    /// From `src/` on, with `/`.
    path: String,
    tokens: Vec<Token>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), tokens: tokens(text) }
    }

    /// Where the file stands in the module tree: `chat/hub.rs` is `chat`, `hub`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs");
        path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
    }

    /// The top-level module the file belongs to; `lib` is the root itself.
    fn top(&self) -> &str {
        self.module()[0]
    }

    fn fault(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Uses of a floor that is not below the user's own.
fn wrong_uses(source: &Source) -> Vec<String> {
    let own = source.top();
    // The root only declares the modules.
    let Some(own_floor) = floor(own) else { return Vec::new() };
    let judge = |Named { line, path }: Named| {
        let used = path.first().map_or("", String::as_str);
        let problem = match floor(used) {
            _ if used == own => return None,
            Some(floor) if floor < own_floor => return None,
            Some(floor) if floor == own_floor => format!("`{own}` uses its neighbour `{used}`"),
            Some(_) => format!("`{own}` uses `{used}` from a floor above"),
            None => format!("`{own}` uses `crate::{used}`, which is no module on a floor"),
        };
        Some(source.fault(line, &problem))
    };
    let mut faults: Vec<String> = crate_paths(&source.tokens, &source.module()).into_iter().filter_map(judge).collect();
    // One `use` often names several things of the same module.
    faults.dedup();
    faults
}

/// Top-level modules without a floor.
fn homeless(source: &Source) -> Vec<String> {
    let top = source.top();
    let known = top == "lib" || floor(top).is_some();
    if known { Vec::new() } else { vec![source.fault(1, &format!("`{top}` has no floor"))] }
}

/// SQL outside `store`.
fn stray_sql(source: &Source) -> Vec<String> {
    if source.top() == "store" {
        return Vec::new();
    }
    let is_sql = |text: &str| {
        // A string may begin with a continued line.
        let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
        STATEMENTS.iter().any(|word| text.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '\n', '\t'])))
    };
    let sql = source.tokens.iter().filter(|token| matches!(&token.piece, Piece::Text(text) if is_sql(text)));
    sql.map(|token| source.fault(token.line, "SQL belongs in `store`")).collect()
}

/// `println!` and `print!` outside `cli`.
fn stray_printing(source: &Source) -> Vec<String> {
    if source.top() == "cli" {
        return Vec::new();
    }
    let prints = source
        .tokens
        .windows(2)
        .filter(|pair| (pair[0].is_word("println") || pair[0].is_word("print")) && pair[1].piece == Piece::Sign('!'));
    prints.map(|pair| source.fault(pair[0].line, "printing belongs in `cli`")).collect()
}

/// Unsafe code.
fn unsafe_code(source: &Source) -> Vec<String> {
    let found = source.tokens.iter().filter(|token| token.is_word("unsafe"));
    found.map(|token| source.fault(token.line, "`unsafe` is not used in this house")).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("failed to read {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a folder's entry can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()))
}

/// Every source of the crate, judged by `rule`; panics with all faults.
fn judge_all(rule: impl Fn(&Source) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = rust_files(&root).into_iter().map(|file| {
        let path = file.strip_prefix(&root).expect("the file was found below src");
        Source::new(&path.to_string_lossy().replace('\\', "/"), &read(&file))
    });
    let sources: Vec<Source> = sources.collect();
    assert!(sources.iter().any(|source| source.path == "lib.rs"), "src/lib.rs was not found");
    let faults: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Names of files and folders in `entries` that `root` does not declare as modules.
fn undeclared<'a>(root: &str, entries: &[&'a str]) -> Vec<&'a str> {
    let tokens = tokens(root);
    let declares = |name: &str| {
        tokens
            .windows(3)
            .any(|part| part[0].is_word("mod") && part[1].is_word(name) && part[2].piece == Piece::Sign(';'))
    };
    entries.iter().copied().filter(|name| !declares(name)).collect()
}

/// Checks that the root file of `folder` declares what lies in it, folder by folder.
fn assert_all_declared(folder: &Path, root: &str) {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("the tests' folder can be read") {
        let path = entry.expect("a folder's entry can be read").path();
        let name = path.file_stem().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() && !rust_files(&path).is_empty() {
            let own_root = if path.join("mod.rs").exists() { path.join("mod.rs") } else { path.with_extension("rs") };
            assert_all_declared(&path, &read(&own_root));
            names.push(name);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "main" && name != "mod" {
            names.push(name);
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let missing = undeclared(root, &names);
    assert!(missing.is_empty(), "{} declares no `mod` for {missing:?}, so they never run", folder.display());
}

#[test]
fn a_module_uses_only_the_floors_below() {
    judge_all(wrong_uses);
}

#[test]
fn every_module_has_a_floor() {
    judge_all(homeless);
}

#[test]
fn only_the_store_holds_sql() {
    judge_all(stray_sql);
}

#[test]
fn only_the_command_line_prints() {
    judge_all(stray_printing);
}

#[test]
fn nothing_is_unsafe() {
    judge_all(unsafe_code);
}

#[test]
fn no_test_file_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    assert_all_declared(&folder, &read(&folder.join("main.rs")));
}

/// The rules themselves, tried on small sources that break them.
mod rules {
    use super::*;

    fn faults(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        rule(&Source::new(path, text))
    }

    #[test]
    fn downward_and_own_uses_pass() {
        let text = "
            //! See [`crate::api`]; use crate::api::Nothing;
            use crate::model::{self, bot::Bot, Error as Fault};
            use super::{intent::resolve, render};
            use crate::{engine::{invoke, plan::Step}, store::Store};
            /* use crate::api; /* nested */ use crate::app; */
            fn f<'a>(x: &'a str) -> char { let _ = r#\"crate: \"api\"\"#; self.x; crate::tasks::spawn::<crate::model::Id>(); '\"' }
            mod tests { use super::*; use super::super::hub::Hub; }
        ";
        assert_eq!(faults(wrong_uses, "chat/hub.rs", text), Vec::<String>::new());
    }

    #[test]
    fn upward_and_sideways_uses_are_found() {
        let cases = [
            ("chat/hub.rs", "use crate::api::error;", "src/chat/hub.rs:1: `chat` uses `api` from a floor above"),
            (
                "chat/mod.rs",
                "\nuse crate::{model::Id, app::{self}};",
                "src/chat/mod.rs:2: `chat` uses `app` from a floor above",
            ),
            (
                "intent/mod.rs",
                "use crate::template as t;",
                "src/intent/mod.rs:1: `intent` uses its neighbour `template`",
            ),
            (
                "intent/index.rs",
                "use super::super::template::*;",
                "src/intent/index.rs:1: `intent` uses its neighbour `template`",
            ),
            (
                "intent.rs",
                "mod tests { use super::super::{model, bus}; }",
                "src/intent.rs:1: `intent` uses its neighbour `bus`",
            ),
            (
                "store/mod.rs",
                "fn f() { let c = '{'; crate::fetch::seal(c) }",
                "src/store/mod.rs:1: `store` uses its neighbour `fetch`",
            ),
            (
                "model/bot.rs",
                "fn f() -> Vec<crate::model::Id> { g::<crate::clock::Clock>() }",
                "src/model/bot.rs:1: `model` uses `clock` from a floor above",
            ),
            (
                "model/id.rs",
                "#[serde(with = \"crate::store::text\")] struct S;",
                "src/model/id.rs:1: `model` uses `store` from a floor above",
            ),
            (
                "bus.rs",
                "macro_rules! m { () => { $crate::engine::run() } }",
                "src/bus.rs:1: `bus` uses `engine` from a floor above",
            ),
            ("bus.rs", "use self::super::engine;", "src/bus.rs:1: `bus` uses `engine` from a floor above"),
            (
                "api/ws.rs",
                "use crate::{model::*, helpers::x};",
                "src/api/ws.rs:1: `api` uses `crate::helpers`, which is no module on a floor",
            ),
            ("api/ws.rs", "use crate::*;", "src/api/ws.rs:1: `api` uses `crate::*`, which is no module on a floor"),
        ];
        for (path, text, fault) in cases {
            assert_eq!(faults(wrong_uses, path, text), [fault], "{text}");
        }
    }

    #[test]
    fn a_module_without_a_floor_is_found() {
        assert_eq!(faults(homeless, "chat/hub.rs", ""), Vec::<String>::new());
        assert_eq!(faults(homeless, "util/text.rs", ""), ["src/util/text.rs:1: `util` has no floor"]);
        assert_eq!(faults(homeless, "helpers.rs", ""), ["src/helpers.rs:1: `helpers` has no floor"]);
    }

    #[test]
    fn stray_sql_is_found() {
        let text = "fn f() { method(\"DELETE\"); say(\"Select one\"); // \"SELECT 1\"\n query(\"\\\n  SELECT 1\"); }";
        assert_eq!(faults(stray_sql, "api/bots.rs", text), ["src/api/bots.rs:2: SQL belongs in `store`"]);
        assert_eq!(faults(stray_sql, "app.rs", "x(r#\"CREATE TABLE t\"#)").len(), 1);
        assert_eq!(faults(stray_sql, "store/log.rs", text), Vec::<String>::new());
    }

    #[test]
    fn stray_printing_is_found() {
        let text = "fn f() { writeln!(out, \"println!\"); println(); println!(\"x\"); }";
        assert_eq!(faults(stray_printing, "app.rs", text), ["src/app.rs:1: printing belongs in `cli`"]);
        assert_eq!(faults(stray_printing, "cli.rs", text), Vec::<String>::new());
    }

    #[test]
    fn unsafe_code_is_found() {
        let text = "// unsafe\nconst WORD: &str = \"unsafe\";\nunsafe fn f() {}";
        assert_eq!(faults(unsafe_code, "bus.rs", text), ["src/bus.rs:3: `unsafe` is not used in this house"]);
    }

    #[test]
    fn a_forgotten_test_file_is_found() {
        let root = "mod floors;\npub(crate) mod support;\n// mod chat;";
        assert_eq!(undeclared(root, &["floors", "support", "chat"]), ["chat"]);
    }
}
