//! Benchmarks of svala.
