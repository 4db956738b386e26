//! The file's form.
//!
//! A list of devices, each with groups, each with its work queues and engines. Keys are the names of attributes, so a
//! file may hold any of them; those that are not configuration (`state`, `max_groups`, as `accel-config list` prints
//! them) are kept aside and not used. Like the tool, and unlike JSON, a comma may end a list: its own examples do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a file. A machine of 16 devices with everything configured takes some 100 KB.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// Too large to be one.
    #[error("{bytes} bytes, more than {FILE_BYTES_MAX}")]
    TooLong {
        /// What there was.
        bytes: usize,
    },
    /// Not in the form.
    #[error("line {}, column {}", source.line(), source.column())]
    Json {
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Keys that are not used.
type Others = BTreeMap<String, Value>;

/// Devices, groups, work queues and engines, as a file has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration {
    /// The devices.
    pub devices: Vec<DeviceConfiguration>,
}

/// A device. What is none is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceConfiguration {
    /// As `dsa0`.
    pub dev: String,
    /// Attribute of the device.
    #[serde(alias = "token_limit", skip_serializing_if = "Option::is_none")]
    pub read_buffer_limit: Option<i64>,
    /// Attribute of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_log_size: Option<i64>,
    /// Its groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfiguration>,
    /// Work queues in no group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ungrouped_workqueues: Vec<WorkQueueConfiguration>,
    /// Engines in no group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ungrouped_engines: Vec<EngineConfiguration>,
    /// What is not used.
    #[serde(flatten)]
    pub others: Others,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupConfiguration {
    /// As `group0.1`.
    pub dev: String,
    /// Attribute of the group.
    #[serde(alias = "tokens_reserved", skip_serializing_if = "Option::is_none")]
    pub read_buffers_reserved: Option<i64>,
    /// Attribute of the group.
    #[serde(alias = "use_token_limit", skip_serializing_if = "Option::is_none")]
    pub use_read_buffer_limit: Option<i64>,
    /// Attribute of the group.
    #[serde(alias = "tokens_allowed", skip_serializing_if = "Option::is_none")]
    pub read_buffers_allowed: Option<i64>,
    /// Attribute of the group; -1 leaves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_class_a: Option<i64>,
    /// Attribute of the group; -1 leaves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_class_b: Option<i64>,
    /// Attribute of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc_progress_limit: Option<i64>,
    /// Attribute of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_progress_limit: Option<i64>,
    /// Its work queues.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grouped_workqueues: Vec<WorkQueueConfiguration>,
    /// Its engines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grouped_engines: Vec<EngineConfiguration>,
    /// What is not used.
    #[serde(flatten)]
    pub others: Others,
}

/// A work queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkQueueConfiguration {
    /// As `wq0.1`.
    pub dev: String,
    /// `shared` or `dedicated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// Attribute of the work queue; the group it is listed in if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<i64>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_on_fault: Option<i64>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_batch_size: Option<i64>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_transfer_size: Option<i64>,
    /// `user`, `kernel` or `none`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub queue_type: Option<String>,
    /// A name of the administrator's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The driver it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_name: Option<String>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prs_disable: Option<i64>,
    /// Attribute of the work queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ats_disable: Option<i64>,
    /// Attribute of the work queue: a bitmap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op_config: Option<String>,
    /// What is not used.
    #[serde(flatten)]
    pub others: Others,
}

/// An engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineConfiguration {
    /// As `engine0.1`.
    pub dev: String,
    /// Attribute of the engine; the group it is listed in if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<i64>,
    /// What is not used.
    #[serde(flatten)]
    pub others: Others,
}

impl Configuration {
    /// Reads a file's text.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] with the place.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigurationError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(ConfigurationError::TooLong { bytes: text.len() });
        }
        serde_json::from_slice(&without_trailing_commas(text))
            .map_err(|source| ConfigurationError::Json { source })
    }

    /// The file's text, as the tool writes it: indented, with a line end.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Strings as keys, and no type that refuses: this cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The same text with a space for each comma that nothing but a closing bracket follows. Places stay the same.
fn without_trailing_commas(text: &[u8]) -> Vec<u8> {
    let mut plain = text.to_vec();
    let (mut in_string, mut escaped) = (false, false);
    let mut comma = None;
    for (at, &byte) in text.iter().enumerate() {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => (in_string, escaped, comma) = (true, false, None),
            b',' => comma = Some(at),
            b']' | b'}' => {
                if let Some(at) = comma.take() {
                    plain[at] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commas_before_a_closing_bracket_go() {
        let plain = |text: &str| String::from_utf8(without_trailing_commas(text.as_bytes())).unwrap();
        assert_eq!(plain(r#"[1, 2,]"#), r#"[1, 2 ]"#);
        assert_eq!(plain("{\"a\":1 ,\n } , [,]"), "{\"a\":1  \n } , [ ]");
        assert_eq!(plain(r#"["a,]", "\",}" ]"#), r#"["a,]", "\",}" ]"#);
        assert_eq!(plain(r#"["\\",]"#), r#"["\\" ]"#);
        assert_eq!(plain("[1,,2]"), "[1,,2]");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let error = Configuration::parse(&vec![b' '; FILE_BYTES_MAX + 1]).unwrap_err();
        assert!(matches!(error, ConfigurationError::TooLong { bytes } if bytes == FILE_BYTES_MAX + 1));
    }

    #[test]
    fn nesting_has_a_bound() {
        let deep = [b'['; 100_000];
        assert!(matches!(Configuration::parse(&deep), Err(ConfigurationError::Json { .. })));
        let deep = format!("[{{\"dev\":\"dsa0\",\"x\":{}", "[".repeat(100_000));
        assert!(matches!(Configuration::parse(deep.as_bytes()), Err(ConfigurationError::Json { .. })));
    }

    /// Keys that are not used may hold any number: it is read to the nearest, so that writing gives the same again.
    #[test]
    fn numbers_are_read_and_written_the_same() {
        for number in ["444444444444444444444444444444444444444444440", "8.41e21", "5e-324", "0.1"] {
            let file = format!("[{{\"dev\": \"dsa0\", \"others\": {number}}}]");
            let read = Configuration::parse(file.as_bytes()).unwrap();
            assert_eq!(read.devices[0].others["others"].as_f64(), number.parse().ok());
            assert_eq!(Configuration::parse(read.to_text().as_bytes()).unwrap(), read, "{number}");
        }
    }

    #[test]
    fn errors_say_where() {
        let error = Configuration::parse(b"[\n {\"dev\": \"dsa0\", \"groups\": 3}\n]").unwrap_err();
        assert!(error.to_string().starts_with("line 2, column "), "{error}");
    }
}
