//! What a guest begins with: Debian's tools and modules, and our own programs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::guest::archive::Archive;
use crate::guest::boot_kernel::BootKernel;
use crate::guest::modules::{self, Module};
use crate::guest::packages::Packages;
use crate::guest::programs::{Programs, repository, stripped};
use crate::program;

/// Debian's part, of which a new kernel or other tools make a new one.
#[derive(Debug)]
pub(crate) struct Image {
    base: Vec<u8>,
    /// Modules by name, and where they are in the guest.
    modules: Vec<(String, String)>,
}

/// Programs of Debian with the libraries they ask for.
const PROGRAMS: &[&str] = &["usr/bin/accel-config", "usr/bin/bash", "usr/libexec/accel-config/test"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Everything in `LIBRARIES` whose name begins so.
const WANTED_LIBRARIES: &[&str] = &[
    "ld-linux",
    "libaccel-config",
    "libc.so",
    "libcrypto",
    "libdl.so",
    "libexpat",
    "libgcc_s",
    "libjson-c",
    "libm.so",
    "libpthread",
    "libssl",
    "libtinfo",
    "libuuid",
    "libz.so",
    "libzstd",
];

fn here(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path: path.clone(), source }
}

impl Image {
    /// Puts Debian's part together, with the kernel's modules.
    pub(crate) fn new(packages: &Packages, kernel: &BootKernel) -> Result<Self, Error> {
        let tree = &packages.tree;
        let mut archive = Archive::new();
        for directory in ["dev", "proc", "sys", "tmp", "etc", "usr/bin", "usr/lib"] {
            archive.directory(directory).map_err(here(tree))?;
        }
        // The first process's standard input and output; everything else comes with devtmpfs.
        archive.device("dev/console", 5, 1).map_err(here(tree))?;
        for (link, target) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/bin"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib"),
            ("usr/lib64", "lib"),
        ] {
            archive.link(link, target).map_err(here(tree))?;
        }
        archive
            .file("etc/passwd", 0o644, b"root::0:0::/:/bin/sh\nuser::1000:1000::/:/bin/sh\n")
            .map_err(here(tree))?;
        archive.file("etc/group", 0o644, b"root::0:\nuser::1000:\n").map_err(here(tree))?;
        for program in PROGRAMS {
            copy(&mut archive, tree, Path::new(program))?;
        }
        python(&mut archive, tree)?;
        libraries(&mut archive, tree)?;
        busybox(&mut archive, tree)?;
        scripts(&mut archive)?;
        let mut found = Vec::new();
        if let Some(directory) = &kernel.modules {
            // svala doctor asks it. Kernels that are built here say it themselves.
            let config = directory.join("config");
            if config.is_file() {
                let bytes = fs::read(&config).map_err(here(&config))?;
                let name = format!("usr/lib/modules/{}/config", kernel.release);
                archive.file(&name, 0o644, &bytes).map_err(here(&config))?;
            }
            found = modules::collect(directory)?;
        }
        let names = add_modules(&mut archive, &kernel.release, &found).map_err(here(tree))?;
        let base = archive.finish().map_err(here(tree))?;
        Ok(Self { base, modules: names })
    }

    /// The modules of this name and what they need, in the order in which they are loaded.
    pub(crate) fn modules(&self) -> &[(String, String)] {
        &self.modules
    }

    /// Writes Debian's part and ours to a file.
    ///
    /// `modules` are of this kernel, and not Debian's.
    pub(crate) fn write(
        &self,
        programs: &Programs,
        modules: &[PathBuf],
        job: &[u8],
        to: &Path,
    ) -> Result<PathBuf, Error> {
        let mut archive = Archive::new();
        let guest = stripped(&programs.guest)?;
        archive.file("init", 0o755, &guest).map_err(here(to))?;
        archive.link("usr/bin/svala-guest", "/init").map_err(here(to))?;
        archive.file("usr/bin/svala", 0o755, &stripped(&programs.svala)?).map_err(here(to))?;
        archive.file("usr/bin/hardware", 0o755, &stripped(&programs.hardware)?).map_err(here(to))?;
        archive.file("job.json", 0o644, job).map_err(here(to))?;
        for module in modules {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(module).map_err(here(module))?;
            archive.file(&format!("usr/lib/modules/extra/{name}"), 0o644, &bytes).map_err(here(to))?;
        }
        let own = archive.finish().map_err(here(to))?;
        // The kernel reads one archive after the other, each from a multiple of four bytes.
        let mut all = self.base.clone();
        all.resize(all.len().next_multiple_of(512), 0);
        all.extend(own);
        fs::write(to, all).map_err(Error::io(to))?;
        Ok(to.to_owned())
    }
}

