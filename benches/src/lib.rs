//! Benchmarks of svala: see `benches/`, and `results/` for what they said, where and when. Here is what they are measured
//! against, and on.

pub mod corpus;
pub mod rivals;
