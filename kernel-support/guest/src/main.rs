//! The first process of a guest, and tests on work queues that a real kernel's driver made.
//!
//! As process 1 it carries out the job that the machine was booted with, and powers off. Otherwise it is one test:
//! `svala-guest NAME QUEUE...`. Tests print what they counted, and end with status 0 or with what went wrong. Everything
//! runs under an emulated CPU: counts mean something, times do not.

mod analytics;
mod child;
mod cold;
mod counts;
mod init;
mod job;
mod map;
mod pagemap;
mod pressure;
mod processes;
mod queue;
mod races;
mod recovery;
mod refused;
mod storm;
mod under_load;
mod vfio;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

/// A test: its name, and what it does with the queues it is given.
type Test = (&'static str, fn(&[String]) -> Result<()>);

const TESTS: &[&[Test]] = &[
    analytics::TESTS,
    cold::TESTS,
    counts::TESTS,
    refused::TESTS,
    races::TESTS,
    processes::TESTS,
    pressure::TESTS,
    recovery::TESTS,
    storm::TESTS,
    under_load::TESTS,
];

fn all() -> impl Iterator<Item = &'static Test> {
    TESTS.iter().chain(vfio::TESTS).copied().flatten()
}

fn test(name: &str, arguments: &[String]) -> Result<()> {
    if name == child::BECOME_USER {
        return child::become_user(arguments);
    }
    let found = all().find(|(known, _)| *known == name);
    match found {
        Some((_, run)) => run(arguments),
        None => bail!("no test {name}; there are: {}", names().join(" ")),
    }
}

fn names() -> Vec<&'static str> {
    all().map(|(name, _)| *name).collect()
}

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    let mut arguments = std::env::args().skip(1);
    let result = arguments
        .next()
        .context("usage: svala-guest TEST QUEUE...")
        .and_then(|name| test(&name, &arguments.collect::<Vec<_>>()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
