use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Budget, Context, Form, Names, Partials, Template, limit};

fn names() -> Names {
    Names {
        parameters: ["service".to_owned(), "reason".to_owned(), "target.owner".to_owned()].into(),
        mapped: ["requester".to_owned()].into(),
        data: ["stats".to_owned(), "week".to_owned()].into(),
    }
}

fn compile(source: &str) -> Result<Template, Vec<String>> {
    compile_with(source, &Partials::default())
}

fn compile_with(source: &str, partials: &Partials) -> Result<Template, Vec<String>> {
    Template::compile(source, Form::Markdown, partials, &names())
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn render_with(source: &str, partials: &Partials, values: Value, budget: &mut Budget) -> Result<String, String> {
    let template = compile_with(source, partials).expect("the template is valid");
    template.render(&Context::new(values, &names()), partials, budget).map_err(|fault| fault.to_string())
}

fn render(source: &str, values: Value) -> Result<String, String> {
    render_with(source, &Partials::default(), values, &mut Budget::default())
}

fn partials(sources: &[(&str, &str)]) -> Result<Partials, Vec<String>> {
    let sources: BTreeMap<String, String> = sources.iter().map(|(n, s)| ((*n).to_owned(), (*s).to_owned())).collect();
    Partials::compile(&sources).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn templates_say_what_they_should() {
    let values = json!({
        "parameters": {"service": "web", "target.owner": "ann"},
        "user": {"name": "Bob"},
        "data": {"week": 47, "stats": {"runs": 0, "list": ["a", "b"], "map": {"x": 1, "y": 2}, "at": 1_763_899_200_000_i64}},
    });
    for (source, expected) in [
        ("Hello {{parameters.service}}", "Hello web"),
        ("{{parameters.target.owner}} {{data.week}} {{week}}", "ann 47 47"),
        ("[{{parameters.reason}}]", "[]"),
        ("{{#if parameters.reason}}a{{else if parameters.service}}b{{else}}c{{/if}}", "b"),
        ("{{#if (eq parameters.service \"web\")}}yes{{/if}}", "yes"),
        ("{{#each stats.list}}{{@index}}{{this}}{{#unless @last}}, {{/unless}}{{/each}}", "0a, 1b"),
        ("{{#each stats.list as |item index|}}{{index}}{{item}}{{../user.name}}{{/each}}", "0aBob1bBob"),
        ("{{#each stats.map}}{{@key}}={{this}} {{@root.user.name}};{{/each}}", "x=1 Bob;y=2 Bob;"),
        ("{{#each parameters.reason}}x{{else}}none{{/each}}", "none"),
        ("{{#with stats}}{{runs}} of {{len list}}{{/with}}", "0 of 2"),
        ("{{upper parameters.service}} {{lower \"ABC\"}} {{default parameters.reason \"none\"}}", "WEB abc none"),
        ("{{lookup stats.list 1}} {{json stats.list}}", "b \\[\"a\",\"b\"\\]"),
        ("{{date stats.at}} {{date \"2026-11-23T10:00:00Z\" \"%d %b\"}}", "2025-11-23 12:00 UTC 23 Nov"),
        ("{{date \"2026-11-23\"}} {{date \"2026-11-23\" \"%A\"}}", "2026-11-23 Monday"),
        ("\\{{not a tag}} {{! a comment }}{{!-- {{another}} --}}done", "{{not a tag}} done"),
        ("a\n{{#if week}}\nb\n{{/if}}\nc", "a\nb\nc"),
    ] {
        assert_eq!(render(source, values.clone()).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn what_people_type_never_becomes_markup_or_a_template() {
    let typed = "**x** [l](http://e) <!everyone> {{user.name}} `c`";
    let text = render("{{parameters.service}}", json!({"parameters": {"service": typed}})).unwrap();
    assert_eq!(text, crate::model::message::escape_markdown(typed));
    for form in [
        "{{{parameters.service}}}",
        "{{&parameters.service}}",
        "{{ { parameters.service } }}",
        "{{{{raw}}}}x{{{{/raw}}}}",
    ] {
        let faults = compile(form).unwrap_err();
        assert_eq!(faults, ["at 1:1: text cannot be put in unescaped: write {{name}} with two braces"], "{form}");
    }
}

#[test]
fn faults_are_found_when_compiled_and_say_where() {
    for (source, expected) in [
        ("a\n  {{paramters.x}}", "at 2:5: unknown name \"paramters\", did you mean \"parameters\"?"),
        ("{{parameters.servce}}", "at 1:3: there is no parameter \"servce\", did you mean \"service\"?"),
        ("{{mapped.who}}", "at 1:3: there is no mapped parameter \"who\""),
        ("{{service}}", "at 1:3: unknown name \"service\", did you mean \"parameters.service\"?"),
        ("{{#if x}}{{/if}}", "at 1:7: unknown name \"x\""),
        ("{{#if week}}a{{else if weak}}b{{/if}}", "at 1:24: unknown name \"weak\", did you mean \"week\"?"),
        ("{{#each stats.list}}{{../weak}}{{/each}}", "at 1:23: unknown name \"weak\", did you mean \"week\"?"),
        ("{{uper week}}", "at 1:3: there is no helper \"uper\", did you mean \"upper\"?"),
        ("{{log week}}", "at 1:3: there is no helper \"log\""),
        ("{{upper}}", "at 1:3: \"upper\" takes 1 value, not 0"),
        ("{{#upper week}}{{/upper}}", "at 1:4: \"upper\" is not a block"),
        ("{{if week}}", "at 1:3: \"if\" is a block: {{#if …}} … {{/if}}"),
        ("{{@index}}", "at 1:3: there is no \"@index\" here"),
        (
            "{{date week \"%Q%!\"}}",
            "at 1:14: the date format \"%Q%!\" is not valid: strftime formatting failed: found unrecognized specifier directive `!`",
        ),
        ("{{#if week}}", "at 1:1: {{#if}} is not closed"),
        ("{{#if week}}{{/each}}", "at 1:13: {{/each}} closes {{#if}} of line 1, column 1"),
        ("{{/if}}", "at 1:1: {{/if}} closes nothing"),
        ("{{else}}", "at 1:1: {{else}} stands outside a block"),
        ("{{week", "at 1:1: the tag is not closed with }}"),
        ("{{upper \"week}}", "at 1:9: the text in quotes is not closed"),
        (
            "{{#*inline \"x\"}}{{/inline}}",
            "at 1:1: a template cannot define or wrap other templates: put the part in replies/ and include it",
        ),
        ("{{> (lookup week 1)}}", "at 1:5: a partial must be named as it is: {{> footer}}"),
        ("{{> footer}}", "at 1:5: there is no partial \"footer\""),
        ("{{elsewhere}}", "at 1:3: a name cannot begin with \"else\""),
        ("{{week..}}", "at 1:8: the tag cannot be read from here on"),
        ("{{#each stats}}{{../../week}}{{/each}}", "at 1:18: \"../../week\" goes above the top"),
    ] {
        let faults = compile(source).unwrap_err();
        assert_eq!(faults.first().map(String::as_str), Some(expected), "{source}");
    }
    assert_eq!(compile("{{a}} {{b}}").unwrap_err().len(), 2, "all faults are reported");
}

#[test]
fn partials_are_part_of_the_template() {
    let known = partials(&[("footer", "-- {{user.name}} {{note}}"), ("page", "{{> footer note=\"x\"}}!")]).unwrap();
    let text = render_with("{{> page}}", &known, json!({"user": {"name": "A*"}}), &mut Budget::default());
    assert_eq!(text.as_deref(), Ok("-- A\\* x!"));
    let faulty = partials(&[("footer", "x\n{{usr.name}}")]).unwrap();
    assert_eq!(
        compile_with("{{> footer}}", &faulty).unwrap_err(),
        ["in partial \"footer\" at 2:3: unknown name \"usr\", did you mean \"user\"?"]
    );
    assert_eq!(
        compile_with("{{> foter}}", &known).unwrap_err(),
        ["at 1:5: there is no partial \"foter\", did you mean \"footer\"?"]
    );
    let missing = render_with("{{> page}}", &known, json!({"user": {}}), &mut Budget::default());
    assert_eq!(missing.unwrap_err(), "in partial \"footer\" at 1:4: \"user.name\" has no value");
}

#[test]
fn a_template_that_includes_itself_is_refused() {
    assert_eq!(
        partials(&[("a", "{{> a}}")]).unwrap_err(),
        ["in partial \"a\" at 1:5: the template includes itself: a > a"]
    );
    let circle = partials(&[("a", "x {{> b}}"), ("b", "{{#if week}}{{> c}}{{/if}}"), ("c", "{{> a}}")]).unwrap_err();
    assert_eq!(circle[0], "in partial \"c\" at 1:5: the template includes itself: a > b > c > a");
}

#[test]
fn partials_that_multiply_are_refused() {
    let sources: Vec<(String, String)> =
        (0..40).map(|i| (format!("p{i:02}"), format!("{{{{> p{:02}}}}}{{{{> p{:02}}}}}", i + 1, i + 1))).collect();
    let mut sources: Vec<(&str, &str)> = sources.iter().map(|(n, s)| (n.as_str(), s.as_str())).collect();
    sources.push(("p40", "x"));
    let faults = partials(&sources).unwrap_err();
    assert!(faults[0].contains("longer than 1024 KiB"), "{}", faults[0]);
    let chain: Vec<(String, String)> = (0..100)
        .map(|i| (format!("p{i:03}"), if i == 99 { "x".into() } else { format!("{{{{> p{:03}}}}}", i + 1) }))
        .collect();
    let chain: Vec<(&str, &str)> = chain.iter().map(|(n, s)| (n.as_str(), s.as_str())).collect();
    assert!(partials(&chain).unwrap_err()[0].contains("nests deeper than 64"));
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    let long = "x".repeat(limit::SOURCE_BYTES + 1);
    assert_eq!(compile(&long).unwrap_err(), ["at 1:1: the template is longer than 64 KiB"]);
    let nested = |depth: usize| format!("{}x{}", "{{#if week}}".repeat(depth), "{{/if}}".repeat(depth));
    assert_eq!(render(&nested(limit::DEPTH), json!({"data": {"week": 1}})).as_deref(), Ok("x"));
    assert_eq!(compile(&nested(limit::DEPTH + 1)).unwrap_err(), ["at 1:769: blocks nest deeper than 64"]);
    assert_eq!(compile(&"{{#if week}}".repeat(5000)).unwrap_err(), ["at 1:769: blocks nest deeper than 64"]);
    let chain = format!("{{{{#if week}}}}{}{{{{/if}}}}", "{{else if week}}".repeat(3000));
    assert_eq!(compile(&chain).unwrap_err(), ["at 1:1021: blocks nest deeper than 64"]);
    let parentheses = format!("{{{{upper {}", "(upper ".repeat(9000));
    assert_eq!(compile(&parentheses).unwrap_err(), ["at 1:121: parentheses nest deeper than 16"]);
    assert_eq!(
        compile(&format!("{{{{upper {}", "[".repeat(60_000))).unwrap_err(),
        ["at 1:9: a list cannot be written in a tag"]
    );
}

#[test]
fn the_deepest_template_there_may_be_fits_a_thread() {
    let values = json!({"data": {"stats": [1], "week": 1}});
    let rounds = limit::DEPTH;
    let each = format!("{}x{}", "{{#each @root.stats}}".repeat(rounds), "{{/each}}".repeat(rounds));
    assert_eq!(render(&each, values.clone()).as_deref(), Ok("x"));
    let chain = format!("{{{{#if user}}}}{}x{{{{/if}}}}", "{{else if week}}".repeat(rounds - 1));
    assert_eq!(render(&chain, json!({"user": false, "data": {"week": 0}})).as_deref(), Ok(""));
    let sources: Vec<(String, String)> = (0..rounds)
        .map(|i| (format!("p{i}"), if i + 1 == rounds { "x".to_owned() } else { format!("{{{{> p{}}}}}", i + 1) }))
        .collect();
    let sources: Vec<(&str, &str)> = sources.iter().map(|(n, s)| (n.as_str(), s.as_str())).collect();
    let known = partials(&sources).unwrap();
    assert_eq!(render_with("{{> p0}}", &known, values, &mut Budget::default()).as_deref(), Ok("x"));
}

#[test]
fn a_render_ends_in_time_and_at_length() {
    let list: Vec<u32> = (0..1000).collect();
    let values = json!({"data": {"stats": {"list": list}}});
    let endless = "{{#each stats.list}}{{#each @root.stats.list}}{{#each @root.stats.list}}{{/each}}{{/each}}{{/each}}";
    let started = Instant::now();
    assert_eq!(render(endless, values.clone()).unwrap_err(), "the template takes longer than 50 ms");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let flood = "{{#each stats.list}}{{#each @root.stats.list}}0123456789{{/each}}{{/each}}";
    let mut unhurried = Budget::new(Duration::from_secs(60), limit::OUTPUT_BYTES);
    assert_eq!(
        render_with(flood, &Partials::default(), values, &mut unhurried).unwrap_err(),
        "the text becomes longer than 256 KiB"
    );
    let doubled =
        format!("{{{{{}stats{}}}}}", "json (".repeat(15), ")".repeat(15)).replace("json (stats)", "json stats");
    let text = json!({"data": {"stats": "\"".repeat(100)}});
    let mut unhurried = Budget::new(Duration::from_secs(60), limit::OUTPUT_BYTES);
    let error = render_with(&doubled, &Partials::default(), text, &mut unhurried).unwrap_err();
    assert!(error.contains("longer than 256 KiB"), "{error}");
}

#[test]
fn a_simple_render_is_cheap() {
    let template = compile("Hello {{parameters.service}}").unwrap();
    let partials = Partials::default();
    let rounds = 2000;
    let started = Instant::now();
    for _ in 0..rounds {
        let context = Context::new(json!({"parameters": {"service": "World"}}), &names());
        template.render(&context, &partials, &mut Budget::default()).unwrap();
    }
    let each = started.elapsed() / rounds;
    assert!(each < Duration::from_millis(1), "unoptimised and on a busy machine it is still far below: {each:?}");
}

fn piece() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "{{",
        "}}",
        "{{{",
        "}}}",
        "{{#",
        "{{/",
        "{{else",
        "{{else if ",
        "{{^",
        "{{>",
        "{{!",
        "{{!--",
        "--}}",
        "~",
        "\\",
        "\\\\",
        "if",
        "each",
        "with",
        "json",
        " ",
        "\n",
        "(",
        ")",
        "[",
        "]",
        "\"",
        "'",
        ".",
        "..",
        "/",
        "../",
        "@",
        "@index",
        "@root",
        "as",
        "|",
        "=",
        "this",
        "week",
        "parameters.service",
        "footer",
        "x",
        "é",
        "1",
        "-1.5",
        "true",
        "null",
        "{{#if week}}",
        "{{/if}}",
        "{{#each stats}}",
        "{{/each}}",
        "{{~#if week~}}",
        "{{~else~}}",
        "{{~else if week~}}",
        "{{~/if~}}",
        "{{> footer}}",
        "&",
        "*",
        "#",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_source_makes_the_parser_fall_over(pieces in prop::collection::vec(piece(), 0..24)) {
        let known = partials(&[("footer", "f")]).unwrap();
        let source = pieces.concat();
        if let Ok(template) = compile_with(&source, &known) {
            let values = json!({"parameters": {"service": "s"}, "data": {"week": 1, "stats": [{"x": 1}, 2]}});
            let _ = template.render(&Context::new(values, &names()), &known, &mut Budget::default());
        }
    }
}
