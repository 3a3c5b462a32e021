//! One cluster member as inputs and outputs: raft, WAL and store behind one request type.
