//! What the kernel was built with.

use std::io::{self, Read};

use flate2::read::GzDecoder;

use super::finding::Evidence;
use super::machine::Machine;

/// Bytes of the unpacked file that are read at most; those of distributions have 300 KB.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// The kernel's configuration, and where it was found.
#[derive(Debug)]
pub(crate) struct KernelConfig {
    /// None if there is none to read.
    text: Option<String>,
    /// The file, or all places that were tried.
    place: String,
}

impl KernelConfig {
    /// From the running kernel itself, or from the file its package has.
    pub(crate) fn read(machine: &Machine, release: Option<&str>) -> Self {
        const PACKED: &str = "/proc/config.gz";
        if let Ok(text) = machine.bytes(PACKED).and_then(|bytes| unpack(&bytes)) {
            return Self { text: Some(text), place: PACKED.to_owned() };
        }
        let mut tried = vec![PACKED.to_owned()];
        // A release is one word; with a slash in it, it would lead elsewhere.
        let release = release.filter(|release| !release.contains('/')).unwrap_or("");
        for place in [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
            format!("/usr/lib/modules/{release}/config"),
        ] {
            if !release.is_empty()
                && let Ok(text) = machine.read(&place).value
            {
                return Self { text: Some(text), place };
            }
            tried.push(place);
        }
        Self { text: None, place: tried.join(", ") }
    }

    /// Whether there is one.
    pub(crate) const fn is_known(&self) -> bool {
        self.text.is_some()
    }

    /// The value of `CONFIG_option`: `y`, `m`, or what stands there; none if it is not set.
    pub(crate) fn value(&self, option: &str) -> Option<&str> {
        self.text.as_ref()?.lines().find_map(|line| {
            line.strip_prefix("CONFIG_")?.strip_prefix(option)?.strip_prefix('=').map(str::trim)
        })
    }

    /// Whether the option is built in or a module; none if the configuration is not known.
    pub(crate) fn has(&self, option: &str) -> Option<bool> {
        self.is_known().then(|| matches!(self.value(option), Some("y" | "m")))
    }

    /// What it says about an option.
    pub(crate) fn evidence(&self, option: &str) -> Evidence {
        match (&self.text, self.value(option)) {
            (None, _) => Evidence::refused(&self.place, &io::ErrorKind::NotFound.into()),
            (Some(_), Some(value)) => Evidence::new(&self.place, format!("CONFIG_{option}={value}")),
            (Some(_), None) => Evidence::new(&self.place, format!("CONFIG_{option} is not set")),
        }
    }
}

fn unpack(packed: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    GzDecoder::new(packed).take(CONFIG_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_its_whole_name() {
        let text =
            "# CONFIG_IOMMU_SVA is not set\nCONFIG_INTEL_IDXD=m\nCONFIG_INTEL_IDXD_SVM=y\nCONFIG_X=\"y\"\n";
        let config = KernelConfig { text: Some(text.into()), place: "there".into() };
        assert_eq!((config.value("INTEL_IDXD"), config.value("INTEL_IDXD_SVM")), (Some("m"), Some("y")));
        assert_eq!(
            (config.has("IOMMU_SVA"), config.has("INTEL"), config.has("X")),
            (Some(false), Some(false), Some(false))
        );
        assert_eq!(KernelConfig { text: None, place: String::new() }.has("INTEL_IDXD"), None);
    }
}
