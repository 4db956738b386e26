//! One thread for a function: takes its interrupts, finds whom answers are for, hears the physical function, counts the
//! time requests take, and resets ring pairs that do not answer.
//!
//! All four ring pairs and the physical function share one interrupt. After it: read what is there, tell the function how
//! far, arm, read again (what came before arming is announced by nobody), and tell the runtime once.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use qat_spec::pfvf::{VERSION_RESTARTING_COMPLETE, from_pf};
use qat_spec::ring::misc;

use crate::core::{Core, Life};
use crate::function::Region;

/// Ticks in the time a request has.
const TICKS: u32 = 4;
/// Messages of the physical function that are heard before anything else is seen to.
const HEARD_MAX: u32 = 16;

/// What the thread keeps for itself.
struct Reactor {
    core: Arc<Core>,
    tick: Duration,
    last: Instant,
    /// Resets of each pair that were refused.
    refused: Vec<Refused>,
    /// When the device is given up that restarts.
    back_by: Option<Instant>,
    /// It has restarted, and its physical function has not been greeted yet.
    is_to_greet: bool,
}

/// Refusals in a row, and the tick until which nobody asks again.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    count: u32,
    until: u32,
}

impl Refused {
    /// After so many in a row the intervals grow no more: they are of a thousand ticks.
    const DOUBLINGS_MAX: u32 = 10;

    /// Another refusal.
    const fn again(self, tick: u32) -> Self {
        let count = self.count.saturating_add(1);
        let shift = if count < Self::DOUBLINGS_MAX { count } else { Self::DOUBLINGS_MAX };
        Self { count, until: tick.wrapping_add(1 << shift) }
    }

    /// Whether to ask.
    const fn is_due(self, tick: u32) -> bool {
        self.count == 0 || tick.wrapping_sub(self.until) < u32::MAX / 2
    }
}

/// The thread's work, until it is told to stop.
pub(crate) fn run(core: Arc<Core>) {
    let tick = (core.worker.config.answer_within / TICKS).max(Duration::from_millis(1));
    let refused = vec![Refused::default(); core.pairs.len()];
    let mut reactor =
        Reactor { core, tick, last: Instant::now(), refused, back_by: None, is_to_greet: false };
    reactor.core.worker.arena.function().write32(Region::Misc, misc::PF2VM_MASK, 0);
    reactor.core.worker.arena.function().write32(Region::Misc, misc::INTERRUPT_MASK, 0);
    // What was said while nobody could be woken.
    reactor.turn(false);
    while !reactor.core.stop.load(Ordering::Acquire) {
        let interrupted = reactor.wait();
        reactor.turn(interrupted);
    }
}

impl Reactor {
    /// Sleeps until there is something to do. Whether there was an interrupt.
    fn wait(&self) -> bool {
        let core = &*self.core;
        let busy = || core.in_flight() != 0 || core.life() == Life::Restarting;
        core.sleeps.store(true, Ordering::SeqCst);
        let timeout = if busy() {
            core.sleeps.store(false, Ordering::SeqCst);
            PollTimeout::try_from(self.tick).unwrap_or(PollTimeout::MAX)
        } else {
            PollTimeout::NONE
        };
        let function = core.worker.arena.function();
        let mut fds = [
            PollFd::new(function.interrupt(), PollFlags::POLLIN),
            PollFd::new(core.wake.as_fd(), PollFlags::POLLIN),
        ];
        let ready = poll(&mut fds, timeout);
        core.sleeps.store(false, Ordering::SeqCst);
        if let Err(errno) = ready
            && errno != nix::errno::Errno::EINTR
        {
            tracing::error!(%errno, "poll");
        }
        let [interrupted, woken] = fds.map(|fd| fd.any().unwrap_or(false));
        if woken {
            let _ = core.wake.read();
        }
        if interrupted {
            let mut count = [0; 8];
            // Non-blocking: read again it says nothing.
            let _ = nix::unistd::read(function.interrupt(), &mut count);
            core.worker.counters.interrupts.add(1);
        }
        interrupted
    }

    fn turn(&mut self, interrupted: bool) {
        self.hear();
        let mut count = 0;
        if !self.core.is_polled {
            count += self.read();
            if interrupted {
                self.core.pairs.iter().for_each(crate::ring::RingPair::arm);
                count += self.read();
            }
        }
        let due = self.last.elapsed() >= self.tick;
        if due {
            self.last = Instant::now();
            self.core.tick.fetch_add(1, Ordering::Relaxed);
            // An interrupt that was lost is made good here.
            count += self.read();
            match self.core.life() {
                Life::Up => count += self.sweep_overdue(),
                Life::Restarting if self.is_to_greet => self.begin_again(),
                Life::Restarting => self.give_up_waiting(),
                Life::Dead => {}
            }
        }
        if count != 0 {
            self.core.notify();
        }
    }

    fn read(&self) -> u32 {
        let read = |(index, pair): (usize, &crate::ring::RingPair)| {
            pair.reap(|response| self.core.found(index, response))
        };
        self.core.pairs.iter().enumerate().map(read).sum()
    }

    /// Resets the ring pairs with requests that have had their time. How many requests ended.
    fn sweep_overdue(&mut self) -> u32 {
        let now = self.core.tick.load(Ordering::Relaxed);
        let mut ended = 0;
        for index in 0..self.core.pairs.len() {
            let is_overdue = self.waiting(index).any(|since| now.wrapping_sub(since) > TICKS);
            if is_overdue {
                ended += self.reset(index);
            }
        }
        ended
    }

