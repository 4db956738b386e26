//! Every constant and every field of the kernel's `linux/idxd.h` against this crate, by name.
//!
//! A C program compiled with the installed header prints the value of each constant, and for each field the bytes of a
//! structure in which only that field is set. Our side never repeats a number: constants come from the types, and where
//! a field lies is found by flipping every bit of a record and watching which of them our reader sees.
//!
//! The header is parsed as well, so that nothing in it is left out unnoticed. Names that a newer header adds are
//! printed; names that the header this was written against has must all be here.

mod constant;
mod field;
mod header;
mod program;
mod tables;

use std::collections::BTreeSet;

use header::Header;

/// Names in the `linux/idxd.h` this was written against. A header with more is newer than this test, one with fewer
/// is older.
const KNOWN_NAMES: usize = 248;

#[test]
fn every_constant_has_the_value_of_uapi() {
    let header = Header::installed();
    let ours = constant::table();
    let names = header.present(ours.iter().map(|&(name, _)| name));
    let theirs = program::constants(&names);
    for (name, value) in ours.into_iter().filter(|(name, _)| names.contains(name)) {
        assert_eq!(value, theirs[name], "{name}");
    }
}

#[test]
fn every_field_is_where_uapi_has_it() {
    let header = Header::installed();
    let ours = field::table();
    let names = header.present(ours.iter().map(|field| field.name));
    let theirs = program::fields(&names, &header);
    for field in ours.iter().filter(|field| names.contains(&field.name)) {
        field.compare(&theirs[field.name]);
    }
}

#[test]
fn tables_in_memory_are_where_the_specification_has_them() {
    tables::compare();
}

#[test]
fn every_structure_has_the_size_of_uapi() {
    let ours = field::sizes();
    let names: Vec<_> = ours.iter().map(|&(name, _)| name).collect();
    let theirs = program::sizes(&names);
    for (name, size) in ours {
        assert_eq!(size, theirs[name], "sizeof(struct {name})");
    }
}

#[test]
fn nothing_in_the_header_is_left_out() {
    let header = Header::installed();
    let compared: BTreeSet<String> = constant::table()
        .iter()
        .map(|&(name, _)| name)
        .chain(field::table().iter().map(|field| field.name))
        .map(str::to_owned)
        .collect();
    let unknown: Vec<_> = header.names().difference(&compared).cloned().collect();
    let gone: Vec<_> = compared.difference(&header.names()).cloned().collect();
    let count = header.names().len();
    println!("{}: {count} names, not compared: {unknown:?}, not in it: {gone:?}", header.path.display());
    if count > KNOWN_NAMES {
        println!("the header is newer than this test; the names not compared may need constants here");
    } else {
        assert!(unknown.is_empty(), "in {} and not compared: {unknown:?}", header.path.display());
        assert!(count < KNOWN_NAMES || gone.is_empty(), "compared and not in the header: {gone:?}");
    }
}
