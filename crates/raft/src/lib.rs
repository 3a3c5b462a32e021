//! Consensus as a deterministic state machine: no clock, no randomness, no payload bytes.
