//! ^C: the first one asks the command to come to an end, with its summary; the second one kills.

use std::io::{self, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::error::Error;

/// What a shell sees of a program that ^C killed.
const KILLED_BY_INTERRUPT: i32 = 130;

/// A flag that ^C raises.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen for ^C.
    ///
    /// # Errors
    /// If the system refuses the handler.
    pub(crate) fn listen() -> Result<Self, Error> {
        let interrupt = Self::default();
        let flag = Arc::clone(&interrupt.0);
        let handler = move || {
            if flag.swap(true, Relaxed) {
                process::exit(KILLED_BY_INTERRUPT);
            }
            let _ = writeln!(io::stderr(), "\nstopping; press ^C again to quit at once");
        };
        ctrlc::set_handler(handler)
            .map_err(|error| Error::new(format!("cannot listen for ^C: {error}")))?;
        Ok(interrupt)
    }

    /// Whether the command has to come to an end.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// The flag itself, for those who look at it on other threads.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
