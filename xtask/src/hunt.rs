//! Hunting one canary: campaigns of growing size until the first report, and its replays.
//!
//! Works on the command line's contract alone (exit codes and JSON lines), so that what is judged
//! is the program that people run.

use std::path::Path;

use serde_json::Value;

use crate::Error;
use crate::canary::Canary;

/// What a run of `quorate` answered.
pub(crate) struct Answer {
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A hunt for one canary with a way to run the patched `quorate`.
pub(crate) struct Hunt<'a> {
    pub(crate) canary: &'a Canary,
    pub(crate) jobs: Option<u32>,
    /// Where runs leave their artifacts.
    pub(crate) out: &'a Path,
    pub(crate) quorate: &'a mut dyn FnMut(&[String]) -> Result<Answer, Error>,
}

/// How a hunt ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Caught {
    /// The first report that the canary accepts: scenario, seed, violation.
    pub(crate) report: Option<Report>,
    /// Violations that were reported besides, and that the canary does not accept.
    pub(crate) others: Vec<String>,
    /// What is wrong with the replays, if anything.
    pub(crate) not_replayed: Option<String>,
    /// Seeds run.
    pub(crate) seeds: u64,
    /// CPU time of the campaigns, in nanoseconds.
    pub(crate) cpu_ns: u64,
}

/// A failing seed, as `quorate sim` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) violation: String,
    pub(crate) repro: String,
}

impl Caught {
    /// Whether the canary did as it should: a mistake was reported and replays, a control was not.
    pub(crate) fn is_well(&self, canary: &Canary) -> bool {
        if canary.is_control() {
            self.report.is_none() && self.others.is_empty()
        } else {
            self.report.is_some() && self.not_replayed.is_none()
        }
    }

    /// The cells of its row: name, seed of the first report, CPU seconds, verdict.
    pub(crate) fn row(&self, canary: &Canary) -> [String; 4] {
        let seed = self.report.as_ref().map(|report| report.seed.to_string());
        let verdict = match (&self.report, &self.not_replayed) {
            (Some(report), None) => format!("caught: {} in {}", report.violation, report.scenario),
            (Some(report), Some(problem)) => {
                format!("NOT REPLAYED: {} in {}: {problem}", report.violation, report.scenario)
            }
            (None, _) if canary.is_control() && self.others.is_empty() => "silent".into(),
            (None, _) if canary.is_control() => format!("FALSE ALARM: {}", self.others.join(", ")),
            (None, _) if self.others.is_empty() => format!("MISSED in {} seeds", self.seeds),
            (None, _) => format!("MISSED, though others report: {}", self.others.join(", ")),
        };
        let (seconds, tenths) = (self.cpu_ns / 1_000_000_000, self.cpu_ns / 100_000_000 % 10);
        [
            canary.name.clone(),
            seed.unwrap_or_else(|| "-".into()),
            format!("{seconds}.{tenths}"),
            verdict,
        ]
    }
}

/// Seeds of the first campaign; each further one is twice as long. A failing seed is shrunk, which
/// costs more than to find it, so the first campaigns are short.
const FIRST_SEEDS: u64 = 8;

impl Hunt<'_> {
    pub(crate) fn run(&mut self) -> Result<Caught, Error> {
        let mut caught = Caught::default();
        let mut from = 1;
        let mut next = FIRST_SEEDS;
        while from <= self.canary.seeds && caught.report.is_none() {
            let seeds = next.min(self.canary.seeds - from + 1);
            for scenario in &self.canary.scenarios {
                self.campaign(scenario, from, seeds, &mut caught)?;
                if caught.report.is_some() {
                    break;
                }
            }
            from += seeds;
            next *= 2;
        }
        if let Some(report) = caught.report.clone() {
            caught.not_replayed = self.replays(&report)?;
        }
        Ok(caught)
    }

    /// Runs `seeds` seeds of `scenario` and adds what they found to `caught`.
    fn campaign(
        &mut self,
        scenario: &str,
        from: u64,
        seeds: u64,
        caught: &mut Caught,
    ) -> Result<(), Error> {
        let mut arguments: Vec<String> =
            ["sim", scenario, "--format", "json"].map(str::to_owned).into();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--from", from.to_string());
        option("--seeds", seeds.to_string());
        option("--out", self.out.join(scenario).display().to_string());
        if let Some(jobs) = self.jobs {
            option("--jobs", jobs.to_string());
        }
        let answer = (self.quorate)(&arguments)?;
        let wrong = |problem: String| Error::Contract { command: arguments.join(" "), problem };
        let lines = json_lines(&answer).map_err(wrong)?;
        let (summary, failures) = lines
            .split_last()
            .filter(|(last, _)| last["summary"] == true)
            .ok_or_else(|| wrong(format!("ends without a summary: {}", answer.stderr.trim())))?;
        let count =
            |key: &str| summary[key].as_u64().ok_or_else(|| wrong(format!("gives no {key}")));
        if count("seeds")? != seeds {
            return Err(wrong(format!("ran {} seeds", summary["seeds"])));
        }
        caught.seeds += seeds;
        caught.cpu_ns += count("cpu_ns")?;
        let mut reports = failures
            .iter()
            .map(|line| report(line).ok_or_else(|| wrong(format!("reports {line}"))))
            .collect::<Result<Vec<_>, _>>()?;
        reports.sort_by_key(|report| report.seed);
        let is_failure = matches!(answer.code, Some(1 | 4));
        if is_failure == reports.is_empty() || !matches!(answer.code, Some(0 | 1 | 4)) {
            let problem = format!("exits with {:?} and {} failures", answer.code, reports.len());
            return Err(wrong(format!("{problem}: {}", answer.stderr.trim())));
        }
        for report in reports {
            let is_accepted = self.canary.violations.contains(&report.violation);
            if !is_accepted {
                if !caught.others.contains(&report.violation) {
                    caught.others.push(report.violation);
                }
            } else if caught.report.is_none() {
                caught.report = Some(report);
            }
        }
        Ok(())
    }

    /// Replays a report twice; what is not as it was, if anything.
    fn replays(&mut self, report: &Report) -> Result<Option<String>, Error> {
        let arguments = ["replay", &report.repro, "--format", "json"].map(str::to_owned);
        for _ in 0..2 {
            let answer = (self.quorate)(&arguments)?;
            let wrong = |problem: String| Error::Contract { command: arguments.join(" "), problem };
            let lines = json_lines(&answer).map_err(wrong)?;
            let last = lines
                .last()
                .ok_or_else(|| wrong(format!("answers nothing: {}", answer.stderr.trim())))?;
            if answer.code != Some(self.canary.exit_code) {
                return Ok(Some(format!("exit code {:?}", answer.code)));
            }
            if last["violation"] != report.violation {
                return Ok(Some(format!("the replay reports {}", last["violation"])));
            }
            if last["same_trace"] != true {
                return Ok(Some("another trace hash".into()));
            }
        }
        Ok(None)
    }
}

fn json_lines(answer: &Answer) -> Result<Vec<Value>, String> {
    answer
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("prints {line:?}: {error}")))
        .collect()
}

/// A line of `quorate sim` on a failing seed. Seeds are numbers, or strings if written as 0x….
fn report(line: &Value) -> Option<Report> {
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    let seed = line["seed"].as_u64().or_else(|| {
        let seed = line["seed"].as_str()?;
        match seed.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => seed.parse().ok(),
        }
    })?;
    Some(Report {
        scenario: text("scenario")?,
        seed,
        violation: text("violation")?,
        repro: text("repro")?,
    })
}
