//! The kernel that a guest boots: Debian's, or one that was built here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::guest::dmatest;
use crate::guest::packages::Packages;
use crate::kernel::{Root, Variant, image_of, installed};

/// An image, and what is loaded into it.
#[derive(Clone, Debug)]
pub(crate) struct BootKernel {
    pub(crate) image: PathBuf,
    /// Its version, as `7.2.13+deb14-amd64`.
    pub(crate) release: String,
    /// The directory of this version's modules. None if it has none.
    pub(crate) modules: Option<PathBuf>,
    /// Whose it is.
    pub(crate) variant: Option<Variant>,
}

impl BootKernel {
    pub(crate) fn debian(packages: &Packages) -> Self {
        let modules = packages.modules();
        let image = modules.join("vmlinuz");
        Self { image, release: packages.release.clone(), modules: Some(modules), variant: None }
    }

    /// One of `guest kernel`, with its modules.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if it is not built, or has none.
    pub(crate) fn built(root: &Root, variant: Variant) -> Result<Self, Error> {
        let image = root.file(&image_of(variant));
        let modules = root.file(&installed(variant)).join("lib/modules");
        if !image.is_file() || !modules.is_dir() {
            let command = format!("cargo xtask guest kernel --variant {}", variant.name());
            return Err(Error::missing(
                format!("the kernel's {} build with an idxd module", variant.name()),
                command,
            ));
        }
        let release = only_entry(&modules)?;
        Ok(Self { image, modules: Some(modules.join(&release)), release, variant: Some(variant) })
    }

    /// The one with iommufd and vfio's device nodes: nothing is loaded into it.
    pub(crate) fn vfio(root: &Root) -> Self {
        let (variant, release) = (Variant::Vfio, "of guest kernel --variant vfio".to_owned());
        Self { image: root.file(&image_of(variant)), release, modules: None, variant: Some(variant) }
    }

    /// The kernel's test of DMA engines, if there is one for it.
    pub(crate) fn dmatest(&self) -> Option<PathBuf> {
        let modules = self.modules.as_ref()?;
        Some(modules.join("kernel/drivers/dma").join(dmatest::MODULE)).filter(|file| file.is_file())
    }

    /// Times as long as others take, for deadlines.
    pub(crate) fn slowness(&self) -> u64 {
        if self.variant == Some(Variant::Debug) { 10 } else { 1 }
    }

    /// In a word, for directories and messages.
    pub(crate) fn name(&self) -> &'static str {
        self.variant.map_or("debian", Variant::name)
    }
}

/// The one kernel whose modules are here.
pub(crate) fn only_entry(modules: &Path) -> Result<String, Error> {
    let entries = fs::read_dir(modules).map_err(Error::io(modules))?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.next().ok_or_else(|| Error::Unexpected { path: modules.into(), what: "no kernel in it".into() })
}
