//! `guest qemu`: a QEMU with the device in it, from a source archive.
//!
//! The archive is the one the patches in `kernel-support/qemu/series` are made for, known by its checksum. It is looked
//! for in [`SOURCE`], in the cache, and at last with apt. Unpacked, patched and configured once for a series, it is
//! linked again, in seconds, when the shim or the model changes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;

use crate::cache::Cache;
use crate::error::{Error, chain};
use crate::guest::packages;
use crate::sources::checksums;

/// The release, as Debian names it.
const RELEASE: &str = "10.2.2";
/// The version that apt is asked for.
const APT_VERSION: &str = "qemu=1:10.2.2+ds-1";
/// The archive.
const ARCHIVE: &str = "qemu_10.2.2+ds.orig.tar.xz";
/// Its SHA-256.
const ARCHIVE_SHA256: &str = "be05230fe47a6937cd29f28f562932c8125f9c93c2a82c625198f7a4aa601dfb";
/// The variable that says where the archive is.
const SOURCE: &str = "SVALA_QEMU_SOURCE";
/// What the build takes of Debian, beyond a C compiler.
const PACKAGES: &str = "gcc ninja-build pkgconf libglib2.0-dev zlib1g-dev python3-venv patch xz-utils";
/// What of this repository is in it.
const SOURCES: &[&str] = &[
    "drivers/idxd/emu/src",
    "drivers/idxd/spec/src",
    "drivers/software/src",
    "kernel-support/core/src",
    "kernel-support/qemu/include",
    "kernel-support/qemu/series",
    "kernel-support/qemu/shim",
    "kernel-support/qemu/src",
];
/// What takes the place of a Meson that is too old (`pythondeps.toml` of the archive).
const MESON: [&str; 2] = ["meson==1.9.0", "pycotap==1.3.1"];
/// Everything that is not needed for a machine with the device is off.
const CONFIGURE: [&str; 14] = [
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--without-default-devices",
    "--with-devices-x86_64=idxd",
    "--enable-system",
    "--enable-tcg",
    "--disable-user",
    "--disable-tools",
    "--disable-docs",
    "--disable-guest-agent",
    "--disable-werror",
    "--disable-fdt",
    "--disable-download",
    "--disable-install-blobs",
];

/// What `guest qemu` is told.
#[derive(Debug, Args)]
pub(crate) struct Qemu {
    /// The source archive, qemu_10.2.2+ds.orig.tar.xz [default: $SVALA_QEMU_SOURCE, the cache, apt-get source]
    #[arg(long)]
    source: Option<PathBuf>,
}

/// Builds it.
pub(crate) fn run(options: &Qemu) -> Result<ExitCode, Error> {
    let program = build(options, &Cache::open()?)?;
    println!("{}", program.display());
    Ok(ExitCode::SUCCESS)
}

/// The program: `$SVALA_QEMU`, else what `guest qemu` built.
///
/// # Errors
///
/// [`Error::Missing`] with the command that builds it.
pub(crate) fn program(cache: &Cache) -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("SVALA_QEMU") {
        return Ok(PathBuf::from(path));
    }
    let built = cache.root().join("qemu/qemu-system-x86_64");
    if built.is_file() {
        let sources = fs::read_to_string(built.with_extension("sources")).unwrap_or_default();
        if sources != checksums(SOURCES)? {
            eprintln!("QEMU was built of other sources than these; cargo xtask guest qemu builds it anew");
        }
        Ok(built)
    } else {
        Err(Error::missing(format!("QEMU with the device, {}", built.display()), "cargo xtask guest qemu"))
    }
}

/// Builds what of it is not up to date, and says where it is.
///
/// # Errors
///
/// [`Error::Missing`] for the archive, a program or a package; else what did not succeed.
pub(crate) fn build(options: &Qemu, cache: &Cache) -> Result<PathBuf, Error> {
    let root = cache.dir("qemu")?;
    let lock_path = root.join("lock");
    let lock = File::create(&lock_path).map_err(Error::io(&lock_path))?;
    lock.lock().map_err(Error::io(&lock_path))?;

    let device = device_dir();
    let archive = build_model(&device)?;
    let series = series(&device)?;
    let tree = Tree::new(&root, &series)?;
    let built = root.join("qemu-system-x86_64");
    let stamp = built.with_extension("of");
    let sources = built.with_extension("sources");
    let of = tree.of(&device, &archive)?;
    if built.is_file() && fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == of) {
        fs::write(&sources, checksums(SOURCES)?).map_err(Error::io(&sources))?;
        return Ok(built);
    }
    check_packages()?;
    tree.unpack(&series, || find_archive(options, &root))?;
    tree.take_device(&device, &archive)?;
    tree.configure(&root)?;
    tree.compile()?;
    let _ = fs::remove_file(&stamp);
    let stripped = root.join("qemu-system-x86_64.new");
    run_quietly(Command::new("strip").arg("-o").arg(&stripped).arg(tree.binary()))?;
    fs::rename(&stripped, &built).map_err(Error::io(&built))?;
    fs::write(&sources, checksums(SOURCES)?).map_err(Error::io(&sources))?;
    fs::write(&stamp, of).map_err(Error::io(&stamp))?;
    Ok(built)
}

