//! How far it is, for people who wait.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work shorter than this shows no bar.
const SHOWN_AFTER: Duration = Duration::from_millis(700);

/// A bar on standard error: only on a terminal, and only for work that takes its time.
pub(crate) struct Progress {
    enabled: bool,
    start: Instant,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    done: u64,
}

impl Progress {
    /// No bar before there is something to show; none at all unless `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        let enabled = wanted && io::stderr().is_terminal();
        Self { enabled, start: Instant::now(), state: RefCell::default() }
    }

    /// Says how many bytes there are, if known.
    pub(crate) fn begin(&self, total: Option<u64>) {
        *self.state.borrow_mut() = State { total, ..State::default() };
    }

    /// Says that `bytes` more are done.
    pub(crate) fn advance(&self, bytes: u64) {
        let done = self.state.borrow().done + bytes;
        self.reach(done);
    }

    /// Says that `done` bytes are done.
    pub(crate) fn reach(&self, done: u64) {
        let mut state = self.state.borrow_mut();
        state.done = done;
        if !self.enabled || self.start.elapsed() < SHOWN_AFTER {
            return;
        }
        let total = state.total;
        state.bar.get_or_insert_with(|| bar(total)).set_position(done);
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = self.state.borrow_mut().bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{bar:32} {binary_bytes} of {binary_total_bytes}, {eta} left",
        None => "{spinner} {binary_bytes}, {elapsed}",
    };
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
