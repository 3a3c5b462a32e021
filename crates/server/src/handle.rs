//! How the rest of the process reaches the member: by messages to the thread that owns it.

use quorate_member::{Error, Input, Request, Response};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the member's thread to look at them. Those which it has taken are
/// limited by the member itself.
const REQUEST_QUEUE: usize = 1_024;
/// Peers' messages and disk completions that may wait. Who brings more waits.
const EVENT_QUEUE: usize = 1_024;

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
}

/// The member's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) requests: mpsc::Receiver<Asked>,
    pub(crate) events: mpsc::Receiver<Input>,
}

/// The member has ended: nobody takes what is brought to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

pub(crate) fn channel() -> (MemberHandle, Inbox) {
    let (requests, asked) = mpsc::channel(REQUEST_QUEUE);
    let (events, happened) = mpsc::channel(EVENT_QUEUE);
    (MemberHandle { requests, events }, Inbox { requests: asked, events: happened })
}

impl MemberHandle {
    /// Asks the member and waits for its answer, which comes within its request timeout.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Refusal> {
        let (answer, answered) = oneshot::channel();
        match self.requests.try_send(Asked { request, answer }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Refusal::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Refusal::Stopped),
        }
        match answered.await {
            Ok(result) => result.map_err(Refusal::Member),
            Err(_) => Err(Refusal::Stopped),
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
    use quorate_mvcc::RangeRequest;

    fn range() -> Request {
        Request::Range(RangeRequest::default())
    }

    #[tokio::test]
    async fn who_comes_to_a_full_queue_is_refused_at_once() {
        let (handle, mut inbox) = channel();
        let mut waiting = Vec::new();
        for _ in 0..REQUEST_QUEUE {
            let handle = handle.clone();
            waiting.push(tokio::spawn(async move { handle.ask(range()).await }));
        }
        while inbox.requests.len() < REQUEST_QUEUE {
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
}
