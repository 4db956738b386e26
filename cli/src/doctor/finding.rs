//! What a check found.

use std::fmt;
use std::io;

use serde::Serialize;

/// Characters of a value that are shown at most.
const SHOWN_MAX: usize = 160;

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Wrong,
    /// Cannot be seen from here.
    Unknown,
    /// Nothing on this machine asks for it.
    NotNeeded,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
            Self::NotNeeded => "not needed",
        })
    }
}

/// One thing that was looked at, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Evidence {
    /// A file, or an instruction or a system call.
    pub(crate) place: String,
    /// What it said; none if it could not be asked.
    pub(crate) value: Option<String>,
    /// Why it could not be asked.
    pub(crate) error: Option<String>,
}

impl Evidence {
    /// `place` said `value`.
    pub(crate) fn new(place: impl Into<String>, value: impl AsRef<str>) -> Self {
        Self { place: place.into(), value: Some(plain(value.as_ref())), error: None }
    }

    /// `place` could not be asked.
    pub(crate) fn refused(place: impl Into<String>, error: &io::Error) -> Self {
        let text = error.to_string();
        // The number in brackets is for programmers.
        let text = text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text);
        Self { place: place.into(), value: None, error: Some(plain(text)) }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.value.as_ref().or(self.error.as_ref());
        write!(f, "{}: {}", self.place, said.map_or("", String::as_str))
    }
}

/// What a check says: the verdict, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    /// One phrase.
    pub(crate) text: String,
    pub(crate) evidence: Vec<Evidence>,
    /// What mends it.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn ok(text: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, text)
    }

    pub(crate) fn wrong(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Verdict::Wrong, text) }
    }

    pub(crate) fn unknown(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(Verdict::Unknown, text) }
    }

    pub(crate) fn not_needed(text: impl Into<String>) -> Self {
        Self::new(Verdict::NotNeeded, text)
    }

    fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self { verdict, text: text.into(), evidence: Vec::new(), remedy: None }
    }

    /// Adds what was looked at.
    pub(crate) fn saw(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// A value as one short line: a device, a kernel or a captured tree may say anything.
pub(crate) fn plain(text: &str) -> String {
    let text = text.trim();
    let mut line: String =
        text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_short_line_without_control_characters() {
        assert_eq!(plain(" 1\n"), "1");
        assert_eq!(plain("a\x1b[31mb\nc"), "a?[31mb?c");
        assert_eq!(plain(&"x".repeat(161)), format!("{}...", "x".repeat(160)));
        assert_eq!(plain(&"\u{e4}".repeat(160)), "\u{e4}".repeat(160));
    }
}
