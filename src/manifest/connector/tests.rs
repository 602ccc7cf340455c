use std::path::Path;

use super::*;

fn read(source: &str) -> Result<Connector, Vec<String>> {
    read_connector(Path::new("x.yaml"), source).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_built_in_is_what_the_interface_promises() {
    let loaded = built_in();
    assert!(loaded.faults.is_empty(), "{:#?}", loaded.faults);
    for (kind, auth, required, actions) in [
        ("slack", "oauth", &["bot_token"] as &[&str], &["send_message", "update_message", "add_reaction"] as &[&str]),
        ("smtp", "custom", &["host", "port", "user", "password"], &["send_email"]),
        (
            "stripe",
            "api_key",
            &["secret_key"],
            &["create_customer", "create_invoice", "create_invoice_item", "create_payment_intent", "retrieve_customer"],
        ),
        ("discord", "token", &["bot_token"], &["send_message", "send_webhook", "edit_message"]),
    ] {
        let connector = &loaded.connectors[kind];
        let auth = connector.auth(auth).unwrap();
        let fields: Vec<_> = auth.fields.iter().filter(|field| field.is_required).map(|field| &*field.name).collect();
        assert_eq!(fields, required, "{kind}");
        for action in actions {
            assert!(connector.action(action).is_some(), "{kind}.{action}");
        }
    }
    assert!(loaded.connectors["http"].action("request").is_some());
    assert!(loaded.connectors["gateway"].actions.len() == 12);
}

const GOOD: &str = "\
apiVersion: connector/v1
kind: Connector
metadata: {type: shop, name: Shop}
auth: [{id: key, kind: api_key, fields: {key: {secret: true, required: true}}, apply: {header: {X-Key: \"{{ secret.key }}\"}}}]
http: {base_url: https://shop.example.com/api}
actions:
  get:
    effect: pure
    input: {type: object, properties: {id: {type: string}}}
    request: {method: GET, path: \"/items/{{ input.id }}\"}
";

#[test]
fn a_fault_is_told_with_its_line_and_column() {
    let good = read(GOOD).unwrap();
    assert_eq!((good.kind.as_str(), good.actions[0].effect), ("shop", Some(Effect::Pure)));
    for (from, to, expected) in [
        ("effect: pure", "efect: pure", "x.yaml:8:5 unknown key \"efect\", did you mean \"effect\"?"),
        ("effect: pure", "effect: some", "x.yaml:8:13 this is one of pure, idempotent, keyed, once"),
        ("{{ input.id }}\"}", "{{ input.id + }}\"}", "x.yaml:10:42 this is no expression"),
        (
            "{{ input.id }}",
            "{{ secret.key }}",
            "x.yaml:10:34 \"secret.key\" cannot be named here: only input, config, step",
        ),
        ("{{ secret.key }}", "{{ secret.kee }}", "x.yaml:4:8 \"secret.kee\" is no field of this credential"),
        ("{type: string}", "{type: strng}", "x.yaml:9:12 this is no JSON Schema"),
        ("https://shop.example.com/api", "shop.example.com", "x.yaml:5:18 this is no address"),
        ("type: shop", "type: Shop", "x.yaml:3:18 this does not match"),
        ("path: \"/items", "path: \"items", "x.yaml:10:34 a path begins with a slash"),
        ("kind: Connector", "kind: Connector\nkind: x", "x.yaml:3:1 key \"kind\" is written twice"),
        ("actions:", "actions: {}\nother:", "unknown key \"other\""),
    ] {
        let faults = read(&GOOD.replacen(from, to, 1)).expect_err(to);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{to}: {faults:#?} should have {expected}");
    }
}

#[test]
fn the_schema_is_one_itself() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(Schema::compile(&schema).map(|_| ()), Ok(()));
}
