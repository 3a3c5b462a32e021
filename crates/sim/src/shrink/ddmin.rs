//! Delta debugging: a smallest list that still fails, in the sense that no tested part of it can go.

/// Takes away as much of `items` as it can while `fails` says that the rest still fails.
///
/// First halves are tried, then ever smaller chunks, down to single items (Zeller and Hildebrandt,
/// 'Simplifying and isolating failure-inducing input', 2002; complements only, which is what
/// removes most where few items matter).
pub(super) fn minimize<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    if kept.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut chunk = kept.len().div_ceil(2);
    loop {
        let mut start = 0;
        let mut removed = false;
        while start < kept.len() && kept.len() > 1 {
            let end = (start + chunk).min(kept.len());
            let rest = [&kept[..start], &kept[end..]].concat();
            // The empty list was tried at the beginning.
            if !rest.is_empty() && fails(&rest) {
                kept = rest;
                removed = true;
            } else {
                start = end;
            }
        }
        if chunk == 1 && !removed {
            return kept;
        }
        chunk = chunk.div_ceil(2).min(kept.len()).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        for needed in [vec![], vec![0], vec![99], vec![13, 14], vec![3, 50, 97]] {
            let items: Vec<u32> = (0..100).collect();
            let mut tests = 0;
            let kept = minimize(&items, |part| {
                tests += 1;
                needed.iter().all(|item| part.contains(item))
            });
            assert_eq!(kept, needed);
            assert!(tests < 60, "{tests} tests for {needed:?}");
        }
    }

    #[test]
    fn no_item_can_go_when_all_are_needed_and_a_short_budget_keeps_the_rest() {
        let items = [1, 2, 3];
        assert_eq!(minimize(&items, |part| part.len() == 3), items);
        let mut budget = 2;
        let kept = minimize(&[1, 2, 3, 4], |_| {
            budget -= 1;
            budget == 0
        });
        assert_eq!(kept.len(), 2);
    }
}
