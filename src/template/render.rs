//! One compiled text, and its render under limits.

use std::io;
use std::time::{Duration, Instant};

use handlebars::{Output, RenderContext, RenderErrorReason, Renderable};
use serde_json::Value;

use super::check::{Names, check};
use super::context::Context;
use super::fault::{Fault, offset};
use super::partials::{Parsed, Partials};
use super::{Form, helpers, limit, nearest};

/// One text with tags in it, ready to be rendered any number of times.
#[derive(Debug)]
pub struct Template {
    form: Form,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// A text without tags.
    Fixed(String),
    Tagged(Box<Parsed>),
}

impl Template {
    /// Reads `source` and checks everything that can be checked without values.
    pub fn compile(source: &str, form: Form, partials: &Partials, names: &Names) -> Result<Self, Vec<Fault>> {
        if !source.contains("{{") && source.len() <= limit::SOURCE_BYTES {
            return Ok(Self { form, body: Body::Fixed(source.to_owned()) });
        }
        let parsed = Parsed::read(source, None)?;
        let mut faults = partials.admit(&parsed);
        if faults.is_empty() {
            faults = check(&parsed, names, partials);
        }
        if faults.is_empty() { Ok(Self { form, body: Body::Tagged(Box::new(parsed)) }) } else { Err(faults) }
    }

    /// The text itself, when no value has a part in it.
    pub fn fixed(&self) -> Option<&str> {
        match &self.body {
            Body::Fixed(text) => Some(text),
            Body::Tagged(_) => None,
        }
    }

    /// Renders into a new text, on account of `budget`. `partials` are the ones it was compiled with.
    pub fn render(&self, context: &Context, partials: &Partials, budget: &mut Budget) -> Result<String, Fault> {
        let parsed = match &self.body {
            Body::Fixed(text) => {
                let mut out = Limited::new(budget, text.len());
                return match out.write(text) {
                    Ok(()) => Ok(out.text),
                    Err(_) => Err(out.fault()),
                };
            }
            Body::Tagged(parsed) => parsed,
        };
        let mut rendering = RenderContext::new(None);
        if !partials.is_empty()
            && let Some(block) = rendering.block_mut()
        {
            for (name, partial) in partials.iter() {
                block.set_local_partial(name.clone(), partial);
            }
        }
        let mut out = Limited::new(budget, parsed.source.len());
        match parsed.template.render(helpers::registry(self.form), &context.0, &mut rendering, &mut out) {
            Ok(()) => Ok(out.text),
            Err(_) if out.budget.spent.is_some() => Err(out.fault()),
            Err(error) => Err(explain(&error, parsed, partials, context)),
        }
    }
}

/// What renders may still spend. One budget serves all texts of a message.
#[derive(Debug)]
pub struct Budget {
    time: Duration,
    deadline: Instant,
    /// This thread's time on a processor when the deadline passed. A machine that is busy with other things lets a
    /// render wait; only what it works itself is held against it.
    overdue_from: Option<Duration>,
    bytes: usize,
    spent: Option<String>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(limit::TIME, limit::OUTPUT_BYTES)
    }
}

impl Budget {
    pub fn new(time: Duration, bytes: usize) -> Self {
        Self { time, deadline: Instant::now() + time, overdue_from: None, bytes, spent: None }
    }

    /// Whether the time is spent: the clock's, and then as much again of the processor's.
    fn is_late(&mut self) -> bool {
        if Instant::now() <= self.deadline {
            return false;
        }
        let worked = processor_time();
        worked.saturating_sub(*self.overdue_from.get_or_insert(worked)) >= self.time
    }
}

/// What this thread has worked since it began.
fn processor_time() -> Duration {
    let worked = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(worked).unwrap_or_default()
}

/// Where a render writes to. Every write, an empty one too, is where time and length are checked.
struct Limited<'a> {
    text: String,
    budget: &'a mut Budget,
}

impl<'a> Limited<'a> {
    fn new(budget: &'a mut Budget, expected: usize) -> Self {
        Self { text: String::with_capacity(expected.min(4096)), budget }
    }

    fn fault(self) -> Fault {
        let message = self.budget.spent.clone().unwrap_or_default();
        Fault { partial: None, line: 0, column: 0, message, suggestion: None }
    }
}

impl Output for Limited<'_> {
    fn write(&mut self, text: &str) -> io::Result<()> {
        let budget = &mut *self.budget;
        if text.len() > budget.bytes {
            budget.spent = Some(format!("the text becomes longer than {} KiB", limit::OUTPUT_BYTES / 1024));
        } else if budget.is_late() {
            budget.spent = Some(format!("the template takes longer than {} ms", limit::TIME.as_millis()));
        }
        if let Some(spent) = &budget.spent {
            return Err(io::Error::other(spent.clone()));
        }
        budget.bytes -= text.len();
        self.text.push_str(text);
        Ok(())
    }
}

/// The parser's error in words, with the name that was probably meant.
fn explain(error: &handlebars::RenderError, root: &Parsed, partials: &Partials, context: &Context) -> Fault {
    let partial = error.template_name.clone();
    let parsed = partial.as_ref().and_then(|name| partials.get(name)).unwrap_or(root);
    let mut suggestion = None;
    let message = match error.reason() {
        RenderErrorReason::MissingVariable(Some(path)) => {
            suggestion = sibling(context.0.data(), path);
            format!("\"{path}\" has no value")
        }
        RenderErrorReason::MissingVariable(None) => "a value that is looked up does not exist".to_owned(),
        RenderErrorReason::ParamNotFoundForIndex(helper, index) => {
            format!("\"{helper}\" has nothing for its value {}", index + 1)
        }
        RenderErrorReason::InvalidJsonIndex(index) => format!("\"{index}\" is not a place in a list"),
        other => other.to_string(),
    };
    let place = (error.line_no.unwrap_or(0), error.column_no.unwrap_or(0));
    let mut fault = Fault { partial, line: 0, column: 0, message, suggestion };
    if place.0 > 0 {
        let at = Fault::at(&parsed.source, offset(&parsed.source, place.0, place.1), "");
        (fault.line, fault.column) = (at.line, at.column);
    }
    fault
}

/// The name beside the missing one that it was probably meant to be.
fn sibling(values: &Value, path: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let holder = parent.split('.').filter(|step| !step.is_empty()).try_fold(values, |value, step| value.get(step))?;
    let near = nearest(name, holder.as_object()?.keys().map(String::as_str))?;
    Some(if parent.is_empty() { near.to_owned() } else { format!("{parent}.{near}") })
}
