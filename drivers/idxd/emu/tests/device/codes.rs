//! Every status and every error code that has a name is reached, by a descriptor, a configuration or a failure that has
//! just that one thing wrong. What the model cannot give is named, with the reason.

mod dsa;
mod errors;
mod iaa;

use std::fmt::Debug;

use idxd_spec::Status;
use idxd_spec::iaa::ErrorCode;

/// A code, and what makes a device give it.
type Reach<T> = (T, fn() -> T);

const OUT_OF_REACH: [(Status, &str); 1] = [(Status::NONE, "what a record holds before a device writes it")];

const ERRORS_OUT_OF_REACH: [(ErrorCode, &str); 3] = [
    (ErrorCode::BAD_LENGTH, "deflate has no such length, and tables of software's own are not understood"),
    (ErrorCode::COMPRESSION_LINKING, "IAACAP bit 0 is 0: no last descriptor bit"),
    (
        ErrorCode::AECS_FORMAT,
        "IAACAP bit 0 is 0: format 1, to which the other is error code 0x16 (IAA §3.2.1)",
    ),
];

/// Each of `all` is in one of the two lists, once; and is given by what is said to give it.
fn complete<T: Copy + Debug + PartialEq>(all: &[T], reached: &[Reach<T>], out_of_reach: &[(T, &str)]) {
    let listed: Vec<T> =
        reached.iter().map(|(code, _)| *code).chain(out_of_reach.iter().map(|(code, _)| *code)).collect();
    for code in all {
        let times = listed.iter().filter(|other| *other == code).count();
        assert_eq!(times, 1, "times that {code:?} is listed");
    }
    assert_eq!(listed.len(), all.len(), "codes that have no name are listed");
    let given = reached.iter().map(|(code, reach)| (*code, reach()));
    let others: Vec<(T, T)> = given.filter(|(code, given)| code != given).collect();
    assert!(others.is_empty(), "codes, and what was given in their place: {others:?}");
}

#[test]
fn every_status_is_given_by_what_it_is_for() {
    let reached = [&dsa::STATUSES[..], &dsa::ELSEWHERE, &dsa::DOMAINS, &iaa::STATUSES].concat();
    complete(Status::ALL, &reached, &OUT_OF_REACH);
}

#[test]
fn every_error_code_is_given_by_what_it_is_for() {
    complete(ErrorCode::ALL, &errors::CODES, &ERRORS_OUT_OF_REACH);
}
