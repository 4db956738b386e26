//! The command on real files, on the CPU and on the emulated devices, judged by other people's programs.

mod machine;
mod support;

mod bench;
mod compression;
mod configure;
mod delta;
mod dictionary;
mod dif;
mod doctor;
mod encryption;
mod endings;
mod faults;
mod files;
mod judges;
mod limits;
mod listing;
mod lz4;
mod ranges;
mod refusals;
mod scan;
mod statistics;
mod top;
