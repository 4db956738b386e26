//! The Debian sid root: `$SVALA_SID`, else `sid` in the cache.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Variant;
use crate::cache::Cache;
use crate::error::Error;
use crate::sources::checksums;

/// What is installed in it: a kernel's source, what it is built with, and what it is run in.
const PACKAGES: &str = "linux-source-7.2 make gcc libc6-dev rustc rust-src rustfmt rust-clippy bindgen clang lld llvm \
    flex bison bc libelf-dev libssl-dev cpio libcap-dev perl python3 xz-utils patch kmod diffutils \
    qemu-system-x86 qemu-system-data seabios busybox-static";

/// A root that kernels can be built in.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
}

fn place(cache: &Cache) -> PathBuf {
    std::env::var_os("SVALA_SID").map_or_else(|| cache.root().join("sid"), PathBuf::from)
}

/// This repository.
pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Root {
    /// # Errors
    ///
    /// [`Error::Missing`] when it is not there, or not whole.
    pub(crate) fn open(cache: &Cache) -> Result<Self, Error> {
        let path = place(cache);
        let tools = ["usr/bin/rustc", "usr/bin/bindgen", "usr/bin/clang", "usr/bin/qemu-system-x86_64"];
        let whole = tools.iter().all(|tool| path.join(tool).exists()) && source(&path).is_some();
        if !whole {
            return Err(Error::missing(
                format!("a Debian sid root with a kernel's source and tools, {}", path.display()),
                "cargo xtask guest kernel --prepare",
            ));
        }
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if !is_root {
            return Err(Error::missing("the right to change root", "the same as root"));
        }
        let root = Self { path };
        root.mount_proc()?;
        Ok(root)
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] without debootstrap; whatever debootstrap and apt say.
    pub(crate) fn prepare(cache: &Cache) -> Result<(), Error> {
        let path = place(cache);
        if !path.join("usr/bin/apt-get").exists() {
            let debootstrap = run(Command::new("debootstrap")
                .args(["--variant=minbase", "--include=ca-certificates", "sid"])
                .arg(&path));
            if let Err(Error::Start { .. }) = debootstrap {
                return Err(Error::missing("debootstrap", "apt-get install debootstrap"));
            }
            debootstrap?;
        }
        let root = Self { path };
        root.mount_proc()?;
        // A mirror that is kept for reproducible builds may be older than its signature's date allows.
        let apt = "apt-get -q -o Acquire::Check-Valid-Until=false";
        let install = format!("{apt} update && {apt} install -y --no-install-recommends {PACKAGES}");
        run(root.command("sh").env("DEBIAN_FRONTEND", "noninteractive").args(["-c", &install]))
    }

    /// A file inside.
    pub(crate) fn file(&self, inside: &str) -> PathBuf {
        self.path.join(inside.trim_start_matches('/'))
    }

    /// A program that runs QEMU of the root, with its libraries, outside of it: no root's rights are needed for that.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be written.
    pub(crate) fn qemu(&self, to: &Path) -> Result<(), Error> {
        let inside = |path: &str| self.file(path).display().to_string();
        let text = format!(
            "#!/bin/sh\nexec '{}' --library-path '{}' '{}' \"$@\"\n",
            inside("/lib64/ld-linux-x86-64.so.2"),
            inside("/usr/lib/x86_64-linux-gnu"),
            inside("/usr/bin/qemu-system-x86_64")
        );
        fs::write(to, text).map_err(Error::io(to))?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).map_err(Error::io(to))
    }

    /// Where its QEMU finds firmware.
    pub(crate) fn firmware(&self) -> [PathBuf; 2] {
        ["qemu", "seabios"].map(|name| self.file("/usr/share").join(name))
    }

    /// A program inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.path).arg(program).stdin(Stdio::null());
        command
    }

    fn mount_proc(&self) -> Result<(), Error> {
        if self.file("proc/self").exists() {
            return Ok(());
        }
        run(Command::new("mount").args(["-t", "proc", "proc"]).arg(self.file("proc")))
    }

    /// Brings in what is built. Returns the directory inside.
    pub(super) fn bring(&self) -> Result<&'static str, Error> {
        let inside = "/build/in";
        let to = self.file(inside);
        if to.exists() {
            fs::remove_dir_all(&to).map_err(Error::io(&to))?;
        }
        let from = repository().join("kernel-support");
        copy(&from.join("core/src"), &to.join("core"))?;
        copy(&from.join("linux"), &to.join("linux"))?;
        copy(&from.join("guest/tier2"), &to.join("tier2"))?;
        Ok(inside)
    }

    /// Builds a variant, and what runs in its guest. Returns the image.
    ///
    /// # Errors
    ///
    /// What the build says.
    pub(crate) fn build(&self, variant: Variant) -> Result<PathBuf, Error> {
        let inside = self.bring()?;
        self.build_brought(variant, inside)
    }

    /// As [`Self::build`], of what was brought in before.
    pub(super) fn build_brought(&self, variant: Variant, inside: &str) -> Result<PathBuf, Error> {
        let sources = sources()?;
        run(self.script(inside, variant.name()).stdout(Stdio::null()))?;
        let of = self.file(&built_of(variant));
        fs::write(&of, sources).map_err(Error::io(&of))?;
        Ok(self.file(&image(variant)))
    }

    /// `build.sh` of what was brought in, for a variant or a step.
    pub(super) fn script(&self, inside: &str, what: &str) -> Command {
        let mut command = self.command("sh");
        command.args([&format!("{inside}/linux/build.sh"), inside, what]);
        command
    }

    /// Whether a variant was built of the sources that are here now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if those cannot be read.
    pub(crate) fn is_current(&self, variant: Variant) -> Result<bool, Error> {
        let of = fs::read_to_string(self.file(&built_of(variant))).unwrap_or_default();
        Ok(of == sources()?)
    }

    /// Whether a variant was built once.
    pub(crate) fn is_built(&self, variant: Variant) -> bool {
        self.file(&image(variant)).is_file()
    }
}

