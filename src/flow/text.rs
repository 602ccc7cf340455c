//! Texts that people read: handlebars `{{ … }}`, or expressions `${{ … }}`, never both in one text.

use serde_json::{Value, json};

use crate::expression::{Evaluator, Scope, is_template};
use crate::model::message::escape_markdown;
use crate::template::{Budget, Context, Form, Names, Partials, Template};

/// What is wrong with a text, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFault {
    pub offset: usize,
    pub message: String,
    pub suggestion: Option<String>,
}

/// Whether a text is written with handlebars.
pub fn is_handlebars(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        if !rest[..at].ends_with('$') {
            return true;
        }
        rest = &rest[at + 2..];
    }
    false
}

fn names<'a>(known: impl IntoIterator<Item = &'a str>) -> Names {
    Names { data: known.into_iter().map(str::to_owned).collect(), ..Names::default() }
}

/// Checks a handlebars text against the names it may use.
pub fn check<'a>(text: &str, form: Form, known: impl IntoIterator<Item = &'a str>) -> Result<(), Vec<TextFault>> {
    let partials = Partials::default();
    match Template::compile(text, form, &partials, &names(known)) {
        Ok(_) => Ok(()),
        Err(faults) => Err(faults
            .into_iter()
            .map(|fault| TextFault {
                offset: fault.offset_in(text),
                message: fault.message.clone(),
                suggestion: fault.suggestion.clone(),
            })
            .collect()),
    }
}

/// The text with everything in its place. In Markdown no value becomes markup.
pub fn render(text: &str, form: Form, scope: &Scope, evaluator: &Evaluator) -> Result<String, String> {
    if is_template(text) {
        let spell: fn(&str) -> String = match form {
            Form::Markdown => escape_markdown,
            Form::Plain | Form::Json => str::to_owned,
        };
        return evaluator.spelled(text, scope, spell);
    }
    if !is_handlebars(text) {
        return Ok(text.to_owned());
    }
    let partials = Partials::default();
    let names = names(scope.keys().map(String::as_str));
    let template = Template::compile(text, form, &partials, &names)
        .map_err(|faults| faults.first().map(|fault| fault.text()).unwrap_or_default())?;
    let context = Context::new(json!({ "data": Value::Object(scope.clone()) }), &names);
    template.render(&context, &partials, &mut Budget::default()).map_err(|fault| fault.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_text_escape_what_people_typed() {
        let scope = json!({ "inputs": { "name": "*web*", "urls": ["a", "b"] } });
        let scope = scope.as_object().cloned().unwrap_or_default();
        let evaluator = Evaluator::new(0);
        for (text, form, expected) in [
            ("**{{inputs.name}}** on {{len inputs.urls}}", Form::Markdown, r"**\*web\*** on 2"),
            ("**${{ inputs.name }}**", Form::Markdown, r"**\*web\***"),
            ("${{ inputs.name }}", Form::Markdown, r"\*web\*"),
            ("${{ inputs.name }}", Form::Plain, "*web*"),
            ("nothing", Form::Plain, "nothing"),
        ] {
            assert_eq!(render(text, form, &scope, &evaluator).as_deref(), Ok(expected), "{text}");
        }
        assert!(render("{{inputs.nothing}}", Form::Plain, &scope, &evaluator).is_err());
        assert!(is_handlebars("a {{b}}") && !is_handlebars("a ${{ b }}") && is_handlebars("${{ a }} {{b}}"));
        let faults = check("a {{inptus.name}}", Form::Plain, ["inputs"]).unwrap_err();
        assert_eq!(faults[0].suggestion.as_deref(), Some("inputs"));
    }
}
