//! The seeded discrete-event simulator: clocks, network, disks, faults, workloads, invariants.