/// `kernel-support/qemu` of the tree this program was built from.
fn device_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-support/qemu")
}

/// The model as a static library: cargo knows whether it is up to date.
fn build_model(device: &Path) -> Result<PathBuf, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "rustc",
        "--release",
        "--crate-type",
        "staticlib",
        "--message-format=json-render-diagnostics",
    ]);
    command.arg("--manifest-path").arg(device.join("Cargo.toml")).stderr(Stdio::inherit());
    let output = output_of(&mut command)?;
    // The file name is in a JSON string: no character of it needs an escape, or the name is not found.
    let name = output.split('"').rfind(|part| part.ends_with("libidxd_qemu.a"));
    name.map(PathBuf::from).filter(|path| path.is_file()).ok_or_else(|| Error::Unexpected {
        path: device.to_owned(),
        what: "cargo did not say where libidxd_qemu.a is".into(),
    })
}

/// The patches, in their order.
fn series(device: &Path) -> Result<Vec<PathBuf>, Error> {
    let dir = device.join("series");
    let entries = fs::read_dir(&dir).map_err(Error::io(&dir))?;
    let mut patches: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension() == Some(OsStr::new("patch")))
        .collect();
    patches.sort();
    Ok(patches)
}

/// The archive, from where it is first found, with the right checksum.
fn find_archive(options: &Qemu, root: &Path) -> Result<PathBuf, Error> {
    let named = options.source.clone().or_else(|| std::env::var_os(SOURCE).map(PathBuf::from));
    if let Some(path) = named {
        return checked(path);
    }
    let cached = root.join(ARCHIVE);
    if !cached.is_file() {
        let get = format!(
            "download {ARCHIVE} of {APT_VERSION} (Debian's source package of sid), and name it by {SOURCE} or --source"
        );
        eprintln!("getting the source of QEMU {RELEASE} (once, 40 MB)");
        packages::source(APT_VERSION, root).map_err(|error| {
            Error::missing(format!("the source of QEMU {RELEASE} ({})", chain(&error)), get)
        })?;
    }
    checked(cached)
}

fn checked(path: PathBuf) -> Result<PathBuf, Error> {
    let found = sha256_of_file(&path)?;
    if found == ARCHIVE_SHA256 {
        return Ok(path);
    }
    Err(Error::Unexpected { path, what: format!("SHA-256 {found}, that of {ARCHIVE} is {ARCHIVE_SHA256}") })
}

/// QEMU's source and build for one series.
struct Tree {
    dir: PathBuf,
    /// Of the archive and the patches.
    key: String,
}

impl Tree {
    fn new(root: &Path, series: &[PathBuf]) -> Result<Self, Error> {
        let mut content = ARCHIVE_SHA256.as_bytes().to_vec();
        for patch in series {
            content.extend(fs::read(patch).map_err(Error::io(patch))?);
        }
        for option in CONFIGURE {
            content.extend(option.as_bytes());
        }
        let key = sha256(&content)?;
        let dir = root.join(key.get(..16).unwrap_or(&key));
        Ok(Self { dir, key })
    }

    fn source(&self) -> PathBuf {
        self.dir.join(format!("qemu-{RELEASE}"))
    }

    fn build(&self) -> PathBuf {
        self.dir.join("build")
    }

    fn device(&self) -> PathBuf {
        self.dir.join("device")
    }

    fn binary(&self) -> PathBuf {
        self.build().join("qemu-system-x86_64")
    }

    /// What a program is made of, in words to compare.
    fn of(&self, device: &Path, archive: &Path) -> Result<String, Error> {
        let mut parts = vec![self.key.clone()];
        for file in DEVICE_FILES {
            parts.push(sha256_of_file(&device.join(file))?);
        }
        parts.push(sha256_of_file(archive)?);
        Ok(parts.join("\n"))
    }

