//! The patches in mailing-list form: one commit a step, on the pristine files.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::root::{Root, repository, run};
use crate::error::Error;

/// Steps, in order: subject, why, and what of the patched tree is in it.
const STEPS: [(&str, &str, &[&str]); 4] = [
    (
        "iommu: let attach handles live outside iommu.c",
        "The order of the steps of an attach, a replacement and a detach moves\n\
         out; what each step does to a group stays. Nothing changes unless\n\
         CONFIG_IOMMU_IOPF_RUST is set.",
        &["drivers/iommu/iommu.c"],
    ),
    (
        "iommu: decisions of the page fault path, in Rust",
        "Pure code: no unsafe, no allocation of its own, no kernel API. It is\n\
         compiled into user space programs too, and tested there with a model\n\
         checker.",
        &["drivers/iommu/iopf/sva_core"],
    ),
    (
        "iommu: IO page faults, SVA and attach handles in Rust",
        "Behind the functions there are, chosen by CONFIG_IOMMU_IOPF_RUST.",
        &[
            "drivers/iommu/iopf",
            "drivers/iommu/Kconfig",
            "drivers/iommu/Makefile",
            "rust/bindings/bindings_helper.h",
        ],
    ),
    (
        "iommufd/selftest: a mock device that shares address spaces",
        "The selftests never reached SVA binds, partial groups, overflow or\n\
         response codes.",
        &["drivers/iommu/iommufd"],
    ),
];

const SIGNED: &str = "Signed-off-by: svala maintainers <maintainers@svala.invalid>";

/// Writes them. Returns the directory of what they were made of, inside.
///
/// # Errors
///
/// What git says, or the system.
pub(super) fn write(root: &Root, directory: &Path) -> Result<&'static str, Error> {
    let inside = root.bring()?;
    run(&mut root.script(inside, "patch"))?;
    let work = root.file("/build/series");
    if work.exists() {
        fs::remove_dir_all(&work).map_err(Error::io(&work))?;
    }
    fs::create_dir_all(&work).map_err(Error::io(&work))?;
    fs::create_dir_all(directory).map_err(Error::io(directory))?;
    let directory = directory.canonicalize().map_err(Error::io(directory))?;
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&work).args(["-c", "user.name=svala maintainers"]);
        command.args(["-c", "user.email=maintainers@svala.invalid"]).args(args);
        run(&mut command)
    };
    git(&["init", "-q", "-b", "series"])?;
    take(&root.file("/build/orig"), &work, ".")?;
    git(&["add", "-A"])?;
    git(&["commit", "-q", "-m", "linux-source-7.2"])?;
    git(&["tag", "pristine"])?;
    for (subject, why, paths) in STEPS {
        for path in paths {
            take(&root.file("/build/patched"), &work, path)?;
            git(&["add", "-A", path])?;
        }
        git(&["commit", "-q", "-m", &format!("{subject}\n\n{why}\n\n{SIGNED}")])?;
    }
    let out = directory.display().to_string();
    git(&["format-patch", "-q", "--cover-letter", "-o", &out, "pristine"])?;
    cover(&directory)?;
    Ok(inside)
}

/// Puts the letter into the cover that git made.
fn cover(directory: &Path) -> Result<(), Error> {
    let path = directory.join("0000-cover-letter.patch");
    let letter = repository().join("kernel-support/linux/cover-letter.txt");
    let made = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let text = fs::read_to_string(&letter).map_err(Error::io(&letter))?;
    let (subject, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let made =
        made.replace("*** SUBJECT HERE ***", subject.trim()).replace("*** BLURB HERE ***", body.trim());
    fs::write(&path, made).map_err(Error::io(&path))
}

fn take(from: &Path, to: &Path, path: &str) -> Result<(), Error> {
    let target = to.join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    let mut source = from.join(path);
    if source.is_dir() {
        fs::create_dir_all(&target).map_err(Error::io(&target))?;
        source.push(".");
    }
    run(Command::new("cp").arg("-r").arg(&source).arg(&target))
}
