//! Benchmarks of svala: see `benches/`, and `results/` for what they said, where and when.
