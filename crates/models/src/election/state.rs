//! The state of the election model, kept small: it is cloned and hashed millions of times.

/// Most servers that a state can hold.
pub(crate) const MAX_SERVERS: usize = 5;

/// Most terms in which a state can hold messages.
const MAX_TERMS: u8 = 4;

/// The term that every server has persisted at the start: the youngest term of any log. Elections
/// take place in the terms after it.
pub(crate) const FIRST_TERM: Term = Term(2);

/// A Raft term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Term(pub(crate) u8);

/// A server, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerId(pub(crate) u8);

/// A set of servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ServerSet(u8);

impl ServerSet {
    pub(crate) fn contains(self, server: ServerId) -> bool {
        self.0 & (1 << server.0) != 0
    }

    pub(crate) fn with(self, server: ServerId) -> ServerSet {
        ServerSet(self.0 | 1 << server.0)
    }

    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }
}

impl FromIterator<ServerId> for ServerSet {
    fn from_iter<I: IntoIterator<Item = ServerId>>(servers: I) -> ServerSet {
        servers.into_iter().fold(ServerSet::default(), ServerSet::with)
    }
}

/// The end of a log. The order is Raft's: the younger last term is more recent, then the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogEnd {
    pub(crate) last_term: Term,
    pub(crate) length: u8,
}

/// Which logs the servers have. They do not change during an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogShape {
    /// All logs are equal.
    Equal,
    /// n2 led term 1, wrote three entries and reached n3 with one, n4 with two of them; then n1
    /// led term 2 with its votes of n3 and n5, and wrote one entry more, which reached n5. So the
    /// longest log is not the most recent.
    Diverged,
}

impl LogShape {
    pub(crate) const ALL: [LogShape; 2] = [LogShape::Diverged, LogShape::Equal];

    pub(crate) fn end(self, server: ServerId) -> LogEnd {
        const DIVERGED: [(u8, u8); MAX_SERVERS] = [(2, 2), (1, 3), (1, 1), (1, 2), (2, 2)];
        let (last_term, length) = match self {
            LogShape::Equal => (2, 2),
            LogShape::Diverged => DIVERGED[usize::from(server.0)],
        };
        LogEnd { last_term: Term(last_term), length }
    }
}

/// What Raft keeps durable besides the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HardState {
    pub(crate) term: Term,
    pub(crate) vote: Option<ServerId>,
}

impl HardState {
    pub(crate) const START: HardState = HardState { term: FIRST_TERM, vote: None };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Not a member of this cluster: the array of servers is longer than the cluster.
    Absent,
    Follower,
    Candidate,
    Leader,
}

/// One server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// What survives a crash.
    pub(crate) durable: HardState,
    /// Writes that have begun, oldest first. At most two overlap, which bounds the space.
    writing: [Option<HardState>; 2],
    pub(crate) role: Role,
    /// Whose votes a candidate has counted; empty for the other roles.
    pub(crate) votes: ServerSet,
}

impl Server {
    const ABSENT: Server = Server {
        durable: HardState::START,
        writing: [None; 2],
        role: Role::Absent,
        votes: ServerSet(0),
    };

    /// The term and vote that the server goes by, durable or not.
    pub(crate) fn current(&self) -> HardState {
        self.writing[1].or(self.writing[0]).unwrap_or(self.durable)
    }

    /// Whether all that the server goes by is durable.
    pub(crate) fn is_synced(&self) -> bool {
        self.writing[0].is_none()
    }

    /// The write that completes next.
    pub(crate) fn oldest_write(&self) -> Option<HardState> {
        self.writing[0]
    }

    /// Takes over `next` in `role` and begins to write it; false, with nothing changed, if two
    /// writes are under way already.
    pub(crate) fn turn(&mut self, role: Role, next: HardState) -> bool {
        let Some(free) = self.writing.iter_mut().find(|write| write.is_none()) else {
            return false;
        };
        *free = Some(next);
        self.take_role(role);
        true
    }

    /// Changes the role. Votes are counted within one candidacy only.
    pub(crate) fn take_role(&mut self, role: Role) {
        self.role = role;
        self.votes = ServerSet::default();
    }

    /// Completes the oldest write.
    pub(crate) fn persist_oldest(&mut self) -> Option<HardState> {
        let done = self.writing[0].take()?;
        self.durable = done;
        self.writing.swap(0, 1);
        Some(done)
    }

    /// Starts again from `durable`.
    pub(crate) fn restart(&mut self, durable: HardState) {
        *self = Server { durable, role: Role::Follower, ..Server::ABSENT };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// RequestVote, to everybody.
    Request,
    /// RequestVote's answer 'yes'.
    Grant,
    /// The answer to a request or a heartbeat of an older term: it tells of the later one.
    Refusal,
    /// An empty AppendEntries, to everybody, sent when a leader has been elected.
    Heartbeat,
}

impl MessageKind {
    pub(crate) const ALL: [MessageKind; 4] =
        [MessageKind::Request, MessageKind::Grant, MessageKind::Refusal, MessageKind::Heartbeat];

