//! delta: what comes back is the file, whatever the lengths; what is broken is refused, with the place.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::judges::{crc32c, same};
use crate::support::{DEVICES, Place, contents};

const STRETCH: usize = 512 << 10;

/// A file, and what became of it.
struct Pair {
    name: &'static str,
    old: Vec<u8>,
    new: Vec<u8>,
}

fn pair(name: &'static str, old: &[u8], new: &[u8]) -> Pair {
    Pair { name, old: old.to_vec(), new: new.to_vec() }
}

/// The same with a few bytes changed, at the edges of words, stretches and the file.
fn touched(old: &[u8]) -> Vec<u8> {
    let mut new = old.to_vec();
    let last = new.len() - 1;
    for at in [0, 7, 8, 4095, 4096, STRETCH - 1, STRETCH, STRETCH + 9, last] {
        if let Some(byte) = new.get_mut(at) {
            *byte ^= 0xa5;
        }
    }
    new
}

fn pairs() -> Vec<Pair> {
    let base = contents(2 * STRETCH + 13);
    let other: Vec<u8> = base.iter().rev().copied().collect();
    vec![
        pair("nothing", b"", b""),
        pair("from nothing", b"", &base[..100]),
        pair("to nothing", &base[..100], b""),
        pair("a byte", b"a", b"b"),
        pair("seven bytes", b"abcdefg", b"abcdefG"),
        pair("a word", b"abcdefgh", b"abcdefgH"),
        pair("a word and a byte", b"abcdefghi", b"abcdefghI"),
        pair("equal", &base, &base),
        pair("touched", &base, &touched(&base)),
        pair("touched, one stretch", &base[..STRETCH], &touched(&base[..STRETCH])),
        pair("another file", &base, &other),
        pair("longer", &base[..STRETCH + 5], &touched(&base)),
        pair("longer inside a stretch", &base[..1000], &touched(&base[..5003])),
        pair("shorter", &base, &touched(&base[..STRETCH + 5])),
        pair("shorter by a byte", &base, &base[..base.len() - 1]),
        pair("shorter by a stretch", &base[..2 * STRETCH], &base[..STRETCH]),
    ]
}

fn create(place: &Place, device: &str) {
    place.run(device, ["delta", "create", "old", "new", "-f", "-o", "delta"]);
}

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// What the file says that the new one is, by the format's description and nothing else.
fn applied_by_hand(old: &[u8], delta: &[u8]) -> Vec<u8> {
    assert_eq!((&delta[..8], number(delta, 8, 4), number(delta, 12, 4)), (&b"svaladlt"[..], 1, STRETCH));
    assert_eq!((number(delta, 16, 8), number(delta, 32, 4)), (old.len(), crc32c(old) as usize));
    assert_eq!((number(delta, 40, 4), number(delta, 44, 4)), (0, crc32c(&delta[..44]) as usize));
    let new_len = number(delta, 24, 8);
    let (mut new, mut at) = (Vec::new(), 48);
    while new.len() < new_len {
        let stretch = new.len();
        let stretch_len = (new_len - stretch).min(STRETCH);
        let (kind, len) = (number(delta, at, 4), number(delta, at + 4, 4));
        let inside = &delta[at + 12..at + 12 + len];
        assert_eq!(number(delta, at + 8, 4), crc32c(&[&delta[at..at + 8], inside].concat()) as usize);
        at += 12 + len;
        if kind == 2 {
            assert_eq!(len, stretch_len);
            new.extend_from_slice(inside);
            continue;
        }
        assert!(kind == 1 && len < stretch_len, "kind {kind} of {len} bytes");
        let compared = (stretch + stretch_len).min(old.len()).saturating_sub(stretch) / 8 * 8;
        let (words, rest) = inside.split_at(len - (stretch_len - compared));
        new.extend_from_slice(&old[stretch..stretch + compared]);
        for entry in words.chunks(10) {
            let word = stretch + 8 * number(entry, 0, 2);
            new[word..word + 8].copy_from_slice(&entry[2..]);
        }
        new.extend_from_slice(rest);
    }
    assert_eq!((at, number(delta, 36, 4)), (delta.len(), crc32c(&new) as usize));
    new
}

#[test]
fn a_delta_makes_the_new_file_of_the_old_one() {
    let place = Place::new();
    for Pair { name, old, new } in pairs() {
        place.file("old", &old);
        place.file("new", &new);
        let mut deltas = Vec::new();
        for device in DEVICES {
            create(&place, device);
            let delta = fs::read(place.at("delta")).unwrap();
            assert!(applied_by_hand(&old, &delta) == new, "{name} on {device}, by hand");
            // At most what whole stretches take.
            assert!(delta.len() <= 48 + new.len() + 12 * new.len().div_ceil(STRETCH), "{name} on {device}");
            place.run(device, ["delta", "apply", "old", "delta", "-f", "-o", "made"]);
            same(&place.at("new"), &place.at("made"));
            deltas.push(delta);
        }
        assert!(deltas[0] == deltas[1], "{name}: not the same delta on each device");
    }
}

