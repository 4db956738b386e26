//! The driver on an emulated function: what it makes is judged by other people's programs and crates.

mod batch;
mod bring_up;
mod cancel;
mod chaos;
mod conformance;
mod discovery;
mod gcm;
mod interop;
mod lz4;
mod memory;
mod misbehaviour;
mod restart;
mod support;
#[expect(dead_code, reason = "keys of modes that a function does not have")]
#[path = "../../../software/tests/vectors/mod.rs"]
mod vectors;
