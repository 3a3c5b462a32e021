//! A small cluster in memory: every output waits until a test carries it out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use quorate_mvcc::{PutRequest, RangeRequest};
use quorate_raft::{Body, NodeId, Role};
use quorate_wal::disk::{Disk, DiskOp, DiskPath, MemDisk};

use crate::{
    BatchId, Config, Error, HaltReason, Input, Member, Output, PeerMessage, Recovery, Request,
    RequestToken, Response, ResponseBody, Time, Timer,
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// Members `0..n`, whose ids count from 1.
pub(super) struct Group {
    pub(super) members: Vec<Member>,
    pub(super) disks: Vec<MemDisk>,
    /// Batches that were handed out and not carried out.
    pub(super) batches: Vec<VecDeque<(BatchId, Vec<DiskOp>)>>,
    /// Messages under way.
    pub(super) messages: VecDeque<PeerMessage>,
    pub(super) replies: BTreeMap<RequestToken, Result<Response, Error>>,
    pub(super) timers: BTreeSet<(usize, Timer)>,
    pub(super) halted: Vec<(usize, HaltReason)>,
    pub(super) now: Time,
    lives: Vec<u64>,
    adjust: fn(&mut Config),
    next_token: u64,
}

pub(super) fn config(index: usize, size: usize, life: u64) -> Config {
    let founders = (1..=size as u64).map(NodeId).collect();
    let first_request_id = (index as u64) << 48 | life << 32;
    Config::new(NodeId(index as u64 + 1), 7, Some(founders), first_request_id)
}

impl Group {
    pub(super) fn new(size: usize) -> Group {
        Group::with(size, |_| {})
    }

    /// `size` founders, whose configuration is changed by `adjust`.
    pub(super) fn with(size: usize, adjust: fn(&mut Config)) -> Group {
        let mut group = Group {
            members: Vec::new(),
            disks: vec![MemDisk::new(); size],
            batches: vec![VecDeque::new(); size],
            messages: VecDeque::new(),
            replies: BTreeMap::new(),
            timers: BTreeSet::new(),
            halted: Vec::new(),
            now: Time(SECOND),
            lives: vec![1; size],
            adjust,
            next_token: 0,
        };
        for index in 0..size {
            let mut config = config(index, size, 1);
            adjust(&mut config);
            let (member, _) =
                Member::start(config, &mut group.disks[index], group.now).expect("a fresh disk");
            group.members.push(member);
            group.collect(index);
        }
        group
    }

    /// One more member, with an empty disk, that joins the group.
    pub(super) fn join(&mut self) -> usize {
        let index = self.members.len();
        let mut config = config(index, index, 1);
        config.founders = None;
        (self.adjust)(&mut config);
        self.disks.push(MemDisk::new());
        self.batches.push(VecDeque::new());
        self.lives.push(1);
        let (member, _) =
            Member::start(config, &mut self.disks[index], self.now).expect("a fresh disk");
        self.members.push(member);
        self.collect(index);
        index
    }

    /// A group whose first member leads, with everything settled.
    pub(super) fn led(size: usize) -> Group {
        let mut group = Group::new(size);
        group.campaign(0);
        group.settle();
        assert_eq!(group.members[0].view().role, Role::Leader);
        group
    }

    pub(super) fn input(&mut self, index: usize, input: Input) {
        self.members[index].handle(self.now, input, &self.disks[index]);
        self.collect(index);
    }

    /// Lets everybody but the leader lose patience with it, and one of them stand for election.
    pub(super) fn campaign(&mut self, index: usize) {
        for other in 0..self.members.len() {
            if other != index && self.members[other].view().role != Role::Leader {
                self.fire(other, Timer::Election);
            }
        }
        self.fire(index, Timer::Election);
        self.fire(index, Timer::Jitter);
        // Pre-votes change nothing and need no disk.
        let is_pre_vote = |message: &PeerMessage| match message {
            PeerMessage::Raft { message, .. } => {
                matches!(message.body, Body::PreVote { .. } | Body::PreVoteReply { .. })
            }
            PeerMessage::Propose { .. } | PeerMessage::Store { .. } => false,
        };
        while let Some(position) = self.messages.iter().position(is_pre_vote) {
            let message = self.messages.remove(position).expect("it is there");
            self.deliver(message);
        }
    }

    pub(super) fn fire(&mut self, index: usize, timer: Timer) {
        self.timers.remove(&(index, timer));
        self.input(index, Input::Timer(timer));
    }

    pub(super) fn ask(&mut self, index: usize, request: Request) -> RequestToken {
        let token = RequestToken(self.next_token);
        self.next_token += 1;
        self.input(index, Input::Request { token, request });
        token
    }

    /// Has the first member, which leads, carry these out, one after the other.
    pub(super) fn write(&mut self, requests: impl IntoIterator<Item = Request>) {
        for request in requests {
            let token = self.ask(0, request);
            self.settle();
            self.answer(token).expect("committed");
        }
    }

    /// Carries the first batch out that waits at a member.
    pub(super) fn sync(&mut self, index: usize) {
        let (batch, operations) = self.batches[index].pop_front().expect("a batch waits");
        DiskOp::execute_all(&operations, &mut self.disks[index]).expect("the disk works");
        self.input(index, Input::Disk { batch, result: Ok(()) });
    }

    pub(super) fn deliver(&mut self, message: PeerMessage) {
        let to = message.to();
        // Nobody may be there yet.
        if to.0 as usize <= self.members.len() {
            self.input(to.0 as usize - 1, Input::Peer(message));
        }
    }

    /// Carries everything out that waits, for as long as there is something.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(index) = self.batches.iter().position(|batches| !batches.is_empty()) {
                self.sync(index);
            } else if let Some(message) = self.messages.pop_front() {
                self.deliver(message);
            } else {
                return;
            }
        }
    }

    /// Loses what is not synced, and starts the member again.
    pub(super) fn power_loss(&mut self, index: usize) -> Recovery {
        self.batches[index].clear();
        self.disks[index].power_loss(|_| false);
        let config = self.next_life(index);
        let disk = &mut self.disks[index];
        let (member, recovery) =
            Member::start(config, disk, self.now).expect("what a power loss leaves can be read");
        self.members[index] = member;
        self.collect(index);
        recovery
    }

    /// All that a member's store has in files of these kinds rots.
    pub(super) fn rot(&mut self, index: usize, kinds: &[&str]) {
        let store = DiskPath::new("member/store").expect("a valid name");
        let disk = &mut self.disks[index];
        let mut flipped = 0;
        for file in disk.list(&store).expect("it is there") {
            let bits = disk.durable_end(&file) * 8;
            let is_concerned = kinds.iter().any(|kind| file.name().ends_with(kind));
            for bit in (0..bits).step_by(64).filter(|_| is_concerned) {
                flipped += u32::from(disk.flip_bit(&file, bit));
            }
        }
        assert!(flipped > 0, "it has taken a snapshot");
    }

    /// What the member starts with the next time.
    pub(super) fn next_life(&mut self, index: usize) -> Config {
        self.lives[index] += 1;
        let mut config = config(index, self.members.len(), self.lives[index]);
        (self.adjust)(&mut config);
        config
    }

    /// The leader's heartbeats, and all that follows from them, a few times.
    pub(super) fn beat(&mut self, leader: usize) {
        for _ in 0..4 {
            self.fire(leader, Timer::Heartbeat);
            self.settle();
        }
    }

    /// The answer to a request.
    pub(super) fn answer(&mut self, token: RequestToken) -> Result<Response, Error> {
        self.replies.remove(&token).expect("the request is answered")
    }

    fn collect(&mut self, index: usize) {
        while let Some(output) = self.members[index].poll() {
            match output {
                Output::Send(message) => self.messages.push_back(message),
                Output::Reply { token, result } => {
                    let earlier = self.replies.insert(token, result);
                    assert!(earlier.is_none(), "{token:?} is answered once");
                }
                Output::SetTimer(timer) => {
                    self.timers.insert((index, timer));
                }
                Output::Disk { batch, operations } => {
                    assert!(self.batches[index].is_empty(), "one batch at a time");
                    self.batches[index].push_back((batch, operations));
                }
                Output::Halt(reason) => self.halted.push((index, reason)),
            }
        }
    }
}

pub(super) fn put(key: &'static str, value: &'static str) -> Request {
    Request::Put(PutRequest {
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
        ..PutRequest::default()
    })
}

pub(super) fn get(key: &'static str) -> Request {
    Request::Range(RangeRequest {
        key: Bytes::from_static(key.as_bytes()),
        ..RangeRequest::default()
    })
}

pub(super) fn get_serializable(key: &'static str) -> Request {
    match get(key) {
        Request::Range(range) => Request::Range(RangeRequest { serializable: true, ..range }),
        other => other,
    }
}

/// The value that a get found.
pub(super) fn value(response: Result<Response, Error>) -> Option<Bytes> {
    match response.expect("the read is answered").body {
        ResponseBody::Range(range) => range.kvs.first().map(|kv| kv.value.clone()),
        other => panic!("{other:?} answers no range"),
    }
}
