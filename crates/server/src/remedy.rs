//! What a person can do about what stopped a server, for each error beside its message.
//!
//! Some messages of the core say it themselves; then there is nothing to add.

use std::io;

use quorate_member::{HaltReason, RecoveryError};

use crate::server::{RunError, StartError};

const REPLACE: &str = "in a cluster, remove this member, empty its data directory and add it anew; \
                       alone, restore a backup";

impl StartError {
    /// What to do about it, unless the message says so.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            StartError::Options(error) => error.remedy(),
            StartError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("stop what listens there, or choose another address".to_owned())
            }
            StartError::Listen { .. } | StartError::System(_) => None,
            StartError::DataDir(error) => error.remedy().map(str::to_owned),
            StartError::Recovery { error, .. } => of_recovery(error).map(str::to_owned),
        }
    }
}

fn of_recovery(error: &RecoveryError) -> Option<&'static str> {
    match error {
        RecoveryError::Foreign { .. } => Some(
            "if this is its own, start it with the --name, --initial-cluster, \
             --listen-peer-urls and --initial-cluster-token that it was first started with",
        ),
        RecoveryError::Alone => Some("restore a backup"),
        RecoveryError::Metadata(_)
        | RecoveryError::Gap { .. }
        | RecoveryError::EntryType { .. }
        | RecoveryError::Change { .. }
        | RecoveryError::Manifest { .. }
        | RecoveryError::State(_) => Some(REPLACE),
        // These say it, each in its own way.
        _ => None,
    }
}

impl RunError {
    /// What to do about it, unless the message says so.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            RunError::Halted(HaltReason::Disk(_) | HaltReason::Snapshot(_)) => {
                Some("start it again: what the disk holds is known only after a restart".to_owned())
            }
            // The others say it.
            RunError::Halted(_) => None,
            RunError::Panicked(_) => Some("please report it with the command line".to_owned()),
            RunError::Listen(_) => None,
        }
    }
}
