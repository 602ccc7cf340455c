//! The intent language: what is taken, what is refused, and where the fault is said to be.

use super::building::{index, parameter, say};
use crate::intent::{MAX_BYTES, Pattern};

fn fault(intent: &str, parameters: &[&str]) -> (String, String, Option<String>) {
    let parameters: Vec<_> = parameters.iter().map(|written| parameter(written)).collect();
    let fault = Pattern::parse(intent, &parameters).unwrap_err();
    (intent[fault.at.clone()].to_owned(), fault.message, fault.suggestion)
}

#[test]
fn faults_name_the_place_and_what_to_write() {
    let cases: &[(&str, &str, &str, Option<&str>)] = &[
        ("deploy {servce}", "servce", "no parameter \"servce\"", Some("service")),
        ("deploy { servce :int }", "servce", "no parameter", Some("service")),
        ("deploy {zzz}", "zzz", "no parameter", None),
        ("say {text:rest} now", "{text:rest}", "must be the last", None),
        ("say {text:rest} [please]", "{text:rest}", "must be the last", None),
        ("deploy {service", "{", "never closed", None),
        ("deploy [now", "[", "never closed", None),
        ("deploy (a|b", "(", "never closed", None),
        ("deploy service}", "}", "closes nothing", None),
        ("deploy now)", ")", "closes nothing", None),
        ("deploy now]", "]", "closes nothing", None),
        ("a|b", "|", "need brackets", None),
        ("deploy (a|)", ")", "is empty", None),
        ("deploy ({service}|b)", "{", "words only", None),
        ("deploy []", "[]", "nothing between", None),
        ("deploy{service}", "{", "put a blank here", None),
        ("{service}s deploy", "s", "put a blank here", None),
        ("  ", "  ", "empty", None),
        ("{service}", "{service}", "match everything", None),
        ("[please] {service} {text:rest}", "[please] {service} {text:rest}", "match everything", None),
        ("deploy {service:strng}", "strng", "unknown type \"strng\"", Some("string")),
        ("deploy {service:choice}", "choice", "needs its values", None),
        ("deploy {service:choice(a,)}", "choice(a,)", "choice is empty", None),
        ("deploy {}", "{}", "needs the name", None),
        ("deploy {service} {service}", "{service}", "taken twice", None),
        ("scale {service:int=many}", "many", "not a valid integer", None),
        ("deploy \"now\"", "\"now\"", "quoted word", Some("now")),
        ("/a(?=b)c/", "(?=", "look-around is not supported, because matching must take time linear", None),
        (r"/(a)\1/", r"\1", "back-references are not supported, because", None),
        ("/x*/", "x*", "matches the empty text", None),
        ("/a/g", "g", "no flag", None),
        (r"/(\w{500}){500}/", r"(\w{500}){500}", "bytes when compiled", None),
        ("/a(b/", "a(b", "unclosed group", None),
        ("/to (?<servce>web)/", "servce", "no parameter", Some("service")),
        ("^(?:a|)$", "^(?:a|)$", "matches the empty text", None),
    ];
    for (intent, at, message, suggestion) in cases {
        let found = fault(intent, &["service", "text"]);
        assert_eq!(found.0, *at, "{intent}: {}", found.1);
        assert!(found.1.contains(message), "{intent}: {}", found.1);
        assert_eq!(found.2.as_deref(), *suggestion, "{intent}");
    }
}

#[test]
fn what_would_grow_without_bound_is_refused() {
    let many = format!("go {}", "[a] ".repeat(7));
    assert!(fault(&many, &[]).1.contains("more than 64 word orders"));
    assert!(fault(&"[".repeat(400), &[]).1.contains("nested"));
    assert!(fault(&format!("go ({}z)", "a|".repeat(200)), &[]).1.contains("more than 64 word orders"));
    let long = "a".repeat(MAX_BYTES + 1);
    assert!(fault(&long, &[]).1.contains("513 bytes long"));
    assert!(Pattern::parse(&long[1..], &[]).is_ok());
}

#[test]
fn each_construct_matches_what_it_says() {
    let index = index(&[
        ("(start|boot up) {vm} [right now]", &["vm"]),
        ("scale {service} to {count:int=1}", &["service", "count:integer"]),
        ("note {text:rest}", &["text", "tag"]),
        ("[please] (show|list) all", &[]),
        (r"cost \{x\} a/b", &[]),
        ("who's on call?", &[]),
        ("/inc-(?<number>\\d{4})(x)?/i", &["number"]),
        ("^ping (?<host>\\w+)$", &["host"]),
        ("set {key} {value:json}", &["key", "value"]),
        ("größe", &[]),
        ("/help", &[]),
    ]);
    let cases = [
        ("start box1", "ops/(start|boot up) {vm} [right now] vm=box1"),
        ("Boot UP Box1 right now!", "ops/(start|boot up) {vm} [right now] vm=Box1"),
        ("scale web to 3", "ops/scale {service} to {count:int=1} count=3 service=web"),
        ("scale web to", "ops/scale {service} to {count:int=1} count=1 service=web"),
        ("scale web to count=4", "ops/scale {service} to {count:int=1} count=4 service=web"),
        ("scale web to 3.", "ops/scale {service} to {count:int=1} count=3 service=web"),
        ("note Buy  \"two\" things\nnow tag=home", "ops/note {text:rest} tag=home text=Buy  \"two\" things\nnow"),
        ("note \"just this\"", "ops/note {text:rest} text=just this"),
        ("note text=\"by name\"", "ops/note {text:rest} text=by name"),
        ("note my text=5", "ops/note {text:rest} text=my text=5"),
        ("note a=1", "ops/note {text:rest} text=a=1"),
        ("list all", "ops/[please] (show|list) all"),
        ("please show ALL", "ops/[please] (show|list) all"),
        ("cost {x} a/b", r"ops/cost \{x\} a/b"),
        ("Who’s on call", "ops/who's on call?"),
        ("see INC-1234 there", "ops//inc-(?<number>\\d{4})(x)?/i number=1234"),
        ("Ping box1", "ops/^ping (?<host>\\w+)$ host=box1"),
        ("please ping box1", "-"),
        (r#"set a {"b":1}"#, r#"ops/set {key} {value:json} key=a value={"b":1}"#),
        ("GRO\u{308}ẞE", "ops/größe"),
        ("/help", "ops//help"),
    ];
    for (text, expected) in cases {
        assert_eq!(say(&index, text), expected, "{text}");
    }
}
