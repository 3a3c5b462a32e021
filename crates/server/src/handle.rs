//! How the rest of the process reaches the member: by messages to the thread that owns it.

use std::time::Duration;

use quorate_member::{Config, Error, Input, Request, Response};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Peers' messages and disk completions that may wait. Who brings more waits.
const EVENT_QUEUE: usize = 1_024;
/// Events that are taken in a row while a client waits. Some more than a write brings about in a
/// group of three, so that load from clients does not keep the group itself from getting on.
const EVENTS_IN_A_ROW: u32 = 8;
/// How much longer than the member itself a client waits: by then the member, which looks through
/// its waiting requests now and then, has answered if it runs at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// A client's request on its way to the member.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Result<Response, Error>>,
}

/// Why a client hears no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The member refused.
    Member(Error),
    /// More requests arrive than the member's thread looks at.
    Overloaded,
    /// The process is about to end.
    Stopped,
}

/// Reaches the member.
#[derive(Clone, Debug)]
pub(crate) struct MemberHandle {
    requests: mpsc::Sender<Asked>,
    events: mpsc::Sender<Input>,
    /// How long an answer may take.
    patience: Duration,
}

/// The member's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    requests: mpsc::Receiver<Asked>,
    events: mpsc::Receiver<Input>,
    /// Events since the last turn of the clients.
    in_a_row: u32,
}

/// What comes to the member.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Something happened.
    Event(Input),
    /// A client asks.
    Request(Asked),
}

/// The member has ended: nobody takes what is brought to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

/// The way to a member that is given this configuration. As many requests may wait for its thread
/// to look at them as may then wait at the member.
pub(crate) fn channel(config: &Config) -> (MemberHandle, Inbox) {
    let (requests, asked) = mpsc::channel(config.max_waiting_requests);
    let (events, happened) = mpsc::channel(EVENT_QUEUE);
    let patience = Duration::from_nanos(config.request_timeout_ns) + PATIENCE;
    (
        MemberHandle { requests, events, patience },
        Inbox { requests: asked, events: happened, in_a_row: 0 },
    )
}

impl Inbox {
    /// The next thing that comes; none once nobody is left to bring anything. Events come first,
    /// since they are what the answers of those who wait already depend on, but not so many in a
    /// row that clients get no turn. Nothing is lost if the wait is given up.
    pub(crate) async fn next(&mut self) -> Option<Arrival> {
        if self.in_a_row >= EVENTS_IN_A_ROW {
            self.in_a_row = 0;
            if let Ok(asked) = self.requests.try_recv() {
                return Some(Arrival::Request(asked));
            }
        }
        tokio::select! {
            biased;
            Some(input) = self.events.recv() => {
                self.in_a_row += 1;
                Some(Arrival::Event(input))
            }
            Some(asked) = self.requests.recv() => {
                self.in_a_row = 0;
                Some(Arrival::Request(asked))
            }
            else => None,
        }
    }
}

impl MemberHandle {
    /// Asks the member and waits for its answer: for its request timeout, and a second in case
    /// that its thread does not get round to saying that this is over.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Refusal> {
        let (answer, answered) = oneshot::channel();
        match self.requests.try_send(Asked { request, answer }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Refusal::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Refusal::Stopped),
        }
        match timeout(self.patience, answered).await {
            Ok(Ok(result)) => result.map_err(Refusal::Member),
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(_) => Err(Refusal::Member(Error::TimedOut)),
        }
    }

    /// Tells the member what happened, once it has room for it.
    pub(crate) async fn tell(&self, input: Input) -> Result<(), Ended> {
        self.events.send(input).await.map_err(|_| Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_member::Timer;
    use quorate_mvcc::RangeRequest;
    use quorate_raft::NodeId;

    /// A member that lets four requests wait, for a tenth of a second.
    fn config() -> Config {
        Config {
            max_waiting_requests: 4,
            request_timeout_ns: 100_000_000,
            ..Config::new(NodeId(1), 1, None, 0)
        }
    }

    fn range() -> Request {
        Request::Range(RangeRequest::default())
    }

    #[tokio::test]
    async fn who_comes_to_a_full_queue_is_refused_at_once() {
        let (handle, mut inbox) = channel(&config());
        let room = config().max_waiting_requests;
        let mut waiting = Vec::new();
        for _ in 0..room {
            let handle = handle.clone();
            waiting.push(tokio::spawn(async move { handle.ask(range()).await }));
        }
        while inbox.requests.len() < room {
            tokio::task::yield_now().await;
        }
        assert_eq!(handle.ask(range()).await, Err(Refusal::Overloaded));
        let asked = inbox.requests.recv().await.expect("a request waits");
        asked.answer.send(Err(Error::NoLeader)).expect("its client waits");
        drop(inbox);
        let mut heard = Vec::new();
        for task in waiting {
            heard.push(task.await.expect("it ends").expect_err("it is refused"));
        }
        assert_eq!(heard.remove(0), Refusal::Member(Error::NoLeader));
        assert!(heard.iter().all(|refusal| *refusal == Refusal::Stopped), "{heard:?}");
        assert_eq!(handle.ask(range()).await, Err(Refusal::Stopped));
    }

    #[tokio::test]
    async fn a_member_that_does_not_look_keeps_nobody_waiting_for_ever() {
        let (handle, mut inbox) = channel(&config());
        let begun = tokio::time::Instant::now();
        assert_eq!(handle.ask(range()).await, Err(Refusal::Member(Error::TimedOut)));
        assert!(begun.elapsed() >= Duration::from_millis(1_100), "{:?}", begun.elapsed());
        let asked = inbox.requests.recv().await.expect("it is still in the queue");
        assert!(asked.answer.is_closed(), "but is not to be begun any more");
    }

    #[tokio::test]
    async fn a_flood_of_events_does_not_starve_clients() {
        let (handle, mut inbox) = channel(&config());
        let asking = handle.clone();
        let client = tokio::spawn(async move { asking.ask(range()).await });
        while inbox.requests.is_empty() {
            tokio::task::yield_now().await;
        }
        let mut events = 0;
        let asked = loop {
            // There is always one more.
            handle.tell(Input::Timer(Timer::Upkeep)).await.expect("there is room");
            match inbox.next().await.expect("somebody is there") {
                Arrival::Event(_) => events += 1,
                Arrival::Request(asked) => break asked,
            }
            assert!(events <= EVENTS_IN_A_ROW, "a client waits");
        };
        assert_eq!(events, EVENTS_IN_A_ROW, "events come first");
        asked.answer.send(Err(Error::NoLeader)).expect("its client waits");
        client.await.expect("it ends").expect_err("it is refused");
    }
}
