//! Every combination of evidence, against rules that are stated another way than the table's.

use super::*;

const PLACES: [Place; 3] = [Place::FirstHeader, Place::Header, Place::Batches];
const WITNESSES: [Witness; 5] =
    [Witness::None, Witness::Own, Witness::OwnOfWhole, Witness::Later, Witness::Unsealed];

fn everything() -> Vec<Evidence> {
    let mut all = Vec::new();
    for place in PLACES {
        for followed in [false, true] {
            for rest in [Rest::Zeros, Rest::Data] {
                for witness in WITNESSES {
                    for tear in [Tear::Explains, Tear::RuledOut] {
                        all.push(Evidence { place, followed, rest, witness, tear });
                    }
                }
            }
        }
    }
    assert_eq!(all.len(), 120);
    all
}

/// Whether what is at this place, or was, is known to have been durable.
fn was_durable(evidence: &Evidence) -> bool {
    evidence.followed || matches!(evidence.witness, Witness::Later | Witness::Unsealed)
}

/// Whether it can have been durable.
fn may_have_been_durable(evidence: &Evidence) -> bool {
    let no_loss = evidence.tear == Tear::RuledOut || evidence.witness == Witness::OwnOfWhole;
    let written_as_a_whole = evidence.rest == Rest::Data && no_loss;
    was_durable(evidence) || written_as_a_whole || evidence.place == Place::FirstHeader
}

#[test]
fn every_combination_has_a_row_and_every_row_a_combination() {
    let mut used: Vec<_> = everything().iter().map(|evidence| judge(evidence).because).collect();
    used.sort_unstable();
    used.dedup();
    let mut rows: Vec<_> = TABLE.iter().map(|row| row.because).collect();
    rows.sort_unstable();
    assert_eq!(used, rows);
}

#[test]
fn nothing_that_was_or_may_have_been_durable_is_cut_off_or_taken_for_the_end() {
    for evidence in everything() {
        let decision = judge(&evidence).decision;
        let drops =
            matches!(decision, Decision::End | Decision::CutOff | Decision::TakeSegmentAway);
        assert_eq!(
            drops,
            !may_have_been_durable(&evidence)
                && evidence.place != Place::FirstHeader
                && !was_durable(&evidence),
            "{evidence:?}: {decision:?}"
        );
    }
}

#[test]
fn damage_is_passed_only_if_a_seal_says_what_was_in_it() {
    for evidence in everything() {
        let says = matches!(evidence.witness, Witness::Own | Witness::OwnOfWhole | Witness::Later);
        match judge(&evidence).decision {
            Decision::Damaged => assert!(says, "{evidence:?}"),
            // Refused is only what cannot be passed. The one header there is cannot: whose log it
            // is stands nowhere else.
            Decision::Refuse => assert!(
                !says || (evidence.place == Place::FirstHeader && !evidence.followed),
                "{evidence:?}"
            ),
            _ => {}
        }
    }
}

#[test]
fn a_segment_that_another_follows_ends_only_where_nothing_is_behind_it() {
    for evidence in everything() {
        let whole =
            evidence.followed && evidence.place == Place::Batches && evidence.rest == Rest::Zeros;
        assert_eq!(judge(&evidence).decision == Decision::NextSegment, whole, "{evidence:?}");
    }
}

#[test]
fn a_segment_is_taken_away_only_for_want_of_a_header_and_cut_off_only_behind_one() {
    for evidence in everything() {
        match judge(&evidence).decision {
            Decision::TakeSegmentAway => assert_eq!(evidence.place, Place::Header),
            Decision::CutOff => {
                assert_eq!((evidence.place, evidence.tear), (Place::Batches, Tear::Explains));
                assert_ne!(evidence.witness, Witness::OwnOfWhole);
            }
            Decision::End => {
                assert_eq!((evidence.place, evidence.rest), (Place::Batches, Rest::Zeros));
            }
            _ => {}
        }
    }
}

#[test]
fn the_rows_are_explained_to_people() {
    // Wrapped lines and emphasis do not matter.
    let explained = include_str!("../../../../docs/recovery.md");
    let words: Vec<_> = explained.split_whitespace().collect();
    let explained = words.join(" ");
    for row in TABLE {
        assert!(explained.contains(row.because), "docs/recovery.md lacks {:?}", row.because);
    }
}
