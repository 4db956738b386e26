//! What the conformance bodies have run, as a table: operation by device, and whether faults were resumed on the way.
//!
//! `coverage.md`, and the same table in the README, are written from what ran in this process, and the test fails when it is
//! not what they say. To write them anew: `SVALA_COVERAGE=write cargo test -p svala-idxd --test coverage`.

#[expect(dead_code, reason = "bodies that end in errors cover no operation")]
mod conformance;
#[expect(dead_code, reason = "what only tests of misbehaviour need")]
mod support;

use std::fmt::Write;

use conformance::{
    analytics, checksum, cipher, compression, control, decryption, delta, dictionary, integrity, memory,
    miniblock, numeric, patterns,
};
use idxd_emu::{QueueConfig, Version};
use support::{Emulation, Faults, NOTES, Setup, TRANSFER_BYTES_MAX};
use svala::{Operation, Runtime};
use svala_software::{SoftwareConfig, SoftwareQueue};

/// One for each operation of a DSA.
const MEMORY: [fn(&Setup); 20] = [
    control::noop,
    control::drain,
    control::cache_flush,
    control::translation_fetch,
    memory::copy_lengths,
    memory::copy_cold,
    memory::fill,
    memory::compare,
    patterns::dualcast,
    patterns::fill16,
    patterns::compare_pattern,
    delta::create,
    delta::apply,
    checksum::crc,
    checksum::copy_crc,
    integrity::insert,
    integrity::dix_generate,
    integrity::check,
    integrity::strip,
    integrity::update,
];
/// What a DSA 3 does besides.
const NUMERIC: [fn(&Setup); 4] = [numeric::convert, numeric::reduce, numeric::gather_reduce, numeric::blocks];
/// Of an IAA.
const COMPRESSION: [fn(&Setup); 2] = [compression::deflate, compression::cold];
const ANALYTICS: [fn(&Setup); 19] = [
    analytics::cold,
    analytics::scan,
    analytics::scan_cold,
    analytics::questions,
    analytics::extract,
    analytics::select_and_expand,
    analytics::sets,
    analytics::bursts,
    analytics::encodings,
    analytics::zeros,
    analytics::crc_any,
    cipher::messages,
    decryption::columns,
    decryption::streams,
    dictionary::deflate,
    dictionary::inflate,
    miniblock::deflate,
    miniblock::index,
    miniblock::inflate,
];

/// Columns: how a queue is named in a report, and in the table.
const COLUMNS: [(&str, &str); 6] = [
    ("dsa1", "emulated DSA 1"),
    ("dsa2", "emulated DSA 2"),
    ("dsa3", "emulated DSA 3"),
    ("iaa", "emulated IAA"),
    ("cpu", "CPU engine"),
    ("hardware", "hardware"),
];

fn emulated(version: Version) -> Setup {
    let device = Emulation::new(QueueConfig::shared(16), Faults::Resolve).transfer_bytes_max(64 << 10);
    Emulation { version, ..device }.setup(|_| {})
}

fn cpu() -> Setup {
    let queue = SoftwareQueue::new(SoftwareConfig::default()).expect("starts");
    let runtime = Runtime::builder().queue(queue).build().expect("starts");
    Setup { runtime, faults: Faults::OfTheCpu, transfer_bytes_max: TRANSFER_BYTES_MAX as usize }
}

fn cell(place: &str, operation: Operation) -> &'static str {
    let notes = NOTES.lock().expect("no panic while it is held");
    match notes.get(&(place.to_owned(), operation.name())) {
        _ if place == "hardware" => "never run",
        None => "-",
        Some(false) => "yes",
        Some(true) => "yes, resumed after faults",
    }
}

fn table() -> String {
    let mut table = String::from("| operation |");
    for (_, column) in COLUMNS {
        let _ = write!(table, " {column} |");
    }
    table += "\n|---|";
    table += &"---|".repeat(COLUMNS.len());
    table.push('\n');
    for operation in Operation::ALL {
        let _ = write!(table, "| {operation} |");
        for (place, _) in COLUMNS {
            let _ = write!(table, " {} |", cell(place, operation));
        }
        table.push('\n');
    }
    table
}

#[test]
fn the_table_is_what_the_bodies_have_run() {
    for version in [Version::V1, Version::V2] {
        let setup = emulated(version);
        MEMORY.iter().for_each(|body| body(&setup));
    }
    let setup = emulated(Version::V3);
    MEMORY.iter().chain(&NUMERIC).for_each(|body| body(&setup));
    let setup = emulated(Version::V2);
    COMPRESSION
        .iter()
        .chain(&ANALYTICS)
        .chain(&[compression::inflate as fn(&Setup)])
        .for_each(|body| body(&setup));
    control::translation_fetch(&Emulation::new(QueueConfig::shared(16), Faults::Resolve).iaa_alone());
    let setup = cpu();
    MEMORY.iter().chain(&NUMERIC).chain(&COMPRESSION).chain(&ANALYTICS).for_each(|body| body(&setup));
    let table = table();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/coverage.md");
    let readme_path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme_path).expect("README.md");
    let wanted = with_table(&readme, &table);
    if std::env::var_os("SVALA_COVERAGE").is_some_and(|wanted| wanted == "write") {
        std::fs::write(path, &table).expect("coverage.md can be written");
        std::fs::write(readme_path, wanted).expect("README.md can be written");
        return;
    }
    let file = std::fs::read_to_string(path).expect("coverage.md");
    assert!(file == table, "coverage.md is not what ran; it would be:\n{table}");
    assert!(readme == wanted, "the table in README.md is not that of coverage.md");
}

/// The page with the table between its marks.
fn with_table(page: &str, table: &str) -> String {
    const MARKS: [&str; 2] = ["<!-- coverage: begin -->\n", "<!-- coverage: end -->"];
    let (before, behind) = page.split_once(MARKS[0]).expect("the mark before the table");
    let (_, behind) = behind.split_once(MARKS[1]).expect("the mark behind the table");
    format!("{before}{}{table}{}{behind}", MARKS[0], MARKS[1])
}
