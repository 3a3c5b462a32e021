//! How far the work is, for somebody who watches. Draws on a terminal only, and cleans up after
//! itself; it never carries data.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a second the bar is drawn at most.
const DRAWS_PER_SECOND: u8 = 10;

/// A bar, or a spinner where the amount of work is not known, on standard error.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Progress through `total` pieces of work. It is redrawn also while nothing is reported, so that
    /// the time goes on.
    pub(crate) fn new(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{elapsed:>5} {bar:30} {percent:>3} %  {msg}",
            None => "{elapsed:>5} {spinner} {msg}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        let bar = ProgressBar::with_draw_target(total, draw_target());
        bar.set_style(style.progress_chars("━╸ "));
        bar.enable_steady_tick(Duration::from_secs(1) / DRAWS_PER_SECOND.into());
        Self(bar)
    }

    /// Sets how many pieces are done, and what to say beside the bar.
    pub(crate) fn update(&self, done: u64, message: impl Into<Cow<'static, str>>) {
        self.0.set_message(message);
        self.0.set_position(done);
    }

    /// Corrects the number of pieces there are.
    pub(crate) fn set_total(&self, total: u64) {
        self.0.set_length(total);
    }

    /// Takes the bar away for as long as `say` writes lines.
    pub(crate) fn aside<T>(&self, say: impl FnOnce() -> T) -> T {
        self.0.suspend(say)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn draw_target() -> ProgressDrawTarget {
    if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
    } else {
        ProgressDrawTarget::hidden()
    }
}