#[test]
fn a_delta_of_few_changes_is_small() {
    let place = Place::new();
    let old = contents(5 * STRETCH);
    let mut new = old.clone();
    new[3 * STRETCH + 100] ^= 1;
    place.file("old", &old);
    place.file("new", &new);
    create(&place, "software");
    assert_eq!(fs::metadata(place.at("delta")).unwrap().len(), 48 + 5 * 12 + 10);
}

#[test]
fn the_result_for_programs_has_lengths_and_checksums() {
    let place = Place::new();
    let (old, new) = (contents(STRETCH + 1), touched(&contents(STRETCH + 1)));
    place.file("old", &old);
    place.file("new", &new);
    for device in DEVICES {
        let json = |args: &[&str]| -> Value { serde_json::from_slice(&place.run(device, args)).unwrap() };
        let made = json(&["delta", "create", "old", "new", "-f", "-o", "delta", "--json"]);
        let applied = json(&["delta", "apply", "old", "delta", "-f", "-o", "made", "--json"]);
        for (result, action) in [(&made, "create"), (&applied, "apply")] {
            assert_eq!((&result["command"], &result["action"]), (&"delta".into(), &action.into()));
            assert_eq!((&result["old_bytes"], &result["new_bytes"]), (&old.len().into(), &new.len().into()));
            assert_eq!(result["old_crc32c"], format!("{:08x}", crc32c(&old)));
            assert_eq!(result["new_crc32c"], format!("{:08x}", crc32c(&new)));
            assert_eq!(result["stats"]["paths"][0]["kind"], device, "{result}");
        }
        assert_eq!((&made["stretches"], &made["stretches_whole"]), (&2.into(), &1.into()));
    }
}

#[test]
fn another_old_file_is_refused() {
    let place = Place::new();
    let old = contents(5000);
    place.file("old", &old);
    place.file("new", &touched(&old));
    create(&place, "software");
    let mut other = old.clone();
    other[2500] ^= 1;
    place.file("other", &other);
    place.file("shorter", &old[..4999]);
    for device in DEVICES {
        for name in ["other", "shorter", "new"] {
            place.trouble(
                device,
                ["delta", "apply", name, "delta", "-o", "made"],
                &format!("{name}: not the file"),
            );
        }
    }
}

/// Every byte counts: in the header, in the records, and behind them.
#[test]
fn a_delta_that_is_cut_is_refused_at_every_length() {
    let place = Place::new();
    let old = contents(1003);
    place.file("old", &old);
    place.file("new", &touched(&old));
    create(&place, "software");
    let delta = fs::read(place.at("delta")).unwrap();
    for len in 0..delta.len() {
        place.file("cut", &delta[..len]);
        let needle = format!("cut: at byte {len}: truncated");
        place.trouble("software", ["delta", "apply", "old", "cut", "-o", "made"], &needle);
    }
    place.file("cut", &[&delta[..], b"x"].concat());
    let needle = format!("cut: at byte {}: 1 bytes behind the end", delta.len());
    place.trouble("software", ["delta", "apply", "old", "cut", "-o", "made"], &needle);
}

#[test]
fn a_bit_that_is_wrong_is_found() {
    let place = Place::new();
    let old = contents(1003);
    place.file("old", &old);
    place.file("new", &touched(&old));
    create(&place, "software");
    let delta = fs::read(place.at("delta")).unwrap();
    for at in 0..delta.len() {
        let mut broken = delta.clone();
        broken[at] ^= 1 << (at % 8);
        place.file("broken", &broken);
        let offset = match at {
            0..8 => 0,
            8..12 => 8,
            12..48 => 44,
            _ => 48,
        };
        let device = DEVICES[at % 2];
        let output =
            place.svala(device).args(["delta", "apply", "old", "broken", "-o", "made"]).output().unwrap();
        // A length that is wrong may also be too long for the file: that is found at its end.
        let (needle, end) =
            (format!("broken: at byte {offset}: "), format!("broken: at byte {}: ", delta.len()));
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_len = (52..56).contains(&at) && complaint.contains(&end);
        place.check_trouble(&output, if is_len { &end } else { &needle });
        assert!(!place.at("made").exists(), "bit in byte {at}");
    }
}