    /// Unpacks and patches, unless that has been done.
    fn unpack(
        &self,
        series: &[PathBuf],
        archive: impl FnOnce() -> Result<PathBuf, Error>,
    ) -> Result<(), Error> {
        let done = self.dir.join("patched");
        if done.is_file() {
            return Ok(());
        }
        let archive = archive()?;
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).map_err(Error::io(&self.dir))?;
        }
        fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir))?;
        eprintln!("unpacking {} and applying {} patches", archive.display(), series.len());
        let mut tar = Command::new("tar");
        run_quietly(tar.arg("--no-same-owner").arg("-C").arg(&self.dir).arg("-xf").arg(archive))?;
        for file in series {
            let mut patch = Command::new("patch");
            patch.args(["-p1", "--fuzz=0", "--quiet", "-d"]).arg(self.source()).arg("-i");
            run_quietly(patch.arg(fs::canonicalize(file).map_err(Error::io(file))?))?;
        }
        fs::write(&done, "").map_err(Error::io(&done))
    }

    /// Puts the shim and the model where the build looks for them: always the same place, so that it need not be
    /// configured again.
    fn take_device(&self, device: &Path, archive: &Path) -> Result<(), Error> {
        for file in DEVICE_FILES {
            copy_if_changed(&device.join(file), &self.device().join(file))?;
        }
        if copy_if_changed(archive, &self.archive())? && self.binary().exists() {
            // Ninja does not know that the archive goes into it.
            fs::remove_file(self.binary()).map_err(Error::io(self.binary()))?;
        }
        Ok(())
    }

    fn archive(&self) -> PathBuf {
        self.device().join("libidxd_qemu.a")
    }

    /// Configures, unless that has been done.
    fn configure(&self, root: &Path) -> Result<(), Error> {
        let build = self.build();
        if build.join("build.ninja").is_file() {
            return Ok(());
        }
        let python = python(root)?;
        if build.exists() {
            fs::remove_dir_all(&build).map_err(Error::io(&build))?;
        }
        fs::create_dir_all(&build).map_err(Error::io(&build))?;
        eprintln!("configuring QEMU {RELEASE}");
        let mut configure = Command::new(self.source().join("configure"));
        configure.args(CONFIGURE).current_dir(&build);
        configure.arg(format!("--python={}", python.display()));
        configure.arg(format!("-Didxd_source={}", self.device().display()));
        configure.arg(format!("-Didxd_archive={}", self.archive().display()));
        run_quietly(&mut configure)
    }

    fn compile(&self) -> Result<(), Error> {
        eprintln!("compiling QEMU {RELEASE} in {}", self.build().display());
        run_quietly(Command::new("ninja").arg("-C").arg(self.build()).arg("qemu-system-x86_64"))
    }
}

/// What of `kernel-support/qemu` goes into QEMU beside the model.
const DEVICE_FILES: [&str; 2] = ["shim/idxd.c", "include/idxd-emu.h"];

/// Copies a file if it is another, and says whether it was.
fn copy_if_changed(from: &Path, to: &Path) -> Result<bool, Error> {
    let content = fs::read(from).map_err(Error::io(from))?;
    if fs::read(to).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
    }
    fs::write(to, content).map_err(Error::io(to))?;
    Ok(true)
}

/// Programs and libraries of the build.
fn check_packages() -> Result<(), Error> {
    let programs: [&[&str]; 8] = [
        &["cc", "--version"],
        &["ninja", "--version"],
        &["patch", "--version"],
        &["xz", "--version"],
        &["strip", "--version"],
        &["python3", "-c", "import venv, ensurepip"],
        &["pkg-config", "--exists", "glib-2.0"],
        &["pkg-config", "--exists", "zlib"],
    ];
    let succeeds = |words: &&&[&str]| {
        let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<_> =
        programs.iter().filter(|words| !succeeds(words)).map(|words| words.join(" ")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::missing(missing.join(", "), format!("apt-get install {PACKAGES}")))
}

/// A Python with a Meson that is new enough: the system's, else one of our own with Meson from PyPI.
fn python(root: &Path) -> Result<PathBuf, Error> {
    const NEW_ENOUGH: &str = "import pycotap, mesonbuild.coredata as m; \
                              exit(tuple(map(int, m.version.split('.')[:2])) < (1, 5))";
    let is_enough = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", NEW_ENOUGH]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let own = root.join("python/bin/python3");
    for python in [Path::new("/usr/bin/python3"), &own] {
        if is_enough(python) {
            return Ok(python.to_owned());
        }
    }
    eprintln!("installing {} from PyPI, for the build alone", MESON.join(" and "));
    run_quietly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(root.join("python")))?;
    let mut pip = Command::new(&own);
    run_quietly(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(MESON))
        .map_err(|_| {
            Error::missing(
                "Meson 1.5 or later",
                "apt-get install meson python3-pycotap, or let pip reach PyPI",
            )
        })?;
    Ok(own)
}

fn sha256(content: &[u8]) -> Result<String, Error> {
    let start = |source| Error::Start { program: "sha256sum".into(), source };
    let mut command = Command::new("sha256sum");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(content).map_err(start)?;
    }
    let output = child.wait_with_output().map_err(start)?;
    Ok(first_word(&output.stdout))
}

fn sha256_of_file(path: &Path) -> Result<String, Error> {
    fs::metadata(path).map_err(Error::io(path))?;
    Ok(first_word(output_of(Command::new("sha256sum").arg("--").arg(path))?.as_bytes()))
}

fn first_word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .trim_start_matches('\\')
        .into()
}

/// Runs a program, and shows what it said only if it failed.
fn run_quietly(command: &mut Command) -> Result<(), Error> {
    command.stderr(Stdio::piped());
    output_of(command).map(drop)
}

/// What a program writes to its standard output.
fn output_of(command: &mut Command) -> Result<String, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .output()
        .map_err(|source| Error::Start { program: name, source })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(Error::Program {
        program: format!("{command:?}"),
        status: output.status,
        output: text(&output.stdout) + &text(&output.stderr),
    })
}
