//! The command on real files, on the CPU and on the emulated devices, judged by other people's programs.

mod support;

mod compression;
mod endings;
mod files;
mod judges;
mod limits;
mod refusals;
mod statistics;
