//! One boot: QEMU runs, the report comes in, the kernel's log stays.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a status.
    Exit(i32),
    /// Otherwise, in the guest's words: `signal 9`, `late`, `error ...`.
    Otherwise(String),
    /// The guest was gone before.
    Never,
}

/// What came of a step.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) name: String,
    pub(crate) end: End,
    /// What it printed.
    pub(crate) output: String,
}

/// What came of a boot.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) ran: Vec<Ran>,
    /// What the first process had to say.
    pub(crate) notes: Vec<String>,
    /// Whether it came to its end by itself.
    pub(crate) is_over: bool,
    /// Seconds the guest had been up when it began.
    pub(crate) up: String,
}

/// Who reads along.
pub(crate) trait Listener {
    /// A step begins.
    fn begin(&mut self, _name: &str) {}
    /// A line of output.
    fn line(&mut self, _line: &str) {}
    /// A step ended.
    fn end(&mut self, _ran: &Ran) {}
}

/// Runs QEMU to its end, or until nothing more is to be expected of it.
///
/// `deadline` is for the whole of it, the steps' own included.
pub(crate) fn run(
    command: &mut Command,
    messages: &Path,
    deadline: Duration,
    listener: &mut dyn Listener,
) -> Result<Session, Error> {
    let file = fs::File::create(messages).map_err(Error::io(messages))?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .spawn()
        .map_err(|source| Error::Start { program, source })?;
    let output = child.stdout.take();
    let session = output.map(|output| follow(output, deadline, listener)).unwrap_or_default();
    end(&mut child, session.is_over);
    Ok(session)
}

/// Waits for a machine that powers itself off; kills one that does not.
fn end(child: &mut Child, is_over: bool) {
    let patience = Duration::from_secs(if is_over { 30 } else { 0 });
    let started = Instant::now();
    while started.elapsed() < patience {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn follow(output: ChildStdout, deadline: Duration, listener: &mut dyn Listener) -> Session {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    let started = Instant::now();
    let mut session = Session::default();
    let mut now: Option<Ran> = None;
    // Ends with the guest, or with its time.
    while let Ok(line) = lines.recv_timeout(deadline.saturating_sub(started.elapsed())) {
        match (line.strip_prefix("@svala "), &mut now) {
            (Some(word), _) => mark(word, &mut session, &mut now, listener),
            (None, Some(ran)) => {
                ran.output.push_str(&line);
                ran.output.push('\n');
                listener.line(&line);
            }
            (None, None) => {}
        }
        if session.is_over {
            break;
        }
    }
    if let Some(ran) = now {
        listener.end(&ran);
        session.ran.push(ran);
    }
    session
}

/// A line of the first process.
fn mark(word: &str, session: &mut Session, now: &mut Option<Ran>, listener: &mut dyn Listener) {
    let (kind, rest) = word.split_once(' ').unwrap_or((word, ""));
    match kind {
        "begin" => {
            listener.begin(rest);
            *now = Some(Ran { name: rest.to_owned(), end: End::Never, output: String::new() });
        }
        "end" => {
            if let Some(mut ran) = now.take() {
                let said = rest.strip_prefix(ran.name.as_str()).unwrap_or(rest).trim();
                let status = said.strip_prefix("exit ").and_then(|status| status.parse().ok());
                ran.end = status.map_or_else(|| End::Otherwise(said.to_owned()), End::Exit);
                // The mark begins on a line of its own, so there is an empty one before it.
                while ran.output.ends_with("\n\n") {
                    ran.output.pop();
                }
                listener.end(&ran);
                session.ran.push(ran);
            }
        }
        "up" => session.up = rest.to_owned(),
        "over" => session.is_over = true,
        _ => session.notes.push(word.to_owned()),
    }
}

/// Prints what a step prints, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    /// Empty lines that are printed only if something follows them.
    empty: usize,
    is_on: bool,
}

impl Echo {
    /// For the step of this name only.
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

/// The step whose output a person asked for.
pub(crate) const COMMAND: &str = "command";

impl Listener for Echo {
    fn begin(&mut self, name: &str) {
        self.is_on = name == COMMAND;
    }

    fn line(&mut self, line: &str) {
        if !self.is_on {
            return;
        }
        if line.is_empty() {
            self.empty += 1;
            return;
        }
        let mut out = std::io::stdout().lock();
        let _ = out.write_all("\n".repeat(std::mem::take(&mut self.empty)).as_bytes());
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }

    fn end(&mut self, _: &Ran) {
        self.is_on = false;
        self.empty = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Listener for Nobody {}

    fn read(text: &str) -> Session {
        let mut session = Session::default();
        let mut now = None;
        for line in text.lines() {
            match line.strip_prefix("@svala ") {
                Some(word) => mark(word, &mut session, &mut now, &mut Nobody),
                None => {
                    if let Some(ran) = &mut now {
                        ran.output += &format!("{line}\n");
                    }
                }
            }
        }
        session.ran.extend(now);
        session
    }

    #[test]
    fn a_report_is_its_steps() {
        let session = read(
            "@svala up 4.20\n\n@svala begin one\nhello\n\n@svala end one exit 0\n\n@svala begin two\n\n@svala end two signal 9\n@svala over\n",
        );
        assert!(session.is_over);
        assert_eq!(session.up, "4.20");
        let ends: Vec<_> = session.ran.iter().map(|ran| (ran.name.as_str(), ran.end.clone())).collect();
        assert_eq!(ends, [("one", End::Exit(0)), ("two", End::Otherwise("signal 9".into()))]);
        assert_eq!(session.ran[0].output, "hello\n");
    }

    #[test]
    fn a_guest_that_dies_leaves_its_step_without_an_end() {
        let session = read("@svala begin one\nhello\n");
        assert!(!session.is_over);
        assert_eq!((session.ran[0].end.clone(), session.ran[0].output.as_str()), (End::Never, "hello\n"));
    }
}
