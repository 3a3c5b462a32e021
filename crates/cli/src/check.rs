//! `quorate check`: a verdict for each history. It owns the files and the clock, which the checker
//! never sees, and words what came out; it judges nothing itself.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it reads files, and measures how long a check takes"
)]

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use quorate_checker::{Options, Report, Verdict, check, minimize};
use quorate_history::{History, Model, OperationId, ReadError};
use serde::Serialize;

use crate::args::{CheckArgs, ModelName};
use crate::counterexample::Counterexample;
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::units::{Nanos, plural};

/// Files are read in pieces of so many bytes.
const READ_BUFFER_BYTES: usize = 1 << 18;

/// Checks every file, also after one that is bad.
pub(crate) fn run(args: &CheckArgs, output: &Output) -> Result<Exit, Error> {
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new((args.files.len() > 1).then_some(args.files.len() as u64));
    let mut tally = Tally::default();
    for (index, file) in args.files.iter().enumerate() {
        if interrupt.is_raised() || output.reader_gone() {
            break;
        }
        progress.update(index as u64, name_of(file));
        let judged = judge(file, args, &interrupt);
        progress.aside(|| match &judged {
            Ok(judged) => report(file, judged, output),
            Err(error) => output.error(error),
        });
        tally.add(&judged);
    }
    drop(progress);
    let left_out = args.files.len() as u64 - tally.looked_at();
    if args.files.len() > 1 && !output.is_json() {
        output.data(tally.summary());
    }
    if left_out > 0 && !output.reader_gone() {
        output.message(format_args!("interrupted: {} not checked", plural(left_out, "file")));
        return Ok(tally.exit().and(Exit::Undecided));
    }
    Ok(tally.exit())
}

/// What was found out about one file.
struct Judged {
    model: Model,
    report: Report,
    /// For reading and checking.
    took: Duration,
    /// Where it was asked for, and the history is invalid.
    counterexample: Option<Counterexample>,
}

fn judge(file: &Path, args: &CheckArgs, interrupt: &Interrupt) -> Result<Judged, Error> {
    let start = Instant::now();
    let history = read(file)?;
    let model = history.model();
    if let Some(asked) = args.model.map(Model::from)
        && asked != model
    {
        let what = format!("{}:1: the history is of model {model}, not {asked}", name_of(file));
        return Err(Error::with_remedy(what, format!("use --model {model}, or leave it out")));
    }
    let defaults = Options::default();
    let out_of_time = || {
        let limit = args.timeout.unwrap_or(Duration::MAX);
        interrupt.is_raised() || start.elapsed() >= limit
    };
    let options = Options {
        // The clock takes the place of the limit in steps, so that it alone decides.
        steps: if args.timeout.is_some() { u64::MAX } else { defaults.steps },
        memory_bytes: args.memory.unwrap_or(defaults.memory_bytes),
        out_of_time: Some(&out_of_time),
    };
    let mut report = check(&history, &options);
    if let Verdict::Unknown { reason } = &mut report.verdict {
        if interrupt.is_raised() {
            "interrupted".clone_into(reason);
        } else if report.steps > options.steps {
            reason.push_str("; with --timeout 5m the clock limits the search instead");
        }
    }
    let took = start.elapsed();
    // The clock starts anew: a check that was quick enough leaves no less time to minimize.
    let start = Instant::now();
    let out_of_time = || {
        let limit = args.timeout.unwrap_or(Duration::MAX);
        interrupt.is_raised() || start.elapsed() >= limit
    };
    let counterexample = match &report.verdict {
        Verdict::Invalid(violation) if args.minimize => {
            let options = Options { out_of_time: Some(&out_of_time), ..options };
            Some(Counterexample::new(&history, minimize(&history, violation, &options)))
        }
        _ => None,
    };
    Ok(Judged { model, report, took, counterexample })
}

impl From<ModelName> for Model {
    fn from(name: ModelName) -> Self {
        match name {
            ModelName::Register => Self::Register,
            ModelName::Kv => Self::Kv,
            ModelName::Etcd => Self::Etcd,
        }
    }
}

/// How messages call the file.
fn name_of(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> Result<History, Error> {
    if file == Path::new("-") {
        return read_from(&name_of(file), io::stdin().lock());
    }
    let name = name_of(file);
    if file.is_dir() {
        return Err(Error::with_remedy(
            format!("{name} is a folder, and a history is a file"),
            format!("name the files, as in: quorate check {}", file.join("*.jsonl").display()),
        ));
    }
    let open = File::open(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::with_remedy(format!("there is no file {name}"), "check the path for a typo")
        }
        _ => Error::new(format!("cannot read {name}: {error}")),
    })?;
    read_from(&name, BufReader::with_capacity(READ_BUFFER_BYTES, open))
}

