//! What a guest was booted to do: a file that `xtask` puts beside this program.

use serde::Deserialize;

/// Where it is.
pub(crate) const PATH: &str = "/job.json";

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// Modules to load, in this order: paths.
    pub(crate) modules: Vec<String>,
    /// To be run one after another.
    pub(crate) steps: Vec<Step>,
}

/// A program to run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// What it is called in the report.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Who runs it, user and group.
    pub(crate) user: u32,
    /// Variables for it.
    pub(crate) environment: Vec<(String, String)>,
    /// When it is killed; none for never.
    pub(crate) deadline_s: Option<u64>,
    /// Whether nothing that follows makes sense if this fails.
    pub(crate) required: bool,
    /// Whether it is a shell for a person, with the terminal as its own.
    pub(crate) interactive: bool,
}
