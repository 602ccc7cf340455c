//! References inside a description.

use serde_json::{Map, Value, json};

/// How deep schemas are unfolded; what is deeper takes anything.
const DEEPEST: usize = 12;

/// So many parts of schemas one action may have; what is beyond takes anything.
const MOST: usize = 3000;

/// What a reference leads to inside the document; anything else is itself.
pub(super) fn follow<'v>(document: &'v Value, value: &'v Value) -> &'v Value {
    let mut value = value;
    for _ in 0..16 {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        match target {
            Some(target) => value = target,
            None => return &Value::Null,
        }
    }
    &Value::Null
}

/// A schema with its references put in, as JSON Schema of today. One that contains itself takes anything there.
pub(super) struct Schemas<'v> {
    document: &'v Value,
    room: usize,
}

impl<'v> Schemas<'v> {
    pub(super) fn new(document: &'v Value) -> Self {
        Self { document, room: MOST }
    }

    pub(super) fn inline(&mut self, schema: &'v Value) -> Value {
        self.unfold(schema, &mut Vec::new())
    }

    fn unfold(&mut self, schema: &'v Value, around: &mut Vec<&'v str>) -> Value {
        if around.len() > DEEPEST || self.room == 0 {
            return json!({});
        }
        self.room -= 1;
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            if around.contains(&reference) {
                return json!({});
            }
            around.push(reference);
            let unfolded = self.unfold(follow(self.document, schema), around);
            around.pop();
            return unfolded;
        }
        let Some(members) = schema.as_object() else {
            return if schema.is_boolean() { schema.clone() } else { json!({}) };
        };
        let mut unfolded = Map::new();
        for (key, value) in members {
            let value = match key.as_str() {
                "properties" => {
                    let properties = value.as_object().into_iter().flatten();
                    // What the service fills in itself is not asked for.
                    let asked = properties.filter(|(_, property)| property.get("readOnly") != Some(&Value::Bool(true)));
                    Value::Object(asked.map(|(name, property)| (name.clone(), self.deeper(property, around))).collect())
                }
                "items" | "additionalProperties" | "not" => self.deeper(value, around),
                "allOf" | "anyOf" | "oneOf" => {
                    value.as_array().into_iter().flatten().map(|one| self.deeper(one, around)).collect()
                }
                "type" | "enum" | "const" | "required" | "description" | "default" | "minimum" | "maximum"
                | "minLength" | "maxLength" | "minItems" | "maxItems" | "uniqueItems" => value.clone(),
                // Some patterns are of a kind that takes more than linear time.
                "pattern" if value.as_str().is_some_and(|pattern| regex::Regex::new(pattern).is_ok()) => value.clone(),
                _ => continue,
            };
            unfolded.insert(key.clone(), value);
        }
        modern(schema, unfolded)
    }

    fn deeper(&mut self, schema: &'v Value, around: &mut Vec<&'v str>) -> Value {
        around.push("");
        let unfolded = self.unfold(schema, around);
        around.pop();
        unfolded
    }
}

/// `nullable` of OpenAPI 3.0 in words of JSON Schema, and no `required` for what is not asked for.
fn modern(schema: &Value, mut unfolded: Map<String, Value>) -> Value {
    if schema.get("nullable") == Some(&Value::Bool(true))
        && let Some(kind) = unfolded.get("type").filter(|kind| kind.is_string()).cloned()
    {
        unfolded.insert("type".to_owned(), json!([kind, "null"]));
    }
    let known =
        unfolded.get("properties").and_then(Value::as_object).map(|known| known.keys().cloned().collect::<Vec<_>>());
    if let (Some(known), Some(Value::Array(required))) = (known, unfolded.get_mut("required")) {
        required.retain(|name| name.as_str().is_some_and(|name| known.iter().any(|known| known == name)));
    }
    // `exclusiveMinimum: true` of 3.0 is not carried over, an enum that is no list neither.
    for key in ["enum", "required"] {
        if unfolded.get(key).is_some_and(|value| value.as_array().is_none_or(Vec::is_empty)) {
            unfolded.remove(key);
        }
    }
    Value::Object(unfolded)
}
