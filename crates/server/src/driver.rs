//! The driver of the member: the one place that owns it.
//!
//! Owns the member, its timers and who waits for its answers; carries its outputs out in their
//! order. Never waits for a disk, a peer or a client: whatever takes time comes back as an input.

use std::collections::BTreeMap;

use quorate_member::{Error, HaltReason, Input, Member, Output, RequestToken, Response};
use quorate_wal::disk::Disk;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::disk::{Batch, Batches};
use crate::handle::{Arrival, Asked, Inbox};
use crate::observer::Observer;
use crate::peer::Links;
use crate::timers::Timers;

/// A member with all that it needs to run.
pub(crate) struct Driver<R> {
    pub(crate) member: Member,
    /// By which the member reads its store, while the disk's thread writes.
    pub(crate) reader: R,
    pub(crate) clock: Clock,
    pub(crate) timers: Timers,
    pub(crate) links: Links,
    pub(crate) disk: Batches,
    pub(crate) waiting: Waiting,
    pub(crate) observer: Observer,
}

/// Clients that wait for an answer.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    last: u64,
    clients: BTreeMap<RequestToken, oneshot::Sender<Result<Response, Error>>>,
}

/// Why a member runs no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to stop.
    Stopped,
    /// What its disk holds is no longer known.
    Halted(HaltReason),
}

impl Waiting {
    fn add(&mut self, client: oneshot::Sender<Result<Response, Error>>) -> RequestToken {
        self.last += 1;
        let token = RequestToken(self.last);
        self.clients.insert(token, client);
        token
    }

    fn answer(&mut self, token: RequestToken, result: Result<Response, Error>) {
        let client = self.clients.remove(&token).expect("a request is answered once");
        // The client may have gone.
        let _ = client.send(result);
    }
}

impl<R: AsRef<dyn Disk>> Driver<R> {
    /// Runs the member until `stop` is set, or nobody is left to set it, or the member halts.
    /// Clients that still wait hear that the server has stopped.
    pub(crate) async fn run(mut self, mut inbox: Inbox, mut stop: watch::Receiver<bool>) -> End {
        if let Err(reason) = self.carry_out() {
            return End::Halted(reason);
        }
        loop {
            let done = match self.timers.take_due(Instant::now()) {
                Some(timer) => self.hand_in(Input::Timer(timer)),
                None => {
                    let next = self.timers.next();
                    tokio::select! {
                        biased;
                        _ = stop.wait_for(|stop| *stop) => return End::Stopped,
                        () = until(next) => Ok(()),
                        arrival = inbox.next() => match arrival {
                            Some(Arrival::Event(input)) => self.hand_in(input),
                            Some(Arrival::Request(asked)) => self.ask(asked),
                            None => return End::Stopped,
                        },
                    }
                }
            };
            if let Err(reason) = done {
                return End::Halted(reason);
            }
        }
    }

    fn ask(&mut self, Asked { request, answer }: Asked) -> Result<(), HaltReason> {
        if answer.is_closed() {
            return Ok(());
        }
        let token = self.waiting.add(answer);
        self.hand_in(Input::Request { token, request })
    }

    fn hand_in(&mut self, input: Input) -> Result<(), HaltReason> {
        self.member.handle(self.clock.now(), input, self.reader.as_ref());
        let done = self.carry_out();
        self.observer.look(&self.member, Instant::now());
        done
    }

    fn carry_out(&mut self) -> Result<(), HaltReason> {
        while let Some(output) = self.member.poll() {
            match output {
                Output::Send(message) => self.links.send(message),
                Output::Reply { token, result } => self.waiting.answer(token, result),
                Output::SetTimer(timer) => self.timers.set(timer, Instant::now()),
                Output::Disk { batch, operations } => {
                    // If the disk's thread has gone, it is because a batch failed, of which the
                    // member hears.
                    let _ = self.disk.send(Batch { batch, operations });
                }
                Output::Halt(reason) => return Err(reason),
            }
        }
        Ok(())
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
