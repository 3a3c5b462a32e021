//! What a campaign comes to, in words and numbers for people. Counts nothing itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use quorate_sim::campaign::{Ended, Report, ScenarioReport};

use crate::output::Paint;
use crate::units::{Nanos, count, plural};

/// The summary at the end of `quorate sim`.
pub(crate) fn in_words(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    scenarios(&mut text, report, paint);
    let faults = "Faults that took effect, and their effects";
    section(&mut text, &paint.bold(faults), &counts(&report.faults));
    section(&mut text, &paint.bold("Marks reached"), &counts(&report.reached));
    let unreached = report.scenarios.iter().flat_map(|scenario| {
        scenario.unreached.iter().map(|mark| (format!("{}: {mark}", scenario.name), String::new()))
    });
    let title = paint.yellow("Not reached");
    section(&mut text, &title, &unreached.collect::<Vec<_>>());
    pace(&mut text, report);
    verdict(&mut text, report, paint);
    text
}

/// One row a scenario, and one for all.
fn scenarios(text: &mut String, report: &Report, paint: Paint) {
    let cells = |name: &str, numbers: [u64; 5]| {
        let mut row = vec![name.to_owned()];
        row.extend(numbers.map(count));
        row
    };
    let row = |scenario: &ScenarioReport| {
        let ScenarioReport { name, seeds, operations, events, failures, .. } = scenario;
        cells(name, [*seeds, *operations, *events, scenario.empty_runs(), *failures])
    };
    let header = ["scenario", "schedules", "operations", "events", "empty", "failed"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(report.scenarios.iter().map(row));
    if report.scenarios.len() > 1 {
        let failures = report.failures.len() as u64;
        let numbers =
            [report.seeds, report.operations, report.events, report.empty_runs(), failures];
        rows.push(cells("all", numbers));
    }
    for (index, line) in aligned(&rows).into_iter().enumerate() {
        let line = if index == 0 { paint.bold(line) } else { line };
        let _ = writeln!(text, "{line}");
    }
}

/// Rows as lines: the first column to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        let cells = rows.iter().filter_map(|row: &Vec<String>| row.get(column));
        cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "   {cell:>width$}"),
            };
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn counts(numbers: &BTreeMap<&'static str, u64>) -> Vec<(String, String)> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), count(*number))).collect()
}

/// A title, and names with their numbers in two columns; nothing if there are none.
fn section(text: &mut String, title: &str, entries: &[(String, String)]) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    let width = |part: fn(&(String, String)) -> &String| {
        entries.iter().map(|entry| part(entry).chars().count()).max().unwrap_or(0)
    };
    let (names, numbers) = (width(|entry| &entry.0), width(|entry| &entry.1));
    let cell = |(name, number): &(String, String)| format!("{name:<names$}  {number:>numbers$}");
    // Down the first column, then down the second, as one reads a list.
    let half = entries.len().div_ceil(2);
    for index in 0..half {
        let left = cell(&entries[index]);
        let right = entries.get(half + index).map_or(String::new(), cell);
        let line = format!("  {left}      {right}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn pace(text: &mut String, report: &Report) {
    let (wall, cpu) = (nanos(report.wall), nanos(report.cpu));
    let virtual_ns = u64::try_from(report.virtual_ns).unwrap_or(u64::MAX);
    let times = per(report.virtual_ns, wall.into());
    let _ = writeln!(
        text,
        "\n{} simulated in {} ({} of processor time): {} times as fast as real time",
        Nanos(virtual_ns),
        Nanos(wall),
        Nanos(cpu),
        count(times),
    );
    let each_second = |number: u64| per(u128::from(number) * 1_000_000_000, cpu.into());
    let _ = writeln!(
        text,
        "{} and {} a second of processor time; {} run twice and compared",
        plural(each_second(report.seeds), "schedule"),
        plural(each_second(report.events), "event"),
        plural(report.compared, "schedule"),
    );
}

/// The quotient, 0 where nothing was measured.
fn per(number: u128, nanos: u128) -> u64 {
    number.checked_div(nanos).map_or(0, |quotient| u64::try_from(quotient).unwrap_or(u64::MAX))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn verdict(text: &mut String, report: &Report, paint: Paint) {
    let shortcomings = report.shortcomings();
    text.push('\n');
    for shortcoming in &shortcomings {
        let _ = writeln!(text, "{} {shortcoming}", paint.yellow("tested too little:"));
    }
    let ended = match report.ended {
        Ended::Complete => "",
        Ended::TimeLimit => ", until the time was over",
        Ended::TooManyFailures => ", until there were enough failures (--max-failures)",
        Ended::Stopped => ", until it was stopped",
    };
    let schedules = plural(report.seeds, "schedule");
    let from = report.from;
    let _ = match report.failures.len() as u64 {
        0 if report.seeds == 0 => writeln!(text, "nothing was run{ended}"),
        0 => writeln!(
            text,
            "{} in {schedules} from seed {from} on{ended}",
            paint.bold_green("no violation")
        ),
        failures => writeln!(
            text,
            "{} in {schedules} from seed {from} on{ended}",
            paint.bold_red(plural(failures, "failure"))
        ),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_with_names_left_and_numbers_right() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["name", "n", "events"]), row(["a", "1,000", "7"])];
        assert_eq!(aligned(&rows), ["name       n   events", "a      1,000        7"]);
    }
}