/// A header and records that check themselves, whatever they say.
fn forged(old: &[u8], new_len: u64, new_crc: u32, records: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut delta = b"svaladlt\x01\0\0\0\0\0\x08\0".to_vec();
    delta.extend((old.len() as u64).to_le_bytes());
    delta.extend(new_len.to_le_bytes());
    delta.extend(crc32c(old).to_le_bytes());
    delta.extend(new_crc.to_le_bytes());
    delta.extend([0; 4]);
    delta.extend(crc32c(&delta).to_le_bytes());
    for (kind, inside) in records {
        let head = [kind.to_le_bytes(), u32::try_from(inside.len()).unwrap().to_le_bytes()].concat();
        delta.extend_from_slice(&head);
        delta.extend(crc32c(&[&head, &inside[..]].concat()).to_le_bytes());
        delta.extend_from_slice(inside);
    }
    delta
}

#[test]
fn a_forged_delta_writes_nowhere_else() {
    let place = Place::new();
    let old = contents(64);
    place.file("old", &old);
    let entry = |word: u16| [&word.to_le_bytes()[..], b"overthis"].concat();
    let two = |a, b| [entry(a), entry(b)].concat();
    for (name, records, new_len, needle) in [
        ("outside", vec![(1, entry(8))], 64, "forged: at byte 60: a difference"),
        ("far outside", vec![(1, entry(65535))], 64, "a difference outside"),
        ("second outside", vec![(1, two(1, 9))], 64, "a difference outside"),
        ("not in order", vec![(1, two(2, 1))], 64, "a difference outside of its stretch, or out of order"),
        (
            "half an entry",
            vec![(1, entry(1)[..5].to_vec())],
            64,
            "forged: at byte 48: a record of kind 1 with 5",
        ),
        ("unknown kind", vec![(7, vec![])], 64, "forged: at byte 48: a record of kind 7"),
        ("not the result", vec![(1, entry(1))], 64, "forged: at byte 36: what it makes has CRC-32C"),
        ("no records", vec![], 64, "truncated"),
        ("too few records", vec![(1, vec![])], 1 << 60, "truncated"),
        (
            "too many records",
            vec![(1, vec![]), (1, vec![])],
            64,
            "forged: at byte 60: 12 bytes behind the end",
        ),
    ] {
        place.file("forged", &forged(&old, new_len, 0, &records));
        for device in DEVICES {
            eprintln!("{name} on {device}");
            place.trouble(device, ["delta", "apply", "old", "forged", "-o", "made"], needle);
        }
    }
    // The same with the right checksum is applied: it is not the forging that is refused.
    let mut new = old.clone();
    new[8..16].copy_from_slice(b"overthis");
    place.file("forged", &forged(&old, 64, crc32c(&new), &[(1, entry(1))]));
    place.run("software", ["delta", "apply", "old", "forged", "-o", "made"]);
    assert!(fs::read(place.at("made")).unwrap() == new);
}

#[test]
fn a_delta_of_a_later_version_says_so() {
    let place = Place::new();
    place.file("old", b"old");
    let mut delta = forged(b"old", 0, 0, &[]);
    delta[8] = 2;
    place.file("delta", &delta);
    place.trouble(
        "software",
        ["delta", "apply", "old", "delta", "-o", "made"],
        "a delta of version 2; this svala",
    );
    place.trouble("software", ["delta", "apply", "old", "old", "-o", "made"], "old: at byte 3: truncated");
}

#[test]
fn no_input_is_the_output() {
    let place = Place::new();
    for name in ["old", "new"] {
        place.file(name, &contents(100));
    }
    create(&place, "software");
    for output in ["old", "new"] {
        place.trouble("software", ["delta", "create", "old", "new", "-f", "-o", output], "are the same file");
    }
    for output in ["old", "delta"] {
        place.trouble(
            "software",
            ["delta", "apply", "old", "delta", "-f", "-o", output],
            "are the same file",
        );
    }
    place.trouble("software", ["delta", "apply", "old", "delta", "-o", "new"], "new: exists (--force");
}

#[test]
fn a_signal_leaves_no_delta() {
    let place = Place::new();
    place.sparse("old", 2 << 30);
    place.sparse("new", 2 << 30);
    for device in DEVICES {
        let mut running = place.start(device, ["delta", "create", "old", "new", "-o", "delta"]);
        running
            .wait_until("temporary file", |_| place.names().iter().any(|name| name.starts_with(".svala-")));
        running.signal(Signal::SIGINT);
        let (status, complaint) = running.end();
        assert_eq!(status.code(), Some(130), "{complaint}");
        assert_eq!(place.names(), ["new", "old"]);
    }
}
