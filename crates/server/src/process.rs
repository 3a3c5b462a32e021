//! A server as the whole of a process: its runtime, and the signals that stop it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::options::Options;
use crate::server::{About, RunError, Server, StartError};

/// Why [`serve`] came to an end that nobody asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It failed later.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl ServeError {
    /// What to do about it, unless the message says so.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            ServeError::Start(error) => error.remedy(),
            ServeError::Run(error) => error.remedy(),
        }
    }
}

/// Serves until the process is told to stop with SIGINT or SIGTERM. Calls `started` once the member
/// has read its disk and listens, and `ready` once it serves clients, for which a cluster needs a
/// leader.
///
/// # Errors
/// If it does not start, or something fails.
pub fn serve(
    options: &Options,
    started: impl FnOnce(&About),
    ready: impl FnOnce(&About),
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::System)?;
    let served = runtime.block_on(async {
        let stop = Stop::listen().map_err(StartError::System)?;
        let server = Server::start(options).await?;
        let about = server.about().clone();
        started(&about);
        let is_ready = server.ready();
        let announce = async {
            is_ready.await;
            ready(&about);
            std::future::pending().await
        };
        tokio::select! {
            ran = server.run(stop.heard()) => Ok(ran?),
            never = announce => never,
        }
    });
    // Whatever still runs is not waited for: the server had its time to stop.
    runtime.shutdown_background();
    served
}

struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> io::Result<Stop> {
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn heard(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
