//! TOML documents that people write: reading them, and errors that say where and what to do.
//!
//! Scenario and repro files share it. It knows neither of them.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// What is wrong with a document, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {what}; {remedy}")]
pub struct DocumentError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named to us.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Place {
    /// The place of the byte `offset` in `text`.
    fn of_offset(file: &str, text: &str, offset: usize) -> Place {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Reads a document.
///
/// Errors of our own types are expected in the form `what; remedy`.
pub(crate) fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, DocumentError> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span: Range<usize>| span.start);
        let (what, remedy) = explain(error.message());
        DocumentError { place: Place::of_offset(file, text, offset), what, remedy }
    })
}

/// An error about the value at `path` (its tables' names and its own, joined by dots).
///
/// It points at the innermost part of the path that is written down: what is wrong may be a default.
pub(crate) fn error_at(
    file: &str,
    text: &str,
    path: &str,
    what: String,
    remedy: String,
) -> DocumentError {
    let offset = offset_of(text, path);
    DocumentError { place: Place::of_offset(file, text, offset), what, remedy }
}

fn offset_of(text: &str, path: &str) -> usize {
    let Ok(root) = DeTable::parse(text) else { return 0 };
    let mut table = root.get_ref();
    let mut offset = 0;
    for name in path.split('.') {
        let Some((key, value)) = table.get_key_value(name) else { break };
        match value.get_ref() {
            DeValue::Table(inner) => {
                offset = key.span().start;
                table = inner;
            }
            _ => return value.span().start,
        }
    }
    offset
}

/// Splits what a parser said into what is wrong and what to do.
fn explain(message: &str) -> (String, String) {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, [unknown, known @ ..]) = (message.starts_with("unknown"), names.as_slice()) {
        let noun = if message.starts_with("unknown variant") { "value" } else { "field" };
        return (format!("unknown {noun} '{unknown}'"), remedy_for_unknown(unknown, known));
    }
    if let (true, [missing, ..]) = (message.starts_with("missing field"), names.as_slice()) {
        return (format!("the field '{missing}' is missing"), "add it".to_owned());
    }
    if let Some((what, remedy)) = message.split_once("; ") {
        return (what.to_owned(), remedy.to_owned());
    }
    if let Some((what, expected)) = message.split_once(", expected ") {
        return (what.to_owned(), format!("give {expected}"));
    }
    let what = message.split('\n').collect::<Vec<_>>().join(", ");
    (what, "correct the TOML at this place".to_owned())
}

fn remedy_for_unknown(unknown: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match closest(unknown, known.iter().copied()) {
        Some(name) => format!("did you mean '{name}'? (known here: {list})"),
        None if known.is_empty() => "remove it: nothing is known here".to_owned(),
        None => format!("remove it, or use one that is known here: {list}"),
    }
}

/// The name that `text` is most likely a misspelling of, if one is close enough.
pub(crate) fn closest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (text.chars().count() / 3).max(1);
    let rated = names.map(|name| (edit_distance(text, name), name));
    // A forgotten or an added unit is a likely mistake as well: `heal_at` for `heal_at_ns`.
    let is_close = |(distance, name): &(usize, &str)| {
        *distance <= allowed || text.len() > 3 && name.starts_with(text)
    };
    rated.filter(is_close).min().map(|(_, name)| name)
}

/// The least number of characters to insert, remove or replace.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(rename = "number")]
        _number: u32,
        #[serde(rename = "table")]
        _table: Option<Box<Example>>,
    }

    fn error(text: &str) -> String {
        read::<Example>("x.toml", text).expect_err(text).to_string()
    }

    #[test]
    fn errors_name_the_place_what_is_wrong_and_the_remedy() {
        for (text, expected) in [
            (
                "number = 1\nnumbr = 2",
                "x.toml:2:1: unknown field 'numbr'; did you mean 'number'? (known here: number, table)",
            ),
            (
                "number = 1\n\n[table]\nnumber = 2\nwhatever = 2",
                "x.toml:5:1: unknown field 'whatever'; remove it, or use one that is known here: \
                 number, table",
            ),
            ("number = 'one'", "x.toml:1:10: invalid type: string \"one\"; give u32"),
            ("[table]\nnumber = 1", "x.toml:1:1: the field 'number' is missing; add it"),
        ] {
            assert_eq!(error(text), expected);
        }
        let broken = error("number = 1\nnumber =\n");
        assert!(broken.starts_with("x.toml:2:"), "{broken}");
    }

    #[test]
    fn a_path_leads_to_its_value_or_to_the_innermost_table_that_there_is() {
        let text = "a = 1\n[b]\nc = 2\n[b.d]\ne = 'é'\n";
        for (path, place) in [
            ("a", "f:1:5"),
            ("b.c", "f:3:5"),
            ("b.d.e", "f:5:5"),
            ("b.d.missing", "f:4:4"),
            ("missing.too", "f:1:1"),
        ] {
            let error = error_at("f", text, path, "what".into(), "remedy".into());
            assert_eq!(error.place.to_string(), place, "{path}");
        }
    }

    #[test]
    fn distances_are_counted_in_single_edits() {
        for (one, other, distance) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("crash", "crash", 0), ("carsh", "crash", 2)]
        {
            assert_eq!(edit_distance(one, other), distance);
            assert_eq!(edit_distance(other, one), distance);
        }
        assert_eq!(closest("smok", ["swarm", "smoke"].into_iter()), Some("smoke"));
        assert_eq!(closest("heal_at", ["seed", "heal_at_ns"].into_iter()), Some("heal_at_ns"));
        assert_eq!(closest("entirely", ["swarm", "smoke"].into_iter()), None);
    }
}
