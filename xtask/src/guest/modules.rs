//! The kernel's modules, with what they depend on, out of Debian's package.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::program;

/// The driver, the user of IAA in the kernel with what it falls back to, and what accel-config's scripts load.
const WANTED: &[&str] = &["idxd_bus", "idxd", "iaa_crypto", "deflate", "vfio_pci", "vfio_iommu_type1"];

/// A module that belongs into the image.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    /// With underscores, as the kernel calls it.
    pub(crate) name: String,
    /// Below `/usr/lib/modules/VERSION`, uncompressed.
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
    /// What must be loaded before.
    pub(crate) depends: Vec<String>,
}

/// Names to files, of all modules of a kernel.
fn index(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
        let path = entry.map_err(Error::io(directory))?.path();
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some((name, _)) =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once(".ko"))
        {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// The wanted ones of those in `directory`, which are of one version, each behind what it depends on. One that this kernel does
/// not have is left out.
pub(crate) fn collect(directory: &Path) -> Result<Vec<Module>, Error> {
    let mut files = BTreeMap::new();
    index(&directory.join("kernel"), &mut files)?;
    let mut found = Vec::new();
    for name in WANTED {
        add(name, directory, &files, &mut found)?;
    }
    Ok(found)
}

fn add(
    name: &str,
    directory: &Path,
    files: &BTreeMap<String, PathBuf>,
    found: &mut Vec<Module>,
) -> Result<(), Error> {
    if found.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let Some(file) = files.get(name) else { return Ok(()) };
    let bytes = unpacked(file)?;
    let depends = depends(&bytes);
    for other in &depends {
        add(other, directory, files, found)?;
    }
    let place = file.strip_prefix(directory).unwrap_or(file).display().to_string();
    let place = place.trim_end_matches(".xz").trim_end_matches(".zst").to_owned();
    found.push(Module { name: name.to_owned(), place, bytes, depends });
    Ok(())
}

fn unpacked(file: &Path) -> Result<Vec<u8>, Error> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => {
            program::need("xz", "xz-utils")?;
            program::output(Command::new("xz").arg("-dc").arg(file))
        }
        Some("zst") => {
            program::need("zstd", "zstd")?;
            program::output(Command::new("zstd").arg("-dcq").arg(file))
        }
        _ => fs::read(file).map_err(Error::io(file)),
    }
}

/// What its `.modinfo` says: strings that end with zero, one of them `depends=a,b`.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else { return Vec::new() };
    let rest = &module[at + key.len()..];
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(0);
    let names = String::from_utf8_lossy(&rest[..end]).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `modules.dep`, for `modprobe`: what is loaded first stands last. `modules` has each behind what it depends on.
pub(crate) fn dependency_file(modules: &[Module]) -> String {
    let mut text = String::new();
    for module in modules {
        let mut all = BTreeSet::new();
        let mut names = module.depends.clone();
        while let Some(name) = names.pop() {
            if let Some(at) = modules.iter().position(|other| other.name == name)
                && all.insert(at)
            {
                names.extend(modules[at].depends.clone());
            }
        }
        let places: Vec<_> = all.iter().rev().map(|&at| modules[at].place.as_str()).collect();
        text += &format!("{}: {}\n", module.place, places.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on_is_in_its_information() {
        let module = b"\x7fELF..\0license=GPL\0depends=idxd,idxd-bus\0name=iaa_crypto\0";
        assert_eq!(depends(module), ["idxd", "idxd_bus"]);
        assert!(depends(b"\0depends=\0").is_empty());
        assert!(depends(b"nothing").is_empty());
    }

    #[test]
    fn the_dependency_file_has_all_there_is_below() {
        let module = |name: &str, depends: &[&str]| Module {
            name: name.into(),
            place: format!("kernel/{name}.ko"),
            bytes: Vec::new(),
            depends: depends.iter().map(|&name| name.to_owned()).collect(),
        };
        let modules = [module("bus", &[]), module("idxd", &["bus"]), module("iaa", &["idxd", "bus"])];
        let text = dependency_file(&modules);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "kernel/bus.ko: ",
                "kernel/idxd.ko: kernel/bus.ko",
                "kernel/iaa.ko: kernel/idxd.ko kernel/bus.ko"
            ]
        );
    }
}
