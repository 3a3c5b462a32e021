//! raft-rs's side: the same driver, over `RawNode`.

mod store;

use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{Config, RawNode, StateRole};
use slog::{Discard, Logger, o};

use crate::network::Network;
use crate::workload::{Applied, Group};

pub(crate) use store::{Lean, Memory, Store};

struct Member<S: Store> {
    node: RawNode<S>,
    /// It took something in since it was last asked for what is ready.
    stepped: bool,
    applied: Applied,
}

/// Three members over [`RawNode`] with logs in `S`.
pub(crate) struct RaftRs<S: Store> {
    members: [Member<S>; 3],
    network: Network<Message>,
}

impl<S: Store> Group for RaftRs<S> {
    fn elect() -> RaftRs<S> {
        let mut group = RaftRs { members: [1, 2, 3].map(Member::new), network: Network::new() };
        group.members[0].stepped = true;
        group.members[0].node.campaign().expect("a follower may stand for election");
        group.pump();
        assert_eq!(group.members[0].node.raft.state, StateRole::Leader, "nobody else stood");
        group
    }

    fn propose(&mut self, payloads: impl ExactSizeIterator<Item = Bytes>) {
        let entries: Vec<Entry> = payloads.map(|data| Entry { data, ..Entry::default() }).collect();
        let message = Message {
            msg_type: MessageType::MsgPropose,
            from: 1,
            entries: entries.into(),
            ..Message::default()
        };
        self.members[0].stepped = true;
        self.members[0].node.step(message).expect("member 1 leads and takes proposals");
    }

    fn pump(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for member in &mut self.members {
                busy |= member.turn(&mut self.network);
            }
        }
    }

    fn messages(&self) -> u64 {
        self.network.sent()
    }

    fn applied(&self) -> [Applied; 3] {
        self.members.each_ref().map(|member| member.applied)
    }

    fn drop_logs(&mut self) {
        for member in &mut self.members {
            member.node.mut_store().clear();
        }
    }
}

impl<S: Store> Member<S> {
    fn new(id: u64) -> Member<S> {
        let config = Config {
            id,
            election_tick: 10,
            heartbeat_tick: 3,
            max_size_per_msg: raft::NO_LIMIT,
            max_inflight_msgs: 1024,
            // Appends that follow each other before they are sent become one message.
            batch_append: true,
            ..Config::default()
        };
        let logger = Logger::root(Discard, o!());
        let node = RawNode::new(&config, S::new(), &logger).expect("a new member's state is valid");
        Member { node, stepped: false, applied: Applied::default() }
    }

    /// Takes in all that has arrived, then writes at once what it led to. Says whether there was
    /// anything to do.
    fn turn(&mut self, network: &mut Network<Message>) -> bool {
        while let Some(message) = network.receive(self.node.raft.id) {
            self.stepped = true;
            self.node.step(message).expect("a message from a member is taken");
        }
        if !std::mem::take(&mut self.stepped) {
            return false;
        }
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            send(ready.take_messages(), network);
            self.apply(&ready.take_committed_entries());
            let (entries, hard_state) = (ready.take_entries(), ready.hs().cloned());
            self.node.mut_store().write(entries, hard_state);
            send(ready.take_persisted_messages(), network);
            let mut light = self.node.advance_append(ready);
            send(light.take_messages(), network);
            self.apply(&light.take_committed_entries());
            self.node.advance_apply();
        }
        true
    }

    fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.applied.apply(&entry.data);
        }
    }
}

fn send(messages: Vec<Message>, network: &mut Network<Message>) {
    for message in messages {
        network.send(message.to, message);
    }
}
