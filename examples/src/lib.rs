//! Examples of svala.
