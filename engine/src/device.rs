//! What to run on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What an engine is to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// Hardware if there is any that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Software,
    /// A DSA and an IAA in software. Only when asked for: it says nothing about hardware.
    Emulated,
    /// A virtual function of a QAT in software, and nothing else. Only when asked for.
    EmulatedQat,
    /// A DSA, an IAA and a virtual function of a QAT, all in software. Only when asked for.
    EmulatedAll,
    /// A virtual function of a QAT, by its PCI address or the first that can be used, beside what [`Device::Auto`] takes.
    /// Only when asked for: a function belongs to one process at a time, and memory is pinned for it.
    Qat(Option<String>),
    /// The work queue with this device node, or with this name: `/dev/dsa/wq0.0`, `wq0.0`.
    Path(PathBuf),
}

impl FromStr for Device {
    type Err = String;

    /// `auto`, `software`, `emulated`, `emulated-qat`, `emulated-all`, `qat`, `qat:` and a PCI address, a work queue's name
    /// as `wq0.0`, or a path: anything with a slash in it.
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "software" => Ok(Self::Software),
            "emulated" => Ok(Self::Emulated),
            "emulated-qat" => Ok(Self::EmulatedQat),
            "emulated-all" => Ok(Self::EmulatedAll),
            "qat" => Ok(Self::Qat(None)),
            path if path.contains('/') || is_queue(path) => Ok(Self::Path(PathBuf::from(path))),
            other => match other.strip_prefix("qat:") {
                Some(address) if is_pci_address(address) => Ok(Self::Qat(Some(address.to_owned()))),
                _ => Err(format!(
                    "device {other:?}: auto, software, emulated, emulated-qat, emulated-all, qat, qat:0000:6b:00.1, wq0.0, \
                     or a path as /dev/dsa/wq0.0"
                )),
            },
        }
    }
}

impl Device {
    /// Whether it is a model of a device.
    pub const fn is_emulated(&self) -> bool {
        matches!(self, Self::Emulated | Self::EmulatedQat | Self::EmulatedAll)
    }
}

impl fmt::Display for Device {
    /// The word it is asked for with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Software => f.write_str("software"),
            Self::Emulated => f.write_str("emulated"),
            Self::EmulatedQat => f.write_str("emulated-qat"),
            Self::EmulatedAll => f.write_str("emulated-all"),
            Self::Qat(None) => f.write_str("qat"),
            Self::Qat(Some(address)) => write!(f, "qat:{address}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Whether a word is a PCI address with its domain: `0000:6b:00.1`.
fn is_pci_address(word: &str) -> bool {
    let is_hex =
        |digits: &str, len: usize| digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = word.split([':', '.']);
    let lengths = [4, 2, 2, 1];
    lengths.into_iter().all(|len| parts.next().is_some_and(|part| is_hex(part, len)))
        && parts.next().is_none()
}

/// Whether a word is the name of a work queue: `wq`, the device's number, a dot, the queue's number.
fn is_queue(word: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = word.strip_prefix("wq").and_then(|rest| rest.split_once('.'));
    numbers.is_some_and(|(device, queue)| is_number(device) && is_number(queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_word_or_a_path() {
        assert_eq!("emulated".parse(), Ok(Device::Emulated));
        assert_eq!("/dev/dsa/wq0.0".parse(), Ok(Device::Path(PathBuf::from("/dev/dsa/wq0.0"))));
        assert_eq!("wq0.12".parse(), Ok(Device::Path(PathBuf::from("wq0.12"))));
        assert_eq!("qat:0000:6b:00.1".parse(), Ok(Device::Qat(Some("0000:6b:00.1".into()))));
        for word in [
            "auto",
            "software",
            "emulated",
            "emulated-qat",
            "emulated-all",
            "qat",
            "qat:0000:6b:00.1",
            "wq0.0",
        ] {
            assert_eq!(word.parse::<Device>().expect(word).to_string(), word);
        }
        for word in [
            "qat:",
            "qat:6b:00.1",
            "qat:0000:6b:00.x",
            "qat:0000:6b:00.1.2",
            "emulated-",
            "hardware",
            "",
            "wq0",
            "wq.1",
            "wq0.",
            "wq0.1.2",
            "wq0.x",
            "dsa0",
        ] {
            assert!(word.parse::<Device>().is_err(), "{word:?}");
        }
    }
}