    /// Whether one such message goes to all servers; its receiver in the network is its sender.
    pub(crate) fn is_broadcast(self) -> bool {
        matches!(self, MessageKind::Request | MessageKind::Heartbeat)
    }
}

/// A message. The log's end in a request is the sender's, which never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: MessageKind,
    pub(crate) term: Term,
    pub(crate) from: ServerId,
    pub(crate) to: ServerId,
}

/// Every message ever sent. A message may be delivered never, once or many times, at any later
/// moment: so loss, duplication and reordering need no steps of their own, and what was sent is
/// also the history that the properties look back on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    /// A bit for (term, from, to), by kind.
    sent: [u128; MessageKind::ALL.len()],
}

impl Network {
    fn bit(term: Term, from: ServerId, to: ServerId) -> u32 {
        let term = u32::from(term.0 - FIRST_TERM.0 - 1);
        (term * MAX_SERVERS as u32 + u32::from(from.0)) * MAX_SERVERS as u32 + u32::from(to.0)
    }

    /// Sends a message; a broadcast is addressed to its sender.
    pub(crate) fn send(&mut self, kind: MessageKind, term: Term, from: ServerId, to: ServerId) {
        assert!(
            term > FIRST_TERM && term.0 <= FIRST_TERM.0 + MAX_TERMS,
            "no message is sent in term {}, outside the terms of elections",
            term.0
        );
        self.sent[kind as usize] |= 1 << Network::bit(term, from, to);
    }

    pub(crate) fn has(&self, kind: MessageKind, term: Term, from: ServerId, to: ServerId) -> bool {
        self.sent[kind as usize] & 1 << Network::bit(term, from, to) != 0
    }

    /// The messages of one kind that were ever sent.
    pub(crate) fn sent(&self, kind: MessageKind) -> impl Iterator<Item = Message> + use<> {
        let mut bits = self.sent[kind as usize];
        std::iter::from_fn(move || {
            if bits == 0 {
                return None;
            }
            let bit = bits.trailing_zeros() as u8;
            bits &= bits - 1;
            let (pair, to) = (bit / MAX_SERVERS as u8, bit % MAX_SERVERS as u8);
            let (term, from) = (pair / MAX_SERVERS as u8, pair % MAX_SERVERS as u8);
            Some(Message {
                kind,
                term: Term(FIRST_TERM.0 + 1 + term),
                from: ServerId(from),
                to: ServerId(to),
            })
        })
    }
}

/// A state of the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) logs: LogShape,
    servers: [Server; MAX_SERVERS],
    pub(crate) network: Network,
    /// Crashes so far.
    pub(crate) crashes: u8,
    /// Servers that came back from a crash with a vote for another.
    pub(crate) returned_voters: ServerSet,
    /// A durable term fell, or a durable vote was changed or lost within its term.
    pub(crate) hard_state_fell_back: bool,
}

impl State {
    /// The initial state of a cluster of `servers`.
    pub(crate) fn new(servers: u8, logs: LogShape) -> State {
        let mut all = [Server::ABSENT; MAX_SERVERS];
        for server in &mut all[..usize::from(servers)] {
            server.role = Role::Follower;
        }
        State {
            logs,
            servers: all,
            network: Network::default(),
            crashes: 0,
            returned_voters: ServerSet::default(),
            hard_state_fell_back: false,
        }
    }

    pub(crate) fn server(&self, id: ServerId) -> &Server {
        &self.servers[usize::from(id.0)]
    }

    pub(crate) fn server_mut(&mut self, id: ServerId) -> &mut Server {
        &mut self.servers[usize::from(id.0)]
    }

    /// Records whether the hard state of a server fell back when `next` replaced `durable`.
    pub(crate) fn note_durable_change(&mut self, durable: HardState, next: HardState) {
        let term_fell = next.term < durable.term;
        let vote_changed =
            next.term == durable.term && durable.vote.is_some() && next.vote != durable.vote;
        self.hard_state_fell_back |= term_fell || vote_changed;
    }

    /// Who voted for `candidate` in `term`: those that granted it, and itself once it asked.
    pub(crate) fn voters(&self, term: Term, candidate: ServerId) -> ServerSet {
        let granted = self
            .network
            .sent(MessageKind::Grant)
            .filter(|grant| grant.term == term && grant.to == candidate)
            .map(|grant| grant.from);
        let asked = self.network.has(MessageKind::Request, term, candidate, candidate);
        granted.chain(asked.then_some(candidate)).collect()
    }
}