    fn waiting(&self, pair: usize) -> impl Iterator<Item = u32> {
        let pair = u32::try_from(pair).unwrap_or(u32::MAX);
        self.core.slots.iter().filter_map(move |slot| slot.waits_on(pair))
    }

    /// Has a ring pair reset; once that is confirmed, ends its requests and opens it again.
    fn reset(&mut self, index: usize) -> u32 {
        let core = Arc::clone(&self.core);
        let pair = &core.pairs[index];
        if !self.refused[index].is_due(core.tick.load(Ordering::Relaxed)) {
            return 0;
        }
        pair.close();
        let answer = core.conversation.lock().reset(pair.bank());
        if let Err(error) = answer {
            self.refused[index] = self.refused[index].again(core.tick.load(Ordering::Relaxed));
            core.worker.counters.resets_refused.add(1);
            tracing::error!(%error, "a ring pair does not answer, and is not reset: its requests keep their memory");
            core.lost.fetch_or(1 << index, Ordering::Relaxed);
            return 0;
        }
        self.refused[index] = Refused::default();
        core.worker.counters.resets.add(1);
        let now = core.tick.load(Ordering::Relaxed);
        let ended = self.sweep(index, |since| now.wrapping_sub(since) > TICKS);
        core.lost.fetch_and(!(1 << index), Ordering::Relaxed);
        pair.open();
        ended
    }

    /// Ends all requests of a ring pair of which the function knows nothing any more.
    fn sweep(&self, index: usize, overdue: impl Fn(u32) -> bool) -> u32 {
        let pair = u32::try_from(index).unwrap_or(u32::MAX);
        let mut ended = 0;
        let sweep = || {
            for slot in &self.core.slots {
                if let Some(since) = slot.waits_on(pair) {
                    let is_overdue = overdue(since);
                    self.core.worker.counters.unanswered.add(is_overdue.into());
                    slot.sweep(is_overdue);
                    ended += 1;
                }
            }
        };
        self.core.pairs[index].sweep(|response| self.core.found(index, response), sweep);
        ended
    }

    /// Does what the physical function says.
    fn hear(&mut self) {
        for _ in 0..HEARD_MAX {
            let message = self.core.conversation.lock().hear();
            let Some(message) = message else { return };
            match message.kind() {
                from_pf::RESTARTING => self.prepare_for_restart(),
                from_pf::RESTARTED => self.forget(),
                from_pf::FATAL_ERROR => self.die(),
                // The late answer to a question that was given up.
                kind => tracing::debug!(kind, "message nobody waits for"),
            }
        }
        // The rest in the next turn.
        self.core.rouse();
    }

    /// Comes to rest, and says so.
    fn prepare_for_restart(&mut self) {
        tracing::warn!(function = self.core.worker.arena.function().name(), "the device restarts");
        self.core.set_life(Life::Restarting);
        self.is_to_greet = false;
        self.back_by = Some(Instant::now() + self.core.worker.config.restart_within);
        self.core.pairs.iter().for_each(crate::ring::RingPair::close);
        let until = Instant::now() + self.core.worker.config.quiesce_within;
        while self.core.in_flight() != 0 && Instant::now() < until {
            if self.read() != 0 {
                self.core.notify();
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        if self.core.greeting.version >= VERSION_RESTARTING_COMPLETE
            && let Err(error) = self.core.conversation.lock().ready_for_restart()
        {
            tracing::error!(%error, "ready for the restart");
        }
    }

    /// A device that is not back in time is taken for broken.
    fn give_up_waiting(&mut self) {
        if self.back_by.is_some_and(|by| by <= Instant::now()) {
            (self.back_by, self.is_to_greet) = (None, false);
            self.die();
        }
    }

    /// The device is as new: what it had under way is gone.
    fn forget(&mut self) {
        self.core.set_life(Life::Restarting);
        for index in 0..self.core.pairs.len() {
            self.core.pairs[index].close();
            self.sweep(index, |_| false);
            self.refused[index] = Refused::default();
        }
        self.back_by.get_or_insert_with(|| Instant::now() + self.core.worker.config.restart_within);
        self.is_to_greet = true;
        self.begin_again();
        self.core.notify();
    }

    /// Greets the physical function of a device that is as new. One that does not answer is greeted again for a while.
    fn begin_again(&mut self) {
        let greeted = self.core.conversation.lock().greet();
        if let Err(error) = greeted {
            tracing::error!(%error, "after a restart");
            return self.give_up_waiting();
        }
        (self.back_by, self.is_to_greet) = (None, false);
        self.core.pairs.iter().for_each(crate::ring::RingPair::open);
        self.core.lost.store(0, Ordering::Relaxed);
        self.core.worker.counters.restarts.add(1);
        self.core.set_life(Life::Up);
        self.core.notify();
    }

    /// The device is broken: asks once for each ring pair to be reset, so that buffers come back.
    fn die(&mut self) {
        tracing::error!(function = self.core.worker.arena.function().name(), "the device is broken");
        self.core.set_life(Life::Dead);
        for index in 0..self.core.pairs.len() {
            self.core.pairs[index].close();
            if self.core.pairs[index].in_flight() == 0 {
                continue;
            }
            let answer = self.core.conversation.lock().reset(self.core.pairs[index].bank());
            match answer {
                Ok(()) => {
                    self.core.worker.counters.resets.add(1);
                    self.sweep(index, |_| true);
                }
                Err(error) => {
                    self.core.worker.counters.resets_refused.add(1);
                    tracing::error!(%error, "a broken device keeps memory");
                }
            }
        }
        self.core.notify();
    }
}
