//! The svala command.
fn main() {}
