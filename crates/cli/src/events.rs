//! What a server says while it runs: a line on standard error for each event, with its time.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// From now on, events of our own crates are shown; what libraries say of themselves is not.
pub(crate) fn show() {
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(false)
        // There is nowhere left to complain when standard error is gone.
        .log_internal_errors(false);
    let ours = Targets::new().with_target("quorate", LevelFilter::INFO);
    tracing_subscriber::registry().with(lines).with(ours).init();
}
