use serde_json::json;

use super::*;

fn context() -> Context {
    Context::of(&json!({
        "inputs": {"n": 3, "name": "Ada", "tags": ["a", "b"], "none": null, "big": 12_345_678_901_i64},
        "steps": {"list": {"output": {"modules": [{"name": "x", "v": 1}, {"name": "y", "v": 2}]}}},
        "z": {"b": 1, "a": 2},
    }))
}

#[test]
fn a_sole_expression_keeps_its_type_and_text_beside_makes_text() {
    for (source, expected) in [
        ("${{ inputs.n + 1 }}", json!(4)),
        ("${{ inputs.n > 2 and inputs.name == 'Ada' }}", json!(true)),
        ("${{ inputs.tags }}", json!(["a", "b"])),
        ("${{ inputs.none }}", json!(null)),
        ("${{ inputs.big }}", json!(12_345_678_901_i64)),
        ("${{ inputs.n / 2 }}", json!(1.5)),
        ("${{ {'a': {'b': 1}} }}", json!({"a": {"b": 1}})),
        ("${{ 'y' in steps.list.output.modules | map(attribute='name') }}", json!(true)),
        ("${{ steps.list.output.modules | map(attribute='name') }}", json!(["x", "y"])),
        ("${{ inputs.missing is defined }}", json!(false)),
        ("${{ inputs.missing | default('no') }}", json!("no")),
        ("n=${{ inputs.n }}, ${{ inputs.tags }}, [${{ inputs.none }}]", json!("n=3, [\"a\",\"b\"], []")),
        ("$${{ inputs.n }} is ${{ '}}' }}", json!("${{ inputs.n }} is }}")),
        ("plain", json!("plain")),
        ("", json!("")),
        ("${{ inputs.name | urlencode }}/${{ 'a/../b c' | urlencode }}", json!("Ada/a%2F..%2Fb%20c")),
        ("${{ '[1]' | fromjson }}", json!([1])),
        ("${{ 'a:b' | base64 }}", json!("YTpi")),
    ] {
        let value = Text::compile(source).unwrap().evaluate(&context());
        assert_eq!(value.as_ref(), Ok(&expected), "{source}");
    }
    let order = Text::compile("${{ z }}").unwrap().evaluate(&context()).unwrap();
    assert_eq!(order.to_string(), r#"{"b":1,"a":2}"#, "keys stay in their order");
}

#[test]
fn what_is_not_there_or_no_expression_is_an_error_that_says_so() {
    for source in ["${{ inputs.missing }}", "${{ nobody }}", "a ${{ inputs.missing.deeper }}"] {
        let failure = Text::compile(source).unwrap().evaluate(&context()).unwrap_err();
        assert!(failure.message.contains("not there"), "{source}: {failure}");
    }
    for (source, offset, part) in [
        ("${{ }}", 0, "empty"),
        ("ab ${{ 1 + }}", 3, "no expression"),
        ("ab ${{ 'x }}", 3, "never closed"),
        ("${{ {% for x in y %} }}", 0, ""),
    ] {
        let fault = Text::compile(source).unwrap_err();
        assert_eq!(fault.offset, offset, "{source}");
        assert!(fault.message.contains(part), "{source}: {}", fault.message);
    }
    let long = format!("${{{{ {} }}}}", "1+".repeat(LONGEST));
    assert!(Text::compile(&long).unwrap_err().message.contains("4096"));
    let condition = Expression::compile("inputs.name").unwrap().holds(&context()).unwrap_err();
    assert!(condition.message.contains("true or false"));
}

#[test]
fn what_would_cost_much_is_stopped() {
    for source in [
        "'x' * 1000000000",
        "range(100000000) | list",
        "(range(9000) | list) * 9000",
        "range(3000) | map('string') | join('x' * 3000)",
        "[[1] * 5000] * 5000",
        "('x' * 100000) | replace('x', 'y' * 100000)",
        "9 ** 9 ** 9 ** 9",
    ] {
        let started = std::time::Instant::now();
        assert!(Expression::compile(source).unwrap().evaluate(&context()).is_err(), "{source}");
        assert!(started.elapsed().as_secs() < 5, "{source}");
    }
    let deep = format!("{}1{}", "(".repeat(2000), ")".repeat(2000));
    assert!(Expression::compile(&deep).is_err());
    let nested = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    assert!(Expression::compile(&nested).is_err());
}

#[test]
fn a_shape_is_a_json_value_of_such_strings() {
    let shape = Shape::compile(&json!({
        "channel": "#${{ inputs.name }}", "n": "${{ inputs.n }}", "blocks?": "${{ inputs.blocks }}",
        "none?": "${{ inputs.none }}", "kept?": "${{ inputs.n }}", "list": [1, "${{ inputs.tags[0] }}"],
    }))
    .unwrap();
    assert_eq!(shape.evaluate(&context()).unwrap(), json!({"channel": "#Ada", "n": 3, "kept": 3, "list": [1, "a"]}));
    let mut names: Vec<_> = shape.expressions().iter().flat_map(|expression| expression.names()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names, ["inputs.blocks", "inputs.n", "inputs.name", "inputs.none", "inputs.tags"]);
    let fault = Shape::compile(&json!({"a/b": ["x", "y ${{ 1 + }}"]})).unwrap_err();
    assert_eq!((fault.pointer.as_str(), fault.offset), ("/a~1b/1", 2));
}

#[test]
fn values_in_a_path_pass_an_escape() {
    let path = Text::compile_braces("/customers/{{ input.id }}/x").unwrap();
    let context = Context::of(&json!({"input": {"id": "../a b"}}));
    assert_eq!(path.render(&context, |text| percent_encoded(&text)).unwrap(), "/customers/..%2Fa%20b/x");
}
