//! The svala command: files through an accelerator.
//!
//! A library so that the binary stays thin and [`args`] can be fuzzed. Each command is one module. They share:
//!
//! ```text
//!  args       what was asked for               source     a file that is read, checked before anything starts
//!  run        engine, signals, exit code       output     a temporary file that becomes the destination, or goes
//!  stop       Ctrl-C, between chunks           window     how much of a file is mapped at a time
//!  pipeline   operations in flight, in order   tally, report, progress   what happened, for people and programs
//! ```
//!
//! The rules: memory is bounded whatever the files' sizes; a destination appears whole or not at all; an error is
//! one line that names the file; which path ran is never hidden. There is no `unsafe` here: mapped files are only
//! touched by the engines.
#![forbid(unsafe_code)]

pub mod args;

mod compare;
mod compress;
mod copy;
mod crc;
mod decompress;
mod error;
mod exit;
mod fill;
mod hardware;
mod list;
mod output;
mod pipeline;
mod progress;
mod report;
mod run;
mod sink;
mod source;
mod stop;
mod tally;
mod window;

pub use run::main;
