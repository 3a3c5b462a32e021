//! A canary: a mistake as a unified diff, under a header that says what has to report it.

use std::path::Path;

use diffy::patch_set::{FileOperation, ParseOptions, PatchKind, PatchSet};
use diffy::{Hunk, Line};

use crate::Error;
use crate::tree::Files;

/// One file of `canaries/`.
#[derive(Debug)]
pub(crate) struct Canary {
    /// The file's name without `.patch`.
    pub(crate) name: String,
    /// What is wrong with the patched code, in one sentence.
    pub(crate) mistake: String,
    /// The violations that may report it; none for a control, which must not be reported.
    pub(crate) violations: Vec<String>,
    /// The scenarios that run, one after the other.
    pub(crate) scenarios: Vec<String>,
    /// Seeds of each scenario within which it has to be reported.
    pub(crate) seeds: u64,
    /// The exit code of a report: 1, or 4 if it is liveness that is violated.
    pub(crate) exit_code: i32,
    diff: String,
}

/// The canaries of `folder` called `names`, or all, by name.
pub(crate) fn load(folder: &Path, names: &[String]) -> Result<Vec<Canary>, Error> {
    let mut canaries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            canaries.push(Canary::parse(&name, &text)?);
        }
    }
    canaries.sort_by(|a, b| a.name.cmp(&b.name));
    let is_known = |name: &&String| canaries.iter().any(|canary| canary.name == **name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = canaries.iter().map(|canary| canary.name.as_str()).collect();
        return Err(Error::Unknown { name: name.clone(), known: known.join(", ") });
    }
    canaries.retain(|canary| names.is_empty() || names.contains(&canary.name));
    Ok(canaries)
}

impl Canary {
    /// Reads a canary; `name` is its file's, without `.patch`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Canary, Error> {
        let file = format!("{name}.patch");
        let Some(start) =
            text.find("diff --git ").filter(|&at| at == 0 || text[..at].ends_with('\n'))
        else {
            return Err(Error::Patch { file, problem: "there is no 'diff --git' line".into() });
        };
        let (header, diff) = text.split_at(start);
        let mut fields = Header::parse(&file, header)?;
        let exit_code = match fields.take("kind")?.as_str() {
            "control" => 0,
            "safety" => 1,
            "liveness" => 4,
            _ => return Err(fields.wrong("'kind' is safety, liveness or control")),
        };
        let violations = list(&fields.take("violation")?);
        if exit_code != 0 && violations.is_empty() {
            return Err(fields.wrong("'violation' names nothing that may report the mistake"));
        }
        if exit_code == 0 && !violations.is_empty() {
            return Err(fields.wrong("a control has no 'violation'"));
        }
        let seeds = match fields.take("seeds")?.parse() {
            Ok(seeds) if seeds > 0 => seeds,
            _ => return Err(fields.wrong("'seeds' is a number above zero")),
        };
        let scenarios = list(&fields.take("scenario")?);
        if scenarios.is_empty() {
            return Err(fields.wrong("'scenario' names nothing to run"));
        }
        Ok(Canary {
            name: name.to_owned(),
            mistake: fields.take("mistake")?,
            violations,
            scenarios,
            seeds,
            exit_code,
            diff: diff.to_owned(),
        })
    }

    /// Whether this changes nothing of substance, and so must not be reported.
    pub(crate) fn is_control(&self) -> bool {
        self.violations.is_empty()
    }

    /// Patches `files`. Every hunk has to fit exactly, at one place only.
    pub(crate) fn apply(&self, files: &mut Files) -> Result<(), Error> {
        let file = || format!("{}.patch", self.name);
        let bad = |problem: String| Error::Patch { file: file(), problem };
        for patch in PatchSet::parse(&self.diff, ParseOptions::gitdiff()) {
            let patch = patch.map_err(|error| bad(error.to_string()))?;
            let target = match patch.operation().strip_prefix(1) {
                FileOperation::Modify { original, modified } if original == modified => {
                    original.into_owned()
                }
                _ => return Err(bad("a canary changes files in place, nothing else".into())),
            };
            let PatchKind::Text(text) = patch.patch() else {
                return Err(bad(format!("the change of {target} is binary")));
            };
            let stale =
                |problem: String| Error::Stale { file: file(), target: target.clone(), problem };
            let content =
                files.get_mut(&target).ok_or_else(|| stale("there is no such file".into()))?;
            let old =
                std::str::from_utf8(content).map_err(|_| stale("it is not a text file".into()))?;
            for hunk in text.hunks() {
                let places = places(hunk, old);
                if places != 1 {
                    let line = hunk.old_range().start();
                    return Err(stale(format!(
                        "what it has at line {line} is there {places} times"
                    )));
                }
            }
            let new = diffy::apply(old, text).map_err(|error| stale(error.to_string()))?;
            *content = new.into_bytes();
        }
        Ok(())
    }
}

/// At how many places of `text` the lines that a hunk expects are found.
fn places(hunk: &Hunk<'_, str>, text: &str) -> usize {
    let expected: Vec<&str> = hunk
        .lines()
        .iter()
        .filter_map(|line| match line {
            Line::Context(line) | Line::Delete(line) => Some(*line),
            Line::Insert(_) => None,
        })
        .collect();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if expected.is_empty() {
        return 0;
    }
    lines.windows(expected.len()).filter(|window| **window == *expected).count()
}

/// The comma-separated names of a field; 'none' is none.
fn list(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && name != "none")
        .collect()
}

/// The `key: value` lines above a patch, each value with the line where it stands.
struct Header<'a> {
    file: &'a str,
    fields: Vec<(String, String)>,
    /// The line of the field that was looked at last.
    line: usize,
    lines: Vec<usize>,
}

impl<'a> Header<'a> {
    const KEYS: [&'static str; 5] = ["mistake", "kind", "violation", "scenario", "seeds"];

    fn parse(file: &'a str, text: &str) -> Result<Header<'a>, Error> {
        let mut header = Header { file, fields: Vec::new(), line: 1, lines: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            header.line = index + 1;
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with(' ')
                && let Some((_, value)) = header.fields.last_mut()
            {
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (key, value) =
                line.split_once(':').ok_or_else(|| header.wrong("this is no 'key: value'"))?;
            if !Self::KEYS.contains(&key) {
                return Err(header.wrong(&format!("there is no key {key:?}")));
            }
            if header.fields.iter().any(|(known, _)| known == key) {
                return Err(header.wrong(&format!("{key:?} stands here for the second time")));
            }
            header.fields.push((key.to_owned(), value.trim().to_owned()));
            header.lines.push(header.line);
        }
        Ok(header)
    }

    fn take(&mut self, key: &str) -> Result<String, Error> {
        match self.fields.iter().position(|(known, _)| known == key) {
            Some(index) => {
                self.line = self.lines[index];
                Ok(self.fields[index].1.clone())
            }
            None => Err(self.wrong(&format!("the header ends without {key:?}"))),
        }
    }

    fn wrong(&self, problem: &str) -> Error {
        Error::Header { file: self.file.to_owned(), line: self.line, problem: problem.to_owned() }
    }
}
