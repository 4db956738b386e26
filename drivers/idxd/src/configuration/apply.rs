//! Making the writes, and undoing them.
//!
//! What a write changes besides its own attribute is the kernel's business, so undoing the writes alone is not enough:
//! a queue whose mode was `dedicated` for a moment has lost its threshold, a device that was disabled has lost
//! everything. So all that can be written of the devices concerned is read before the first write. After a failure the
//! writes are undone in reverse order, then what still differs is written back, then what was disabled is enabled again,
//! and then it is looked at once more: what differs even now is in the error.

use std::io;

use super::order::{self, Change};
use super::plan::{Plan, Step};
use super::tree::Tree;

/// Rounds of writing back what differs. One is enough where the kernel takes everything; a second is for values that
/// were only possible after the others.
const ROUNDS_MAX: usize = 3;

/// A write that failed.
#[derive(Debug, thiserror::Error)]
#[error("step {}: {step}{}", index + 1, left_text(.left))]
pub struct ApplyError {
    /// Which step of the plan, counted from 0.
    pub index: usize,
    /// The step.
    pub step: Step,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
    /// What could not be put back; nothing if everything is as it was.
    pub left: Vec<Left>,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// Under the bus.
    pub path: String,
    /// What it was.
    pub was: String,
    /// What it is; none if it cannot be read.
    pub is: Option<String>,
}

fn left_text(left: &[Left]) -> String {
    match left {
        [] => String::new(),
        [one] => format!(" (not put back: {} was {})", one.path, one.was),
        several => format!(" ({} values not put back)", several.len()),
    }
}

/// Values before the first write. An attribute that is not there is not.
struct Before(Vec<(String, String)>);

impl Before {
    fn read(tree: &mut impl Tree, paths: &[String]) -> Self {
        Self(paths.iter().filter_map(|path| Some((path.clone(), tree.read(path).ok()?))).collect())
    }

    /// What is not as it was.
    fn differing(&self, tree: &mut impl Tree) -> Vec<Change> {
        let changes = self.0.iter().filter_map(|(path, was)| {
            let is = tree.read(path).ok();
            (is.as_ref() != Some(was)).then(|| Change { path: path.clone(), old: is, new: was.clone() })
        });
        changes.collect()
    }
}

impl Plan {
    /// Makes the writes in order. Nothing is written for an empty plan.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] at the first write that fails, after everything was put back that could be.
    pub fn apply(&self, tree: &mut impl Tree) -> Result<(), ApplyError> {
        let before = Before::read(tree, &self.watched);
        let mut done: Vec<(&Step, Option<String>)> = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let path = step.path();
            let old = match step {
                Step::Set { .. } => tree.read(&path).ok(),
                Step::Bind { .. } | Step::Unbind { .. } => None,
            };
            if let Err(source) = tree.write(&path, step.value()) {
                tracing::warn!(%step, error = %source, "configuration refused, putting back what was changed");
                let left = put_back(tree, &before, &done);
                return Err(ApplyError { index, step: step.clone(), source, left });
            }
            tracing::debug!(%step, "written");
            done.push((step, old));
        }
        Ok(())
    }
}

fn put_back(tree: &mut impl Tree, before: &Before, done: &[(&Step, Option<String>)]) -> Vec<Left> {
    // Errors on the way are not kept: what they leave behind is found at the end.
    for (step, old) in done.iter().rev() {
        let _ = match (step, old) {
            (Step::Set { path, .. }, Some(old)) => tree.write(path, old),
            (Step::Bind { driver, name }, _) => tree.write(&format!("drivers/{driver}/unbind"), name),
            (Step::Set { .. }, None) | (Step::Unbind { .. }, _) => Ok(()),
        };
    }
    for _ in 0..ROUNDS_MAX {
        let mut changes = before.differing(tree);
        if changes.is_empty() {
            break;
        }
        order::sort(&mut changes);
        for change in &changes {
            restore(tree, change);
        }
    }
    let mut left = enable_again(tree, done);
    left.extend(before.differing(tree).into_iter().map(|change| Left {
        path: change.path,
        was: change.new,
        is: change.old,
    }));
    left
}

/// Writes a value back. A threshold of 0 cannot be written, but comes with the other mode.
fn restore(tree: &mut impl Tree, change: &Change) {
    let queue = change.path.strip_suffix("/threshold").filter(|_| change.new == "0");
    let Some(queue) = queue else {
        let _ = tree.write(&change.path, &change.new);
        return;
    };
    let mode = format!("{queue}/mode");
    if let Ok(kept) = tree.read(&mode) {
        let _ = tree.write(&mode, "dedicated");
        let _ = tree.write(&mode, &kept);
    }
}

/// Enables what was disabled, devices before their queues.
fn enable_again(tree: &mut impl Tree, done: &[(&Step, Option<String>)]) -> Vec<Left> {
    let mut left = Vec::new();
    for (step, _) in done.iter().rev() {
        let Step::Unbind { driver, name } = step else { continue };
        let path = format!("drivers/{driver}/bind");
        if tree.write(&path, name).is_err() {
            left.push(Left { path, was: format!("{name} enabled"), is: None });
        }
    }
    left
}
