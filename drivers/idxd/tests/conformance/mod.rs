//! What every device must do, whatever it is: bodies that take a runtime.

pub(crate) mod analytics;
pub(crate) mod batch;
pub(crate) mod checksum;
pub(crate) mod cipher;
pub(crate) mod codes;
pub(crate) mod compression;
pub(crate) mod control;
pub(crate) mod decryption;
pub(crate) mod delta;
pub(crate) mod dictionary;
pub(crate) mod integrity;
pub(crate) mod memory;
pub(crate) mod miniblock;
pub(crate) mod numeric;
pub(crate) mod patterns;
#[path = "../../../software/tests/miniblocks/mod.rs"]
mod places;
mod shapes;
pub(crate) mod streams;
#[path = "../../../software/tests/vectors/mod.rs"]
mod vectors;
#[path = "../../../software/tests/dictionary/mod.rs"]
mod zlib;
