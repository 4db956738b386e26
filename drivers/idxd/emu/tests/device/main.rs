//! The emulated device, driven by raw descriptors on real memory. Oracles are straight loops and the `crc` crate.

#![expect(clippy::cast_possible_truncation, reason = "lengths of test buffers, all small")]

mod analytics;
mod analytics_codes;
mod analytics_streams;
mod batches;
mod checks;
mod cipher;
mod codes;
mod commands;
mod delta;
mod dif;
mod driver;
mod events;
mod fault_plan;
mod faults;
mod filters;
mod groups;
mod halts;
mod hostile;
mod indexing;
mod instant;
mod inter_domain;
mod lengths;
mod numeric;
mod operations;
mod queues;
mod registers;
mod scatter_gather;
mod support;
mod tables;
mod timing;
