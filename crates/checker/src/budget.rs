//! How much a check may cost. Steps and memory are counted, so that the verdict is the same on
//! every machine; a deadline, which is not, is the caller's to ask for.

use std::fmt;

/// Limits of one check.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How many steps of search are taken at most, beyond the two an operation that every history
    /// has. A step is one operation tried at one place; an unambiguous history needs no more than
    /// one an operation. The default is one million, which take about a second.
    pub steps: u64,
    /// How many bytes the search may remember at most, besides the history itself.
    pub memory_bytes: u64,
    /// Asked now and then whether time is up; the check itself reads no clock.
    pub out_of_time: Option<&'a dyn Fn() -> bool>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { steps: 1_000_000, memory_bytes: 256 << 20, out_of_time: None }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("steps", &self.steps)
            .field("memory_bytes", &self.memory_bytes)
            .field("out_of_time", &self.out_of_time.map(|_| "…"))
            .finish()
    }
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Steps(u64),
    Memory(u64),
    Time,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "the limit of {steps} steps of search was reached"),
            Self::Memory(bytes) => write!(f, "the limit of {bytes} bytes of memory was reached"),
            Self::Time => write!(f, "the time was up"),
        }
    }
}

/// What is left of the limits.
pub(crate) struct Budget<'a> {
    options: &'a Options<'a>,
    limit: u64,
    steps: u64,
    memory_bytes: u64,
}

impl<'a> Budget<'a> {
    pub(crate) const fn new(options: &'a Options<'a>, operations: usize) -> Self {
        Self {
            options,
            limit: options.steps.saturating_add(2 * operations as u64),
            steps: 0,
            memory_bytes: 0,
        }
    }

    pub(crate) const fn spent(&self) -> u64 {
        self.steps
    }

    /// Takes one step.
    pub(crate) fn step(&mut self) -> Result<(), Exhausted> {
        self.spend(1)
    }

    /// Takes so many steps at once.
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Exhausted> {
        /// Between two questions to the caller's clock, which costs more than a step.
        const STEPS_PER_QUESTION: u64 = 1024;
        let before = self.steps;
        self.steps += steps;
        if self.steps > self.limit {
            return Err(Exhausted::Steps(self.limit));
        }
        if before / STEPS_PER_QUESTION != self.steps / STEPS_PER_QUESTION
            && self.options.out_of_time.is_some_and(|asked| asked())
        {
            return Err(Exhausted::Time);
        }
        Ok(())
    }

    /// Remembers so many more bytes.
    pub(crate) const fn remember(&mut self, bytes: u64) -> Result<(), Exhausted> {
        self.memory_bytes += bytes;
        if self.memory_bytes > self.options.memory_bytes {
            return Err(Exhausted::Memory(self.options.memory_bytes));
        }
        Ok(())
    }

    /// Forgets what was remembered.
    pub(crate) const fn forget(&mut self, bytes: u64) {
        self.memory_bytes = self.memory_bytes.saturating_sub(bytes);
    }
}
