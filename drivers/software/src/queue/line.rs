//! Who was before whom, as far as drains need it.
//!
//! Jobs are in *groups*: those started between two drains. A drain closes the group that is open, and is over when that
//! group and all before it are empty. So nothing is kept for a job but a number, and there are as many groups as drains
//! that wait, and one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ticket::Ticket;

/// The groups, in turn.
#[derive(Debug)]
pub(super) struct Line {
    /// The number of the first group there is.
    first: u64,
    /// Those that a drain has closed.
    closed: VecDeque<Group>,
    /// Jobs of the open one.
    open: usize,
}

/// Jobs under way, and the drain behind them.
#[derive(Debug)]
struct Group {
    jobs: usize,
    drain: Arc<Ticket>,
}

impl Line {
    /// A line of nobody, with room for as many drains.
    pub(super) fn new(drains: usize) -> Self {
        Self { first: 0, closed: VecDeque::with_capacity(drains), open: 0 }
    }

    /// Whether nothing is under way and nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0 && self.closed.is_empty()
    }

    /// A job begins. The number of its group.
    pub(super) fn enter(&mut self) -> u64 {
        self.open += 1;
        self.first + len_of(&self.closed)
    }

    /// A drain waits.
    pub(super) fn wait(&mut self, drain: Arc<Ticket>) {
        self.closed.push_back(Group { jobs: std::mem::take(&mut self.open), drain });
    }

    /// A job of `group` is over.
    pub(super) fn leave(&mut self, group: u64) {
        let index = usize::try_from(group - self.first).ok();
        let jobs = index
            .and_then(|index| self.closed.get_mut(index))
            .map_or(&mut self.open, |group| &mut group.jobs);
        *jobs -= 1;
    }

    /// The next drain that has nothing left to wait for.
    pub(super) fn next_drained(&mut self) -> Option<Arc<Ticket>> {
        if self.closed.front()?.jobs > 0 {
            return None;
        }
        self.first += 1;
        self.closed.pop_front().map(|group| group.drain)
    }
}

fn len_of(groups: &VecDeque<Group>) -> u64 {
    super::memory::len_of(groups.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(line: &mut Line) -> usize {
        std::iter::from_fn(|| line.next_drained()).count()
    }

    #[test]
    fn drain_waits_for_what_was_before_it_and_not_for_what_is_behind() {
        let mut line = Line::new(4);
        let early = [line.enter(), line.enter()];
        line.wait(Arc::new(Ticket::new()));
        let late = line.enter();
        line.wait(Arc::new(Ticket::new()));
        let last = line.enter();
        line.leave(last);
        line.leave(early[1]);
        assert_eq!(drained(&mut line), 0, "one of the first two is under way");
        line.leave(late);
        assert_eq!(drained(&mut line), 0, "a drain waits for the drain before it");
        line.leave(early[0]);
        assert_eq!(drained(&mut line), 2);
        assert!(line.is_empty());
    }

    #[test]
    fn drain_behind_another_waits_for_the_same() {
        let mut line = Line::new(4);
        let job = line.enter();
        line.wait(Arc::new(Ticket::new()));
        line.wait(Arc::new(Ticket::new()));
        assert_eq!(drained(&mut line), 0);
        line.leave(job);
        assert_eq!(drained(&mut line), 2);
        assert_eq!(line.enter(), 2);
    }
}
