//! Real time, for campaigns and shrinking: what they took, and when they have to end.
//!
//! Nothing inside a run comes here.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a campaign has a time limit and says how long it took; no run depends on it"
)]

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// Real time since its making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Whether a limit, if there is one, is reached.
    pub(crate) fn is_over(&self, limit: Option<Duration>) -> bool {
        limit.is_some_and(|limit| self.elapsed() >= limit)
    }
}

/// The processor time that this thread takes.
#[derive(Debug)]
pub(crate) struct CpuStopwatch(ThreadTime);

impl CpuStopwatch {
    pub(crate) fn start() -> CpuStopwatch {
        CpuStopwatch(ThreadTime::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
