//! What cargo itself does not do for svala: a QEMU with the device in it, kernels, and tests in a guest.
//!
//! `cargo xtask guest --help`. What is built is kept outside the repository, in [`cache`]; what is missing is an error
//! that names the command that gets it.

mod cache;
mod error;
mod guest;
mod kernel;
mod program;
mod qemu;
mod sources;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::Error;

/// What cargo itself does not do for svala
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// QEMU with the device, kernels, and tests in a guest
    #[command(subcommand)]
    Guest(guest::Guest),
}

fn run(cli: &Cli) -> Result<ExitCode, Error> {
    match &cli.command {
        Command::Guest(guest) => guest::run(guest),
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", error::chain(&error));
            error.exit()
        }
    }
}
