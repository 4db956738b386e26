//! What a guest is to do, in the form that `svala-guest` reads.

use serde::Serialize;

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Job {
    /// Modules to load, in this order: paths.
    pub(crate) modules: Vec<String>,
    /// To be run one after another.
    pub(crate) steps: Vec<Step>,
}

/// A program to run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    /// User and group.
    pub(crate) user: u32,
    pub(crate) environment: Vec<(String, String)>,
    /// None for never.
    pub(crate) deadline_s: Option<u64>,
    /// Whether nothing that follows makes sense if this fails.
    pub(crate) required: bool,
    /// Whether it is a shell for a person.
    pub(crate) interactive: bool,
}

impl Step {
    /// By root, for ten minutes at most.
    pub(crate) fn new(name: impl Into<String>, command: &[&str]) -> Self {
        Self {
            name: name.into(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            user: 0,
            environment: Vec::new(),
            deadline_s: Some(600),
            required: false,
            interactive: false,
        }
    }
}