/// What says what a variant's image was built of, inside.
fn built_of(variant: Variant) -> String {
    format!("/build/o-{}/svala.of", variant.name())
}

/// What a build is made of, file by file.
fn sources() -> Result<String, Error> {
    checksums(&["kernel-support/core/src", "kernel-support/linux", "kernel-support/guest/tier2"])
}

/// A variant's image, inside.
pub(crate) fn image(variant: Variant) -> String {
    format!("/build/o-{}/arch/x86/boot/bzImage", variant.name())
}

/// What its modules are installed under, inside.
pub(crate) fn installed(variant: Variant) -> String {
    format!("/build/o-{}/installed", variant.name())
}

/// The newest source package of the series that is known to work.
fn source(root: &Path) -> Option<PathBuf> {
    let directory = fs::read_dir(root.join("usr/src")).ok()?;
    let names = directory.flatten().map(|entry| entry.path());
    names.filter(|path| path.file_name().is_some_and(|name| is_source(&name.to_string_lossy()))).max()
}

fn is_source(name: &str) -> bool {
    name.starts_with("linux-source-7.") && name.ends_with(".tar.xz")
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).map_err(Error::io(&from))?;
        }
    }
    Ok(())
}

/// Runs it; what it says on standard error is shown.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| Error::Start { program, source })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Program { program: format!("{command:?}"), status, output: String::new() })
}

#[cfg(test)]
mod tests {
    use super::is_source;

    #[test]
    fn only_the_series_that_works_is_a_source() {
        assert!(is_source("linux-source-7.2.tar.xz"));
        assert!(!is_source("linux-source-6.12.tar.xz"));
        assert!(!is_source("linux-patch-7.2-rt.patch.xz"));
    }
}
