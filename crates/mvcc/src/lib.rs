//! The replicated state machine: revisions, generations, transactions, compaction.
