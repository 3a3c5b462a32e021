//! Where everything that the command line says goes out: data on standard output, everything else
//! on standard error. It owns colors and what happens when the reader goes away; it never decides
//! what is said.

use std::env;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::Serialize;

use crate::args::{ColorWhen, Format};
use crate::error::Error;

/// Standard output and standard error.
pub(crate) struct Output {
    format: Format,
    data: Paint,
    messages: Paint,
    /// Nobody reads standard output any more (`quorate … | head`).
    reader_gone: AtomicBool,
    /// The first other reason for which standard output could not be written.
    failed: Mutex<Option<io::Error>>,
}

impl Output {
    pub(crate) fn new(format: Format, color: ColorWhen) -> Self {
        Self {
            format,
            data: Paint(colored(color, &io::stdout())),
            messages: Paint(colored(color, &io::stderr())),
            reader_gone: AtomicBool::new(false),
            failed: Mutex::new(None),
        }
    }

    /// Whether data is one JSON object a line.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Colors for data in text.
    pub(crate) const fn paint(&self) -> Paint {
        self.data
    }

    /// Writes one or more lines of data.
    pub(crate) fn data(&self, lines: impl fmt::Display) {
        let mut text = lines.to_string();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(text.as_bytes());
    }

    /// Writes one JSON object as a line of data.
    pub(crate) fn json(&self, object: &impl Serialize) {
        self.data(serde_json::to_string(object).expect("what is reported is JSON"));
    }

    /// Writes bytes of data as they are. What cannot be written is remembered for [`Self::close`].
    fn write(&self, bytes: &[u8]) {
        if self.reader_gone() {
            return;
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.reader_gone.store(true, Relaxed);
            }
            Err(error) => {
                let mut failed = self.failed.lock().expect("nobody panics while holding it");
                failed.get_or_insert(error);
            }
        }
    }

    /// Whether nobody reads the data any more: work that is only for the reader may stop.
    pub(crate) fn reader_gone(&self) -> bool {
        self.reader_gone.load(Relaxed)
    }

    /// Writes a message for people.
    pub(crate) fn message(&self, line: impl fmt::Display) {
        // There is nowhere left to complain when standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Writes an error with its remedy.
    pub(crate) fn error(&self, error: &Error) {
        let paint = self.messages;
        self.message(format_args!("{} {}", paint.bold_red("error:"), error.what));
        if let Some(excerpt) = &error.excerpt {
            self.message(excerpt);
        }
        if let Some(remedy) = &error.remedy {
            self.message(format_args!("{}  {remedy}", paint.bold("help:")));
        }
    }

    /// Says whether all data was written.
    ///
    /// # Errors
    /// What the system said, unless it is that the reader went away: that is the reader's choice.
    pub(crate) fn close(&self) -> Result<(), Error> {
        match self.failed.lock().expect("nobody panics while holding it").take() {
            None => Ok(()),
            Some(error) => Err(Error::new(format!("cannot write to standard output: {error}"))),
        }
    }
}

fn colored(when: ColorWhen, stream: &impl IsTerminal) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
            stream.is_terminal() && !set("NO_COLOR") && !dumb
        }
    }
}

/// Puts text in color, or leaves it alone.
#[derive(Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: impl fmt::Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub(crate) fn bold(self, text: impl fmt::Display) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: impl fmt::Display) -> String {
        self.with("2", text)
    }

    pub(crate) fn bold_green(self, text: impl fmt::Display) -> String {
        self.with("1;32", text)
    }

    pub(crate) fn green(self, text: impl fmt::Display) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: impl fmt::Display) -> String {
        self.with("33", text)
    }

    pub(crate) fn bold_red(self, text: impl fmt::Display) -> String {
        self.with("1;31", text)
    }
}
