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

/// Serves until the process is told to stop with SIGINT or SIGTERM. Calls `ready` once clients are
/// served.
///
/// # Errors
/// If it does not start, or something fails.
pub fn serve(options: &Options, ready: impl FnOnce(&About)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::System)?;
    let served = runtime.block_on(async {
        let stop = Stop::listen().map_err(StartError::System)?;
        let server = Server::start(options).await?;
        ready(server.about());
        Ok(server.run(stop.heard()).await?)
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
