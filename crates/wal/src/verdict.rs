//! The recovery table: what the last records of a log and what the disk holds behind them mean.
//!
//! Owns the one decision that must not be wrong: whether frames that cannot be read are a batch
//! that was being written when the power went, or damage to what was durable. A pure function of
//! the [`Evidence`]; gathering that is the reader's, acting on it recovery's. Explained to a person
//! in `docs/recovery.md`, which has the same rows.
//!
//! Everything here rests on how a log is written: a batch is written only when the one before is
//! durable, behind whose end the file is zero; a segment is begun only when the one before is
//! complete; a sector is written or not; and each batch ends with a seal, which knows how many sectors
//! the batch leaves zero by rights.

/// In what the frames end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The header of the log's first segment.
    FirstHeader,
    /// The header of a segment that others come before.
    Header,
    /// Behind a segment's header.
    Batches,
}

/// What the segment holds from where its frames end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing, or zeros.
    Zeros,
    /// Something, be it a frame that is wrong.
    Data,
}

/// The first seal that can be believed, there or behind: in this segment or in a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// There is none.
    None,
    /// It ends the very batch in which the frames end, of which sectors are zero that the seal does
    /// not know as such.
    Own,
    /// It ends the very batch in which the frames end, and knows of all its sectors that are zero:
    /// none was lost in writing.
    OwnOfWhole,
    /// It ends a batch that begins behind.
    Later,
    /// There is none, but an intact entry that etcd, which has no seals, wrote only when what is
    /// here was durable.
    Unsealed,
}

/// Whether a sector or a file's end that was not written explains where the frames end. A sector that
/// is zero by rights looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tear {
    /// It does.
    Explains,
    /// It does not.
    RuledOut,
}

/// What is known of the place where a segment's frames end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) place: Place,
    /// Whether another segment follows.
    pub(crate) followed: bool,
    pub(crate) rest: Rest,
    pub(crate) witness: Witness,
    pub(crate) tear: Tear,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Go on with the next segment: its first record says whether something is missing.
    NextSegment,
    /// The log ends here.
    End,
    /// The log ends here; take away what follows, which was never acknowledged.
    CutOff,
    /// The segment was being created: take it away.
    TakeSegmentAway,
    /// What is damaged was durable, and a seal says what came of it: the part before can be kept
    /// by a member that makes up for the rest.
    Damaged,
    /// What is damaged may have been acknowledged, and nothing says what it was.
    Refuse,
}

/// One row: the first whose conditions hold decides. What is `None` does not matter.
#[derive(Debug)]
pub(crate) struct Row {
    places: &'static [Place],
    followed: Option<bool>,
    rest: Option<Rest>,
    witnesses: &'static [Witness],
    tear: Option<Tear>,
    pub(crate) decision: Decision,
    /// As in `docs/recovery.md`.
    pub(crate) because: &'static str,
}

const ANYWHERE: &[Place] = &[Place::FirstHeader, Place::Header, Place::Batches];
const ANY_SEAL: &[Witness] =
    &[Witness::None, Witness::Own, Witness::OwnOfWhole, Witness::Later, Witness::Unsealed];
/// Nothing is there that was written later.
const NONE_LATER: &[Witness] = &[Witness::None, Witness::Own, Witness::OwnOfWhole];

/// The rows, in order.
pub(crate) const TABLE: &[Row] = &[
    Row {
        places: &[Place::Batches],
        followed: Some(true),
        rest: Some(Rest::Zeros),
        witnesses: ANY_SEAL,
        tear: None,
        decision: Decision::NextSegment,
        because: "a full segment ends where the next one begins",
    },
    Row {
        places: ANYWHERE,
        followed: None,
        rest: None,
        witnesses: &[Witness::Later],
        tear: None,
        decision: Decision::Damaged,
        because: "what was written later is there, and was written only when this was durable",
    },
    Row {
        places: ANYWHERE,
        followed: None,
        rest: None,
        witnesses: &[Witness::Unsealed],
        tear: None,
        decision: Decision::Refuse,
        because: "etcd wrote what is behind when this was durable, and no seal says what was in it",
    },
    Row {
        places: ANYWHERE,
        followed: Some(true),
        rest: None,
        witnesses: &[Witness::Own, Witness::OwnOfWhole],
        tear: None,
        decision: Decision::Damaged,
        because: "the segments that follow were begun when this was durable, and its seal is there",
    },
    Row {
        places: ANYWHERE,
        followed: Some(true),
        rest: None,
        witnesses: &[Witness::None],
        tear: None,
        decision: Decision::Refuse,
        because: "the segments that follow were begun when this was durable, and none has a seal",
    },
    Row {
        places: &[Place::Batches],
        followed: Some(false),
        rest: Some(Rest::Zeros),
        witnesses: NONE_LATER,
        tear: None,
        decision: Decision::End,
        because: "nothing was ever written here",
    },
    Row {
        places: &[Place::Header],
        followed: Some(false),
        rest: Some(Rest::Zeros),
        witnesses: NONE_LATER,
        tear: None,
        decision: Decision::TakeSegmentAway,
        because: "a segment without a header was being created, and holds nothing yet",
    },
    Row {
        places: &[Place::Header, Place::Batches],
        followed: Some(false),
        rest: Some(Rest::Data),
        witnesses: &[Witness::OwnOfWhole],
        tear: None,
        decision: Decision::Damaged,
        because: "the last batch was written as a whole, and its seal says what was in it",
    },
    Row {
        places: &[Place::Header],
        followed: Some(false),
        rest: Some(Rest::Data),
        witnesses: &[Witness::None, Witness::Own],
        tear: Some(Tear::Explains),
        decision: Decision::TakeSegmentAway,
        because: "a segment with a torn header was being created, and holds nothing yet",
    },
    Row {
        places: &[Place::Batches],
        followed: Some(false),
        rest: Some(Rest::Data),
        witnesses: &[Witness::None, Witness::Own],
        tear: Some(Tear::Explains),
        decision: Decision::CutOff,
        because: "the last batch was being written when the power went",
    },
    Row {
        places: &[Place::Header, Place::Batches],
        followed: Some(false),
        rest: Some(Rest::Data),
        witnesses: &[Witness::Own],
        tear: Some(Tear::RuledOut),
        decision: Decision::Damaged,
        because: "the last batch may have been acknowledged, and its seal says what was in it",
    },
    Row {
        places: &[Place::Header, Place::Batches],
        followed: Some(false),
        rest: Some(Rest::Data),
        witnesses: &[Witness::None],
        tear: Some(Tear::RuledOut),
        decision: Decision::Refuse,
        because: "the last batch may have been acknowledged, and nothing says what was in it",
    },
    Row {
        places: &[Place::FirstHeader],
        followed: Some(false),
        rest: None,
        witnesses: NONE_LATER,
        tear: None,
        decision: Decision::Refuse,
        because: "a log is created with its header, so that it was there",
    },
];

impl Row {
    fn holds(&self, evidence: &Evidence) -> bool {
        self.places.contains(&evidence.place)
            && self.witnesses.contains(&evidence.witness)
            && self.followed.is_none_or(|followed| followed == evidence.followed)
            && self.rest.is_none_or(|rest| rest == evidence.rest)
            && self.tear.is_none_or(|tear| tear == evidence.tear)
    }
}

/// The row that decides.
pub(crate) fn judge(evidence: &Evidence) -> &'static Row {
    let row = TABLE.iter().find(|row| row.holds(evidence));
    row.expect("the table covers everything: a test tries all")
}

#[cfg(test)]
mod tests;
