//! The exit codes: a contract with scripts.

use std::process::ExitCode;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is well.
    Well = 0,
    /// A violation was found.
    Violation = 1,
    /// Bad usage, bad input, or an internal error.
    Bad = 2,
    /// Not decided: a limit was reached, or somebody pressed ^C.
    Undecided = 3,
    /// Nothing wrong was answered, but the cluster did not recover in time.
    Liveness = 4,
}

impl Exit {
    /// What two outcomes come to together: what was not looked at weighs most, since nothing is
    /// known about it, then what is certain.
    pub(crate) fn and(self, other: Self) -> Self {
        const BY_WEIGHT: [Exit; 4] = [Exit::Bad, Exit::Violation, Exit::Liveness, Exit::Undecided];
        let either = |exit: &Exit| self == *exit || other == *exit;
        BY_WEIGHT.into_iter().find(either).unwrap_or(Exit::Well)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weightier_outcome_counts_in_either_order() {
        for (one, other, both) in [
            (Exit::Well, Exit::Well, Exit::Well),
            (Exit::Well, Exit::Undecided, Exit::Undecided),
            (Exit::Undecided, Exit::Violation, Exit::Violation),
            (Exit::Liveness, Exit::Violation, Exit::Violation),
            (Exit::Liveness, Exit::Undecided, Exit::Liveness),
            (Exit::Bad, Exit::Violation, Exit::Bad),
        ] {
            assert_eq!((one.and(other), other.and(one)), (both, both), "{one:?} {other:?}");
        }
    }
}