/// A file, or a directory with all that is in it.
fn copy(archive: &mut Archive, tree: &Path, path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let from = tree.join(path);
    let name = path.to_string_lossy();
    let facts = fs::symlink_metadata(&from).map_err(here(&from))?;
    if facts.is_symlink() {
        let target = fs::read_link(&from).map_err(here(&from))?;
        return archive.link(&name, &target.to_string_lossy()).map_err(here(&from));
    }
    if facts.is_dir() {
        for entry in fs::read_dir(&from).map_err(here(&from))? {
            copy(archive, tree, &path.join(entry.map_err(here(&from))?.file_name()))?;
        }
        return Ok(());
    }
    let bytes = fs::read(&from).map_err(here(&from))?;
    archive.file(&name, facts.permissions().mode() & 0o777, &bytes).map_err(here(&from))
}

/// The interpreter that `python3` is a link to, and its library. It is a judge of streams.
fn python(archive: &mut Archive, tree: &Path) -> Result<(), Error> {
    let link = Path::new("usr/bin/python3");
    let name = fs::read_link(tree.join(link)).map_err(here(link))?;
    copy(archive, tree, link)?;
    copy(archive, tree, &Path::new("usr/bin").join(&name))?;
    copy(archive, tree, &Path::new("usr/lib").join(&name))
}

fn libraries(archive: &mut Archive, tree: &Path) -> Result<(), Error> {
    let directory = tree.join(LIBRARIES);
    for entry in fs::read_dir(&directory).map_err(here(&directory))? {
        let name = entry.map_err(here(&directory))?.file_name();
        let text = name.to_string_lossy();
        if WANTED_LIBRARIES.iter().any(|wanted| text.starts_with(wanted)) {
            copy(archive, tree, &Path::new(LIBRARIES).join(&name))?;
        }
    }
    // The program interpreter's name is part of every program.
    archive
        .link("usr/lib/ld-linux-x86-64.so.2", "x86_64-linux-gnu/ld-linux-x86-64.so.2")
        .map_err(here(&directory))
}

fn busybox(archive: &mut Archive, tree: &Path) -> Result<(), Error> {
    let file = ["usr/bin/busybox", "bin/busybox"]
        .map(|name| tree.join(name))
        .into_iter()
        .find(|file| file.is_file());
    let file =
        file.ok_or_else(|| Error::Unexpected { path: tree.into(), what: "no busybox in it".into() })?;
    let bytes = fs::read(&file).map_err(here(&file))?;
    archive.file("usr/bin/busybox", 0o755, &bytes).map_err(here(&file))?;
    let names = program::output(Command::new(&file).arg("--list"))?;
    for name in String::from_utf8_lossy(&names).lines().filter(|&name| name != "busybox" && name != "bash") {
        archive.link(&format!("usr/bin/{name}"), "busybox").map_err(here(&file))?;
    }
    Ok(())
}

/// Ours, from the repository, to `/scripts`.
fn scripts(archive: &mut Archive) -> Result<(), Error> {
    let directory = repository().join("kernel-support/guest/scripts");
    for entry in fs::read_dir(&directory).map_err(here(&directory))? {
        let file = entry.map_err(here(&directory))?.path();
        let bytes = fs::read(&file).map_err(here(&file))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("scripts/{name}"), 0o755, &bytes).map_err(here(&file))?;
    }
    Ok(())
}

fn add_modules(
    archive: &mut Archive,
    release: &str,
    modules: &[Module],
) -> io::Result<Vec<(String, String)>> {
    let directory = format!("usr/lib/modules/{release}");
    let mut names = Vec::new();
    for module in modules {
        let place = format!("{directory}/{}", module.place);
        archive.file(&place, 0o644, &module.bytes)?;
        names.push((module.name.clone(), format!("/{place}")));
    }
    archive.file(&format!("{directory}/modules.dep"), 0o644, modules::dependency_file(modules).as_bytes())?;
    Ok(names)
}
