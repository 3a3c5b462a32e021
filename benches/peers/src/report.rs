//! What was measured, as a table or as JSON, beside what is to be reached.

use std::fmt;

use serde::Serialize;

use crate::measure::{Counts, Spread};
use crate::workload::Mode;

/// The sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// Our core.
    Quorate,
    /// raft-rs with a lean log of our own behind its storage trait.
    RaftRsLean,
    /// raft-rs with the storage that comes with it.
    RaftRsMemory,
}

impl System {
    /// All of them, ours first.
    pub(crate) const ALL: [System; 3] = [System::Quorate, System::RaftRsLean, System::RaftRsMemory];

    fn name(self) -> &'static str {
        match self {
            System::Quorate => "quorate",
            System::RaftRsLean => "raft-rs, lean log",
            System::RaftRsMemory => "raft-rs, MemStorage",
        }
    }
}

/// One side at one workload.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) system: System,
    pub(crate) mode: Mode,
    pub(crate) payload_bytes: usize,
    /// Timed repetitions.
    pub(crate) repetitions: usize,
    pub(crate) entries_per_cpu_second: Spread,
    pub(crate) per_entry: Counts,
}

/// A number of ours beside the one to reach.
#[derive(Clone, Debug, Serialize)]
struct Target {
    what: String,
    bound: f64,
    /// Whether the number has to be at least the bound, or at most.
    at_least: bool,
    reached: f64,
    met: bool,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    targets: Vec<Target>,
}

impl Report {
    pub(crate) fn new(rows: Vec<Row>) -> Report {
        let targets = targets(&rows);
        Report { rows, targets }
    }
}

/// The fastest of raft-rs's rows among those of these modes.
fn best_peer<'a>(rows: &'a [Row], modes: &[Mode], payload_bytes: usize) -> Option<&'a Row> {
    let speed = |row: &Row| row.entries_per_cpu_second.median;
    rows.iter()
        .filter(|row| row.system != System::Quorate && row.payload_bytes == payload_bytes)
        .filter(|row| modes.contains(&row.mode))
        .max_by(|a, b| speed(a).total_cmp(&speed(b)))
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |what: String, at_least: bool, bound: f64, reached: f64| {
        let met = if at_least { reached >= bound } else { reached <= bound };
        targets.push(Target { what, bound, at_least, reached, met });
    };
    for row in rows.iter().filter(|row| row.system == System::Quorate) {
        let size = row.payload_bytes;
        // Batches are held against whatever way of raft-rs's is the fastest for 64 entries.
        let (name, bound, peers): (_, _, &[Mode]) = match row.mode {
            Mode::Lockstep => ("batch 1", 3.0, &[Mode::Lockstep]),
            Mode::Batch => ("batch 64", 2.5, &[Mode::Separate, Mode::Batch]),
            Mode::Separate => continue,
        };
        if let Some(peer) = best_peer(rows, peers, size) {
            let ratio = row.entries_per_cpu_second.median / peer.entries_per_cpu_second.median;
            add(format!("{name}, {size} B: times raft-rs's best"), true, bound, ratio);
        }
        if row.mode == Mode::Batch {
            let Counts { allocations, memory_bytes, .. } = row.per_entry;
            add(format!("{name}, {size} B: allocations an entry"), false, 0.1, allocations);
            let what = format!("{name}, {size} B: bytes of memory an entry, besides its payload");
            add(what, false, 40.0, memory_bytes);
        }
    }
    targets
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut workload = None;
        for row in &self.rows {
            if workload.replace((row.mode, row.payload_bytes))
                != Some((row.mode, row.payload_bytes))
            {
                heading(f, row)?;
            }
            self.fmt_row(f, row)?;
        }
        if !self.targets.is_empty() {
            writeln!(f, "To reach:")?;
        }
        for Target { what, bound, at_least, reached, met } in &self.targets {
            let (sign, verdict) =
                (if *at_least { "≥" } else { "≤" }, if *met { "met" } else { "NOT MET" });
            writeln!(f, "  {what:<58} {reached:>8.2}  ({sign} {bound}) {verdict}")?;
        }
        Ok(())
    }
}

fn heading(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let mode = match row.mode {
        Mode::Lockstep => "one entry at a time",
        Mode::Separate => "64 separate proposals",
        Mode::Batch => "64 entries in one proposal",
    };
    writeln!(f, "{mode}, {} bytes each ({} repetitions)", row.payload_bytes, row.repetitions)?;
    let (speed, quartiles, times) = ("M entries/CPU-s", "quartiles", "quorate is");
    let (allocations, allocated, messages) = ("allocs", "bytes", "messages");
    write!(f, "  {:<20} {speed:>15} {quartiles:>13} {times:>11}", "")?;
    writeln!(f, " {allocations:>8} {allocated:>8} {messages:>9} {:>7} {:>6}", "memory", "core")
}

impl Report {
    fn fmt_row(&self, f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
        let Spread { lower_quartile, median, upper_quartile } = row.entries_per_cpu_second;
        let quartiles = format!("{:.2}–{:.2}", lower_quartile / 1e6, upper_quartile / 1e6);
        let ours = self.rows.iter().find(|other| {
            other.system == System::Quorate
                && (other.mode, other.payload_bytes) == (row.mode, row.payload_bytes)
        });
        let times = match ours {
            Some(ours) if row.system != System::Quorate => {
                format!("{:.2} ×", ours.entries_per_cpu_second.median / median)
            }
            _ => String::new(),
        };
        write!(f, "  {:<20} {:>15.3} {quartiles:>13}", row.system.name(), median / 1e6)?;
        let counts = row.per_entry;
        writeln!(
            f,
            " {times:>11} {:>8.3} {:>8.1} {:>9.3} {:>7.1} {:>6.1}",
            counts.allocations,
            counts.allocated_bytes,
            counts.messages,
            counts.memory_bytes,
            counts.core_bytes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: System, mode: Mode, speed: f64) -> Row {
        let spread = Spread { lower_quartile: speed, median: speed, upper_quartile: speed };
        let per_entry = Counts {
            allocations: 0.25,
            allocated_bytes: 0.0,
            messages: 0.0,
            memory_bytes: 36.0,
            core_bytes: 4.0,
        };
        let entries_per_cpu_second = spread;
        Row { system, mode, payload_bytes: 16, repetitions: 1, entries_per_cpu_second, per_entry }
    }

    #[test]
    fn a_batch_is_held_against_the_fastest_way_of_the_peer() {
        let report = Report::new(vec![
            row(System::Quorate, Mode::Batch, 6e6),
            row(System::RaftRsLean, Mode::Batch, 2e6),
            row(System::RaftRsMemory, Mode::Batch, 1e6),
            row(System::RaftRsLean, Mode::Separate, 3e6),
            row(System::RaftRsMemory, Mode::Lockstep, 9e6),
        ]);
        let verdicts: Vec<(f64, bool)> =
            report.targets.iter().map(|target| (target.reached, target.met)).collect();
        assert_eq!(verdicts, [(2.0, false), (0.25, false), (36.0, true)]);
        assert!(report.to_string().contains("NOT MET"));
    }
}
