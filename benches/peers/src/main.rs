//! The consensus core beside raft-rs: the same three members in memory, the same payloads, one
//! thread, in one run.
//!
//! The README says how fairness is kept. This crate owns the comparison and nothing else: no part
//! of the project builds it or depends on it.

mod allocations;
mod measure;
mod network;
mod quorate;
mod raft_rs;
mod report;
mod segments;
mod workload;

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use clap::Parser;
use cpu_time::ProcessTime;

use measure::{Contender, Side, Spread};
use report::{Report, Row, System};
use workload::Mode;

/// Compares quorate's consensus core with raft-rs: three members in memory, on one thread.
#[derive(Debug, Parser)]
struct Args {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Seconds of CPU time for the timed repetitions of all workloads together.
    #[arg(long, default_value_t = 36, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Only these sides, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = System::ALL, value_enum)]
    systems: Vec<System>,
    /// Only these ways of proposing, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = Mode::ALL, value_enum)]
    modes: Vec<Mode>,
    /// Sizes of a payload in bytes, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 256])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    sizes: Vec<u32>,
}

/// Repetitions at least, whatever the time: fewer have no spread.
const MIN_REPETITIONS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let workloads: Vec<(Mode, usize)> = args
        .modes
        .iter()
        .flat_map(|&mode| args.sizes.iter().map(move |&size| (mode, size as usize)))
        .collect();
    let budget = Duration::from_secs(args.seconds.into()) / workloads.len() as u32;
    let rows =
        workloads.iter().flat_map(|&(mode, size)| measure(&args.systems, mode, size, budget));
    let report = Report::new(rows.collect());
    let mut output = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut output, &report)?;
        writeln!(output)?;
    } else {
        write!(output, "{report}")?;
    }
    Ok(())
}

/// Measures the systems at one workload, in turns, so that whatever else the machine does meets
/// all of them.
fn measure(systems: &[System], mode: Mode, size: usize, budget: Duration) -> Vec<Row> {
    let mut contenders: Vec<Box<dyn Contender>> = systems
        .iter()
        .map(|system| match system {
            System::Quorate => Box::new(Side::<quorate::Quorate>::new(mode, size)) as _,
            System::RaftRsLean => {
                Box::new(Side::<raft_rs::RaftRs<raft_rs::Lean>>::new(mode, size)) as _
            }
            System::RaftRsMemory => {
                Box::new(Side::<raft_rs::RaftRs<raft_rs::Memory>>::new(mode, size)) as _
            }
        })
        .collect();
    // The first turn warms caches and the allocator up and is not kept.
    for contender in &mut contenders {
        contender.repetition();
    }
    let mut speeds = vec![Vec::new(); contenders.len()];
    let start = ProcessTime::now();
    while speeds[0].len() < MIN_REPETITIONS || start.elapsed() < budget {
        for (contender, speeds) in contenders.iter_mut().zip(&mut speeds) {
            speeds.push(contender.repetition());
        }
    }
    let rows = systems.iter().zip(&contenders).zip(speeds);
    rows.map(|((&system, contender), speeds)| Row {
        system,
        mode,
        payload_bytes: size,
        repetitions: speeds.len(),
        entries_per_cpu_second: Spread::of(speeds.into_iter()),
        per_entry: contender.counts(),
    })
    .collect()
}