fn read_from(name: &str, input: impl BufRead) -> Result<History, Error> {
    History::read(input).map_err(|error| match error {
        ReadError::Line { line, column, problem } => {
            let column = column.map_or(String::new(), |column| format!("{column}:"));
            Error::new(format!("{name}:{line}:{column} {problem}"))
        }
        other => Error::new(format!("{name}: {other}")),
    })
}

fn report(file: &Path, judged: &Judged, output: &Output) {
    if output.is_json() {
        output.json(&CheckLine::new(file, judged));
    } else {
        output.data(in_words(file, judged, output));
    }
}

/// One line of `--format json`, as the contract has it.
#[derive(Serialize)]
struct CheckLine {
    file: String,
    verdict: &'static str,
    model: &'static str,
    operations: u64,
    duration_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guarantee: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counterexample: Option<Vec<OperationId>>,
}

impl CheckLine {
    fn new(file: &Path, judged: &Judged) -> Self {
        let (reason, guarantee, counterexample) = match &judged.report.verdict {
            Verdict::Valid => (None, None, None),
            Verdict::Unknown { reason } => (Some(reason.clone()), None, None),
            Verdict::Invalid(violation) => (
                Some(violation.message.clone()),
                Some(violation.guarantee.to_string()),
                Some(judged.counterexample.as_ref().map_or_else(
                    || violation.operations.clone(),
                    |counterexample| counterexample.operations.clone(),
                )),
            ),
        };
        Self {
            file: file.display().to_string(),
            verdict: judged.report.verdict.name(),
            model: judged.model.name(),
            operations: judged.report.operations as u64,
            duration_ns: nanos(judged.took).0,
            reason,
            guarantee,
            counterexample,
        }
    }
}

fn in_words(file: &Path, judged: &Judged, output: &Output) -> String {
    let paint = output.paint();
    let Judged { model, report, took, counterexample } = judged;
    let verdict = format!("{:<7}", report.verdict.name());
    let verdict = match report.verdict {
        Verdict::Valid => paint.green(verdict),
        Verdict::Invalid(_) => paint.bold_red(verdict),
        Verdict::Unknown { .. } => paint.yellow(verdict),
    };
    let operations = plural(report.operations as u64, "operation");
    let details = paint.dim(format_args!("({model}, {operations}, {})", nanos(*took)));
    let mut text = format!("{verdict}  {}  {details}", name_of(file));
    match &report.verdict {
        Verdict::Valid => {}
        Verdict::Invalid(violation) => {
            text += &format!("\n  {}\n  guarantee:  {}", violation.message, violation.guarantee);
            if let Some(counterexample) = counterexample {
                text += &counterexample.in_words();
            } else if !violation.operations.is_empty() {
                let ids: Vec<_> = violation.operations.iter().map(ToString::to_string).collect();
                text += &format!("\n  operations: {}", ids.join(", "));
            }
        }
        Verdict::Unknown { reason } => {
            text += &format!("\n  {reason}");
        }
    }
    text
}

/// Nanoseconds of a measured duration; 584 years are not measured here.
fn nanos(took: Duration) -> Nanos {
    Nanos(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
}

/// How many files got which verdict.
#[derive(Default)]
struct Tally {
    valid: u64,
    invalid: u64,
    unknown: u64,
    bad: u64,
}

impl Tally {
    fn add(&mut self, judged: &Result<Judged, Error>) {
        *match judged {
            Err(_) => &mut self.bad,
            Ok(judged) => match judged.report.verdict {
                Verdict::Valid => &mut self.valid,
                Verdict::Invalid(_) => &mut self.invalid,
                Verdict::Unknown { .. } => &mut self.unknown,
            },
        } += 1;
    }

    const fn looked_at(&self) -> u64 {
        self.valid + self.invalid + self.unknown + self.bad
    }

    fn exit(&self) -> Exit {
        let when = |number, exit| if number > 0 { exit } else { Exit::Well };
        when(self.bad, Exit::Bad)
            .and(when(self.invalid, Exit::Violation))
            .and(when(self.unknown, Exit::Undecided))
    }

    fn summary(&self) -> String {
        let mut text = format!("{}:", plural(self.looked_at(), "file"));
        let counts = [
            (self.valid, "valid"),
            (self.invalid, "invalid"),
            (self.unknown, "unknown"),
            (self.bad, "unreadable"),
        ];
        let counts = counts.iter().filter(|(number, _)| *number > 0);
        let counts: Vec<_> = counts.map(|(number, name)| format!(" {number} {name}")).collect();
        text += &counts.join(",");
        text
    }
}
