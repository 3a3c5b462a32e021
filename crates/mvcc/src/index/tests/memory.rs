//! What keys cost in memory, by an allocator that counts.

use super::*;

#[test]
fn a_key_without_a_past_costs_five_words_and_its_location() {
    assert_eq!(size_of::<KeyIndex>(), 40 + size_of::<Location>());
}

/// Bytes that the index holds, as the allocator is asked for them, for each of so many keys of 31
/// bytes that come in an order.
fn bytes_a_key(keys: u64, order: impl Fn(u64) -> u64, writes: u64) -> u64 {
    let mut index = Index::default();
    let held = allocation_counter::measure(|| {
        for write in 0..writes * keys {
            let revision = Revision(2 + write as i64);
            let key = numbered(order(write % keys) as u32);
            index.put(&key, revision, Location::nth(write), None);
        }
    });
    let first_and_last = [numbered(0), numbered(keys as u32 - 1)];
    assert!(first_and_last.iter().all(|key| index.newest(key).is_some()));
    (held.bytes_current as u64).div_ceil(keys)
}

#[test]
fn memory_a_key_stays_within_what_the_headers_say() {
    const KEYS: u64 = 100_000;
    let shuffled = |keys: u64| move |number: u64| number * 618_033 % keys;
    let measured = [
        ("ascending", bytes_a_key(KEYS, |number| number, 1), 58),
        ("shuffled", bytes_a_key(KEYS, shuffled(KEYS), 1), 62),
        ("a million shuffled", bytes_a_key(10 * KEYS, shuffled(10 * KEYS), 1), 62),
        ("written twice", bytes_a_key(KEYS, |number| number, 2), 106),
    ];
    for (what, bytes, most) in measured {
        assert!(bytes <= most, "{what}: {bytes} bytes a key");
    }
}
