//! Examples of svala, as `examples/*.rs` beside this package's manifest.
//!
//! The library is empty: its documentation is the README, so that the code in there is compiled and run as a test.
#![doc = include_str!("../../README.md")]
