//! What to run on.

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
    /// The work queue with this device file.
    Path(PathBuf),
}

impl FromStr for Device {
    type Err = String;

    /// `auto`, `software`, `emulated`, or a path: anything with a slash in it.
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "software" => Ok(Self::Software),
            "emulated" => Ok(Self::Emulated),
            path if path.contains('/') => Ok(Self::Path(PathBuf::from(path))),
            other => {
                Err(format!("device {other:?}: auto, software, emulated, or a path such as /dev/dsa/wq0.0"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_word_or_a_path() {
        assert_eq!("emulated".parse(), Ok(Device::Emulated));
        assert_eq!("/dev/dsa/wq0.0".parse(), Ok(Device::Path(PathBuf::from("/dev/dsa/wq0.0"))));
        assert!("hardware".parse::<Device>().is_err());
    }
}
