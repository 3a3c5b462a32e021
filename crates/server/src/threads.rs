//! Threads of their own for what must not wait for anything else: the member and its disk.
//!
//! In a simulation, which is one thread, they are tasks.

use std::future::Future;
use std::io;

use tokio::sync::oneshot;

/// Hears how a thread ended. Dropping it does not end the thread.
#[derive(Debug)]
pub(crate) struct Thread<T>(oneshot::Receiver<T>);

/// The thread panicked, or its task was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Died;

impl<T> Thread<T> {
    /// Waits until the thread has ended. To be called again only if the wait was given up.
    pub(crate) async fn ended(&mut self) -> Result<T, Died> {
        (&mut self.0).await.map_err(|_| Died)
    }
}

/// Starts a thread that lives until its future ends.
///
/// # Errors
/// If the operating system refuses.
#[cfg(not(madsim))]
pub(crate) fn spawn<F>(name: &str, future: F) -> io::Result<Thread<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (end, ended) = oneshot::channel();
    let run = move || {
        // Nobody may wait for it any more.
        let _ = end.send(runtime.block_on(future));
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(Thread(ended))
}

/// A task instead of a thread.
#[cfg(madsim)]
pub(crate) fn spawn<F>(_name: &str, future: F) -> io::Result<Thread<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        let _ = end.send(future.await);
    });
    Ok(Thread(ended))
}
