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
    /// The work queue with this device node, or with this name: `/dev/dsa/wq0.0`, `wq0.0`.
    Path(PathBuf),
}

impl FromStr for Device {
    type Err = String;

    /// `auto`, `software`, `emulated`, a work queue's name as `wq0.0`, or a path: anything with a slash in it.
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "software" => Ok(Self::Software),
            "emulated" => Ok(Self::Emulated),
            path if path.contains('/') || is_queue(path) => Ok(Self::Path(PathBuf::from(path))),
            other => {
                Err(format!("device {other:?}: auto, software, emulated, wq0.0, or a path as /dev/dsa/wq0.0"))
            }
        }
    }
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
        for word in ["hardware", "", "wq0", "wq.1", "wq0.", "wq0.1.2", "wq0.x", "dsa0"] {
            assert!(word.parse::<Device>().is_err(), "{word:?}");
        }
    }
}
