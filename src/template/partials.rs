//! The texts a template may include.

use std::collections::BTreeMap;

use super::fault::{Fault, offset};
use super::scan::{Include, Scan, scan};
use super::{limit, nearest};

/// One source, scanned and parsed.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) source: String,
    pub(super) scan: Scan,
    pub(super) template: handlebars::Template,
}

impl Parsed {
    pub(super) fn read(source: &str, name: Option<&str>) -> Result<Self, Vec<Fault>> {
        let scan = scan(source)?;
        let parsed = match name {
            Some(name) => handlebars::Template::compile_with_name(source, name.to_owned()),
            None => handlebars::Template::compile(source),
        };
        let template = parsed.map_err(|error| {
            let (line, column) = error.pos().unwrap_or((1, 1));
            vec![Fault::at(source, offset(source, line, column), "the tag cannot be read from here on")]
        })?;
        Ok(Self { source: source.to_owned(), scan, template })
    }

    pub(super) fn fault_at_include(&self, include: &Include, message: String) -> Fault {
        Fault::at(&self.source, include.offset, message)
    }
}

/// What one text costs when every partial stands in its place.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    bytes: usize,
    depth: usize,
}

/// The partials of one reply, by name. Made once; no partial in it includes itself.
#[derive(Debug, Default)]
pub struct Partials {
    parsed: BTreeMap<String, Parsed>,
    costs: BTreeMap<String, Cost>,
}

impl Partials {
    /// Reads every partial, and refuses those that are missing or include themselves, directly or through others.
    pub fn compile(sources: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let mut partials = Self::default();
        let mut faults = Vec::new();
        for (name, source) in sources {
            match Parsed::read(source, Some(name)) {
                Ok(parsed) => {
                    partials.parsed.insert(name.clone(), parsed);
                }
                Err(found) => faults.extend(found.into_iter().map(|fault| fault.within(name))),
            }
        }
        if faults.is_empty() {
            let names: Vec<String> = partials.parsed.keys().cloned().collect();
            for name in &names {
                faults.extend(partials.measure(name, &mut Vec::new()).err());
            }
        }
        if faults.is_empty() { Ok(partials) } else { Err(faults) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parsed.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &handlebars::Template)> {
        self.parsed.iter().map(|(name, parsed)| (name, &parsed.template))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Parsed> {
        self.parsed.get(name)
    }

    /// Measures `name`; `path` is how it was reached, so that a circle is seen when it closes.
    fn measure(&mut self, name: &str, path: &mut Vec<String>) -> Result<Cost, Fault> {
        if let Some(cost) = self.costs.get(name) {
            return Ok(*cost);
        }
        path.push(name.to_owned());
        let includes: Vec<(String, usize, Fault)> = match self.parsed.get(name) {
            None => Vec::new(),
            Some(parsed) => parsed
                .scan
                .includes
                .iter()
                .map(|i| (i.name.clone(), i.depth, parsed.fault_at_include(i, String::new()).within(name)))
                .collect(),
        };
        let mut own = self
            .parsed
            .get(name)
            .map(|parsed| Cost { bytes: parsed.source.len(), depth: parsed.scan.depth })
            .unwrap_or_default();
        for (included, depth, place) in includes {
            if let Some(from) = path.iter().position(|step| *step == included) {
                let circle = path[from..].iter().chain([&included]).map(String::as_str).collect::<Vec<_>>().join(" > ");
                return Err(Fault { message: format!("the template includes itself: {circle}"), ..place });
            }
            if !self.parsed.contains_key(&included) {
                return Err(self.unknown(&included, place));
            }
            let inner = if path.len() > limit::DEPTH {
                Cost { bytes: 0, depth: limit::DEPTH }
            } else {
                self.measure(&included, path)?
            };
            own = own.with(inner, depth);
            own.within_limits().map_err(|message| Fault { message, ..place })?;
        }
        path.pop();
        self.costs.insert(name.to_owned(), own);
        Ok(own)
    }

    fn unknown(&self, name: &str, place: Fault) -> Fault {
        let suggestion = nearest(name, self.parsed.keys().map(String::as_str)).map(str::to_owned);
        Fault { message: format!("there is no partial \"{name}\""), suggestion, ..place }
    }

    /// Checks a text that includes from here: that the partials exist, and what it costs with them.
    pub(super) fn admit(&self, text: &Parsed) -> Vec<Fault> {
        let mut cost = Cost { bytes: text.source.len(), depth: text.scan.depth };
        let mut faults = Vec::new();
        for include in &text.scan.includes {
            let place = text.fault_at_include(include, String::new());
            match self.costs.get(&include.name) {
                None => faults.push(self.unknown(&include.name, place)),
                Some(inner) => {
                    cost = cost.with(*inner, include.depth);
                    if let Err(message) = cost.within_limits() {
                        faults.push(Fault { message, ..place });
                        return faults;
                    }
                }
            }
        }
        faults
    }
}

impl Cost {
    fn with(self, inner: Cost, depth: usize) -> Cost {
        Cost { bytes: self.bytes.saturating_add(inner.bytes), depth: self.depth.max(depth + 1 + inner.depth) }
    }

    fn within_limits(self) -> Result<(), String> {
        if self.bytes > limit::EXPANDED_BYTES {
            return Err(format!("with its partials the template is longer than {} KiB", limit::EXPANDED_BYTES / 1024));
        }
        if self.depth > limit::DEPTH {
            return Err(format!("with its partials the template nests deeper than {}", limit::DEPTH));
        }
        Ok(())
    }
}
