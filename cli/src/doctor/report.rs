//! What was found, for people and programs.

use std::fmt::Write;
use std::io::IsTerminal;

use serde::Serialize;

use super::check::Group;
use super::finding::{Evidence, Finding, Verdict};

/// One requirement, and how it stands.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) id: &'static str,
    pub(crate) group: Group,
    /// A device or a work queue; none for the machine.
    pub(crate) subject: Option<String>,
    pub(crate) title: &'static str,
    pub(crate) verdict: Verdict,
    /// Whether no queue (for a queue: not this one) can be used without it.
    pub(crate) required: bool,
    pub(crate) text: String,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) remedy: Option<String>,
}

impl Line {
    pub(crate) fn new(
        group: Group,
        id: &'static str,
        subject: Option<&str>,
        title: &'static str,
        required: bool,
        finding: Finding,
    ) -> Self {
        let Finding { verdict, text, evidence, remedy } = finding;
        Self {
            id,
            group,
            subject: subject.map(str::to_owned),
            title,
            verdict,
            required,
            text,
            evidence,
            remedy,
        }
    }
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    /// Queues that can be used.
    pub(crate) usable: Vec<String>,
    /// DSA and IAA devices.
    pub(crate) accelerators: usize,
}

impl Report {
    /// The sum of it, in a sentence or two.
    pub(crate) fn summary(&self) -> String {
        let wrong = |line: &&Line| line.required && line.verdict == Verdict::Wrong;
        let wrong = self.lines.iter().filter(wrong).count();
        match (self.usable.as_slice(), self.accelerators) {
            ([], 0) => format!(
                "no DSA or IAA here: the CPU engine serves every operation. With one, what is wrong above would have \
                 to be mended first ({wrong} of the requirements)"
            ),
            ([], _) => format!(
                "no work queue can be used: {wrong} of the requirements are wrong. Until then the CPU engine serves \
                 every operation"
            ),
            (queues, _) => format!("usable: {}", queues.join(" ")),
        }
    }

    /// The whole as text.
    pub(crate) fn text(&self, coloured: bool) -> String {
        let mut text = String::new();
        let mut group = None;
        for line in &self.lines {
            if group.replace(line.group) != Some(line.group) {
                let _ = writeln!(text, "{}", line.group);
            }
            write_line(&mut text, line, coloured);
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }
}

fn write_line(text: &mut String, line: &Line, coloured: bool) {
    let (begin, end) = if coloured { (colour(line.verdict), "\x1b[0m") } else { ("", "") };
    let title = match &line.subject {
        Some(subject) => format!("{subject} {}", line.title),
        None => line.title.to_owned(),
    };
    let _ = write!(text, "  {begin}{:<10}{end}  {title:<22}  {}", line.verdict, line.text);
    let evidence: Vec<_> = line.evidence.iter().map(Evidence::to_string).collect();
    if !evidence.is_empty() {
        let _ = write!(text, "  [{}]", evidence.join("; "));
    }
    if let Some(remedy) = &line.remedy {
        let _ = write!(text, "  -> {remedy}");
    }
    text.push('\n');
}

const fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "\x1b[32m",
        Verdict::Wrong => "\x1b[31m",
        Verdict::Unknown => "\x1b[33m",
        Verdict::NotNeeded => "\x1b[2m",
    }
}

/// Whether standard output is for eyes that want colours: <https://no-color.org>.
pub(crate) fn is_coloured() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}
