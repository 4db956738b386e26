//! The svala command. Everything is in the library of the same package.

use std::process::ExitCode;

fn main() -> ExitCode {
    svala_cli::main()
}
