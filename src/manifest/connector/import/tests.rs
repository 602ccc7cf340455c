use serde_json::json;

use super::*;
use crate::manifest::connector::{Request, read_connector};
use crate::model::effect::Effect;

fn pets() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Pet Store", "version": "2.1", "description": "Pets."},
        "servers": [{"url": "https://{region}.pets.example.com/v2/", "variables": {"region": {"default": "eu"}}}],
        "security": [{"key": []}],
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
                "login": {"type": "http", "scheme": "basic"},
                "oauth": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://id.example.com/token"}}},
                "sso": {"type": "openIdConnect", "openIdConnectUrl": "https://id.example.com"},
            },
            "schemas": {
                "Pet": {"type": "object", "required": ["name", "id"], "properties": {
                    "id": {"type": "string", "readOnly": true}, "name": {"type": "string"},
                    "owner": {"$ref": "#/components/schemas/Owner"}, "tag": {"type": "string", "nullable": true},
                    "far": {"$ref": "http://127.0.0.1:1/x"},
                }},
                "Owner": {"type": "object", "properties": {"pets": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}}},
            },
        },
        "paths": {
            "/pets": {
                "get": {"operationId": "listPets", "summary": "List  pets",
                    "parameters": [{"name": "cursor", "in": "query", "schema": {"type": "string"}}],
                    "responses": {"200": {"content": {"application/json": {"schema": {"type": "object", "properties": {
                        "items": {"type": "array"}, "next_cursor": {"type": "string"}}}}}}, "429": {}}},
                "post": {"operationId": "listPets", "parameters": [
                        {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}},
                        {"name": "name", "in": "query", "schema": {"type": "string"}}],
                    "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
                    "responses": {"201": {}}},
            },
            "/pets/{pet-id}": {
                "parameters": [{"name": "pet-id", "in": "path", "required": true, "schema": {"type": "string"}}],
                "delete": {"responses": {"204": {}}},
                "put": {"security": [], "requestBody": {"content": {"application/xml": {}}}, "responses": {}},
            },
        },
    })
}

#[test]
fn each_operation_is_an_action_that_can_be_called() {
    let imported = openapi(&pets().to_string(), None).unwrap();
    let connector = read_connector(Path::new("pets.yaml"), &imported.yaml).unwrap_or_else(|faults| {
        panic!("{}\n{faults:#?}", imported.yaml);
    });
    assert_eq!((connector.kind.as_str(), connector.version.as_str()), ("pet_store", "2.1"));
    assert_eq!(connector.http.base_url.as_ref().unwrap().literal(), Some("https://eu.pets.example.com/v2"));
    assert_eq!(connector.http.retry.max_attempts, 4);
    let auth: Vec<_> = connector.auth.iter().map(|auth| (auth.id.as_str(), auth.kind.as_str())).collect();
    assert_eq!(auth, [("key", "api_key"), ("login", "basic"), ("oauth", "oauth2")]);
    let names: Vec<_> = connector.actions.iter().map(|action| (action.name.as_str(), action.effect)).collect();
    assert_eq!(
        names,
        [
            ("list_pets", Some(Effect::Pure)),
            ("list_pets_2", Some(Effect::Keyed)),
            ("put_pets_pet_id", Some(Effect::Idempotent)),
            ("delete_pets_pet_id", Some(Effect::Idempotent)),
        ]
    );
    assert!(connector.action("list_pets").unwrap().pagination.is_some());
    let create = connector.action("list_pets_2").unwrap();
    let input = create.input.source();
    assert_eq!(input["required"], json!(["body_name"]), "the query's name was first: {input}");
    assert_eq!(input["properties"]["tag"]["type"], json!(["string", "null"]));
    assert!(input["properties"].get("id").is_none(), "what the service fills in is not asked for");
    assert_eq!(input["properties"]["owner"]["properties"]["pets"]["items"], json!({}));
    assert_eq!(input["properties"]["far"], json!({}), "no reference leaves the document");
    let Request::Http { .. } = create.request else { panic!("a request") };
    assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
}

#[test]
fn another_import_says_what_has_changed() {
    let before = openapi(&pets().to_string(), None).unwrap();
    let mut changed = pets();
    changed["paths"]["/pets/{pet-id}"].as_object_mut().unwrap().remove("put");
    changed["paths"]["/pets"]["get"]["parameters"][0]["schema"] = json!({"type": "integer"});
    changed["paths"]["/pets"]["head"] = json!({"operationId": "countPets", "responses": {}});
    let after = openapi(&changed.to_string(), None).unwrap();
    assert_eq!(difference(&before.yaml, &after.yaml), ["- put_pets_pet_id", "~ list_pets: input", "+ count_pets"]);
    assert!(difference(&before.yaml, &before.yaml).is_empty());
}

#[test]
fn what_is_no_description_or_too_much_is_said() {
    for (source, part) in [
        ("{", "no JSON"),
        ("a: [", "line 1"),
        ("{}", "no OpenAPI"),
        ("{\"swagger\": \"2.0\"}", "Swagger 2"),
        ("{\"openapi\": \"4.0\"}", "version 3"),
        ("openapi: 3.1.0\npaths: {}", "no operations"),
    ] {
        let error = openapi(source, None).unwrap_err();
        assert!(error.contains(part), "{source}: {error}");
    }
    // Schemas that unfold without end are cut, not unfolded.
    let many: serde_json::Map<String, Value> = (0..20)
        .map(|n| {
            let next = format!("#/components/schemas/s{}", n + 1);
            let property = json!({"$ref": next});
            (format!("s{n}"), json!({"type": "object", "properties": {"a": property, "b": property, "c": property}}))
        })
        .collect();
    let bomb = json!({
        "openapi": "3.1.0", "servers": [{"url": "https://x.example.com"}], "components": {"schemas": many},
        "paths": {"/": {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/s0"}}}}}}},
    });
    let imported = openapi(&bomb.to_string(), Some("x")).unwrap();
    assert!(imported.yaml.len() < 2_000_000);
}
