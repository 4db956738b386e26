//! Debian's packages: kernel, modules, tools, firmware. Got by apt with a configuration of its own, unpacked, never
//! installed; neither needs root.
//!
//! They come from Debian's unstable distribution, from the mirror that the machine's own apt uses. Old versions vanish
//! from there, so none is asked for by number: the newest are taken, apt checks Debian's signature on them, and what was
//! taken is written down beside them and kept until it is deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::Cache;
use crate::error::{Error, chain};
use crate::guest::boot_kernel::only_entry;
use crate::program;

/// The kernel is named by this one.
const KERNEL: &str = "linux-image-amd64";

/// Everything else.
const TOOLS: &[&str] = &[
    "accel-config",
    "accel-config-test",
    "bash",
    "busybox-static",
    "libaccel-config1",
    "libc6",
    "libexpat1",
    "libgcc-s1",
    "libjson-c5",
    "libssl3t64",
    "libtinfo6",
    "libuuid1",
    "libzstd1",
    "python3-minimal",
    "qemu-system-data",
    "seabios",
    "zlib1g",
];

const KEYRINGS: &[&str] =
    &["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

/// Written last.
const MANIFEST: &str = "packages.txt";

/// The unpacked packages.
#[derive(Debug)]
pub(crate) struct Packages {
    /// As if they were installed here.
    pub(crate) tree: PathBuf,
    /// The kernel's version, as `7.2.13+deb14-amd64`.
    pub(crate) release: String,
}

impl Packages {
    /// Those of the cache, or new ones.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if they cannot be got.
    pub(crate) fn get(cache: &Cache) -> Result<Self, Error> {
        let place = cache.dir("guest/packages")?;
        if !is_whole(&place.join(MANIFEST)) {
            fetch(&place)?;
        }
        let tree = place.join("tree");
        Ok(Self { release: only_entry(&tree.join("usr/lib/modules"))?, tree })
    }

    /// Where the modules are.
    pub(crate) fn modules(&self) -> PathBuf {
        self.tree.join("usr/lib/modules").join(&self.release)
    }

    /// Directories with what QEMU loads.
    pub(crate) fn firmware(&self) -> [PathBuf; 2] {
        ["qemu", "seabios"].map(|name| self.tree.join("usr/share").join(name))
    }
}

/// Whether everything was got, also what was not asked for once.
fn is_whole(manifest: &Path) -> bool {
    fs::read_to_string(manifest).is_ok_and(|text| {
        let names: Vec<_> = text.lines().filter_map(|line| line.split([' ', '_']).nth(1)).collect();
        TOOLS.iter().all(|tool| names.contains(tool))
    })
}

/// apt with nothing of the machine's but its way to the network.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// `kind` is `deb` or `deb-src`, with options of its own in front of the mirror.
    fn new(place: &Path, kind: &str, own: &str) -> Result<Self, Error> {
        program::need("apt-get", "apt (on Debian)")?;
        program::need("dpkg-deb", "dpkg")?;
        let keyring = KEYRINGS.iter().find(|path| Path::new(path).is_file()).ok_or_else(|| {
            Error::missing("Debian's archive keyring", "apt-get install debian-archive-keyring")
        })?;
        let state = place.join("apt");
        for directory in ["lists/partial", "cache/archives/partial"] {
            let path = state.join(directory);
            fs::create_dir_all(&path).map_err(Error::io(&path))?;
        }
        let write = |name: &str, text: String| {
            let path = state.join(name);
            fs::write(&path, text).map_err(Error::io(&path)).map(|()| path)
        };
        let status = write("status", String::new())?;
        let mirror = mirror()?;
        let source = format!("{kind} [signed-by={keyring}{own}] {mirror} sid main\n");
        let sources = write("sources.list", source)?;
        let state = state.display();
        let options = [
            format!("Dir::State={state}"),
            format!("Dir::State::lists={state}/lists"),
            format!("Dir::State::status={}", status.display()),
            format!("Dir::Cache={state}/cache"),
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::Etc::preferences=/dev/null".into(),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            "APT::Architecture=amd64".into(),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
            // A mirror that stands still is good enough: what counts is that the packages are Debian's.
            "Acquire::Check-Valid-Until=false".into(),
            // It may be root's directory.
            "APT::Sandbox::User=root".into(),
        ];
        Ok(Self { options: options.to_vec() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").args(self.options.iter().flat_map(|option| ["-o", option]));
        command
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<String, Error> {
        let output = program::output(self.command(program).args(arguments)).map_err(unreachable)?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// What a package depends on.
    fn depends(&self, package: &str) -> Result<Vec<String>, Error> {
        let text = self.output("apt-cache", &["depends", "--important", package])?;
        let kinds = ["Depends", "PreDepends"];
        let depends = text.lines().filter_map(|line| line.trim().split_once(": "));
        Ok(depends.filter(|(kind, _)| kinds.contains(kind)).map(|(_, name)| name.to_owned()).collect())
    }
}

/// What apt says is no failure of ours: the packages are not to be had here and now.
fn unreachable(error: Error) -> Error {
    Error::missing(
        format!("Debian's packages ({})", chain(&error).replace('\n', "; ")),
        "a network that reaches a Debian mirror; SVALA_DEBIAN_MIRROR names another one",
    )
}

/// `$SVALA_DEBIAN_MIRROR`, else the first mirror of Debian itself that the machine's apt knows.
fn mirror() -> Result<String, Error> {
    if let Some(mirror) = std::env::var("SVALA_DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty()) {
        return Ok(mirror);
    }
    let known = program::output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]));
    let known = String::from_utf8_lossy(&known?).into_owned();
    known.lines().find(|line| line.trim_end_matches('/').ends_with("/debian")).map(str::to_owned).ok_or_else(
        || {
            Error::missing(
                "a mirror of Debian in apt's sources",
                "set SVALA_DEBIAN_MIRROR to the address of one",
            )
        },
    )
}

/// Downloads a source package, `name=version`, into a directory.
///
/// # Errors
///
/// [`Error::Missing`] if it cannot be got.
pub(crate) fn source(package: &str, directory: &Path) -> Result<(), Error> {
    let apt = Apt::new(directory, "deb-src", "")?;
    apt.output("apt-get", &["update", "-qq"])?;
    let mut download = apt.command("apt-get");
    program::output(download.args(["source", "-qq", "--download-only", package]).current_dir(directory))
        .map(drop)
        .map_err(unreachable)
}

/// The Python that `python3-minimal` stands for, and its library.
fn interpreter(apt: &Apt) -> Result<Vec<String>, Error> {
    let of = |package: &str, prefix: &str| -> Result<Option<String>, Error> {
        let mut names = apt.depends(package)?.into_iter();
        Ok(names.find(|name| name.starts_with(prefix) && name.ends_with("-minimal")))
    };
    let missing =
        || Error::missing("the Python that python3-minimal stands for", "another SVALA_DEBIAN_MIRROR");
    let program = of("python3-minimal", "python3.")?.ok_or_else(missing)?;
    let library = of(&program, "libpython3.")?.ok_or_else(missing)?;
    Ok(vec![program, library])
}

fn fetch(place: &Path) -> Result<(), Error> {
    eprintln!("getting Debian's packages (once, about 140 MB)");
    let apt = Apt::new(place, "deb", " target=Packages arch=amd64")?;
    apt.output("apt-get", &["update", "-qq"])?;
    let prefix = "linux-image-";
    let depends = apt.depends(KERNEL)?;
    let image = depends.iter().find(|name| name.starts_with(prefix)).ok_or_else(|| {
        Error::missing(format!("the kernel that {KERNEL} stands for"), "another SVALA_DEBIAN_MIRROR")
    })?;
    let parts = ["linux-base-", "linux-binary-", "linux-modules-"];
    let wanted = |name: &String| parts.iter().any(|part| name.starts_with(part));
    let mut names: Vec<_> = apt.depends(image)?.into_iter().filter(wanted).collect();
    if names.is_empty() {
        // Before they were split, the package itself had everything.
        names.push(image.clone());
    }
    names.extend(TOOLS.iter().map(|&name| name.to_owned()));
    names.extend(interpreter(&apt)?);
    let debs = place.join("debs");
    let tree = place.join("tree");
    for directory in [&debs, &tree] {
        if directory.is_dir() {
            fs::remove_dir_all(directory).map_err(Error::io(directory))?;
        }
        fs::create_dir_all(directory).map_err(Error::io(directory))?;
    }
    let mut download = apt.command("apt-get");
    program::output(download.args(["download", "-qq"]).args(&names).current_dir(&debs))
        .map_err(unreachable)?;
    let mut manifest = String::new();
    let entries = fs::read_dir(&debs).map_err(Error::io(&debs))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for file in &files {
        program::output(Command::new("dpkg-deb").arg("-x").arg(file).arg(&tree))?;
        let sum = program::output(Command::new("sha256sum").arg(file))?;
        let sum = String::from_utf8_lossy(&sum);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        manifest += &format!("{} {name}\n", sum.split(' ').next().unwrap_or("?"));
    }
    // Unpacked they are 600 MB; the archives are not needed any more.
    fs::remove_dir_all(&debs).map_err(Error::io(&debs))?;
    let path = place.join(MANIFEST);
    fs::write(&path, manifest).map_err(Error::io(path))
}
