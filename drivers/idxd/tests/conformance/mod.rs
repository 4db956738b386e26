//! What every device must do, whatever it is: bodies that take a runtime.

pub(crate) mod batch;
pub(crate) mod compression;
pub(crate) mod memory;
