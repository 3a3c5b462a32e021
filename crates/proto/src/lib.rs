//! Wire and log messages: etcd's API, raftpb and walpb, generated from our own .proto files.
