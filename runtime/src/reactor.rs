//! The completion thread: resolver answers, queues that only show their completions to those who look, and the
//! bound on waiting.
//!
//! It sleeps on one eventfd that submitters and io_uring write to. While something is in flight on a queue that
//! has to be looked at, it spins, then waits in the CPU (UMWAIT, TPAUSE) or yields, then sleeps in ever longer
//! steps; while something is in flight on a queue that announces itself, it wakes a few times a second to check
//! the bound on waiting; while a queue is out, it probes it; idle, it does not run at all.
//!
//! UNSAFETY: keeps probes beside the channels they are sent on.
#![expect(unsafe_code, reason = "probes refer to the channels the thread keeps")]

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use crate::channel::{By, Channel};
use crate::fault::{Pumped, Resolver};
use crate::probe::Probes;
use crate::wait::Waitpkg;

const RUNNING: u32 = 0;
const TICKING: u32 = 1;
const ASLEEP: u32 = 2;

/// Between two checks of the bound on waiting.
const TICK: Duration = Duration::from_millis(250);
/// Looks at polled queues in a row before the thread begins to give up the CPU.
const SPINS: u32 = 2_000;
/// Then: yields before it begins to sleep.
const YIELDS: u32 = 200;
/// Shortest and longest sleep between two looks.
const NAP_MIN: Duration = Duration::from_micros(20);
const NAP_MAX: Duration = Duration::from_millis(1);

/// The way to wake the completion thread.
#[derive(Debug)]
pub(crate) struct Doorbell {
    pub(crate) eventfd: Arc<EventFd>,
    mode: AtomicU32,
    /// Something came up that only looking will settle.
    attention: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new() -> io::Result<Self> {
        let eventfd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self {
            eventfd: Arc::new(eventfd),
            mode: AtomicU32::new(RUNNING),
            attention: AtomicBool::new(false),
        })
    }

    /// Something is in flight. `looking`: nothing but the thread will notice that it is done.
    pub(crate) fn ring(&self, looking: bool) {
        if looking {
            self.attention.store(true, Ordering::SeqCst);
        }
        let mode = self.mode.load(Ordering::SeqCst);
        if mode == ASLEEP || looking && mode == TICKING {
            self.ring_always();
        }
    }

    fn ring_always(&self) {
        // Only a full counter refuses a write, and then the thread is awake anyway.
        let _ = self.eventfd.write(1);
    }
}

/// The completion thread's side.
pub(crate) struct Reactor {
    pub(crate) channels: Arc<[Arc<Channel>]>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) closing: Arc<AtomicBool>,
    pub(crate) waitpkg: Option<Waitpkg>,
}

/// What one round over the channels found.
#[derive(Default)]
struct Round {
    /// Something finished: look again before resting.
    finished: bool,
    /// Another thread reaps: look again when it has had time to.
    elsewhere: bool,
    looking: u32,
    in_flight: u32,
    watch: Option<*const u8>,
}

impl Reactor {
    /// Runs until the runtime closes.
    pub(crate) fn run(&self) {
        let mut idle_rounds = 0_u32;
        // SAFETY: dropped with this call, and `self` keeps the channels.
        let mut probes = unsafe { Probes::new(&self.channels) };
        let mut next_tick = Instant::now() + TICK;
        loop {
            let round = self.round(&mut next_tick);
            // What came up in the round, and what other threads have left since the last.
            let pumped = self.resolver.pump();
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            let probe_at = probes.tend(&self.channels, Instant::now());
            let is_asked = self.doorbell.attention.swap(false, Ordering::SeqCst);
            if round.finished || pumped == Pumped::Again || is_asked {
                idle_rounds = 0;
            } else if round.elsewhere {
                idle_rounds = 0;
                // It may be this thread that keeps it from its CPU.
                std::thread::yield_now();
            } else if round.looking != 0 {
                idle_rounds = idle_rounds.saturating_add(1);
                self.pause(idle_rounds, &round);
            } else {
                idle_rounds = 0;
                self.sleep(round.in_flight, probe_at, pumped);
            }
        }
    }

    fn round(&self, next_tick: &mut Instant) -> Round {
        let mut round = Round::default();
        round.finished |= self.resolver.drain(&mut |answer| {
            if let Some(channel) = self.channels.get(usize::from(answer.channel)) {
                channel.answered(answer);
            }
        });
        let now = Instant::now();
        let tick = (now >= *next_tick).then_some(now);
        if tick.is_some() {
            *next_tick = now + TICK;
        }
        for channel in self.channels.iter().filter(|channel| channel.handed_len() != 0) {
            let reaped = channel.reap(tick, By::Passing);
            round.finished |= reaped.finished;
            round.elsewhere |= reaped.elsewhere;
            round.looking += reaped.looking;
            round.in_flight += reaped.in_flight;
            round.watch = reaped.watch;
        }
        if round.in_flight != 1 {
            round.watch = None;
        }
        round
    }

    /// Lets some time pass while only looking will tell.
    fn pause(&self, idle_rounds: u32, round: &Round) {
        if idle_rounds < SPINS {
            match self.waitpkg {
                Some(waitpkg) => waitpkg.wait(round.watch),
                None => std::hint::spin_loop(),
            }
        } else if idle_rounds < SPINS + YIELDS {
            std::thread::yield_now();
        } else {
            let steps = (idle_rounds - SPINS - YIELDS).min(16);
            self.doorbell.mode.store(TICKING, Ordering::SeqCst);
            if !self.doorbell.attention.load(Ordering::SeqCst) {
                self.block(Some((NAP_MIN * (steps + 1)).min(NAP_MAX)));
            }
            self.doorbell.mode.store(RUNNING, Ordering::SeqCst);
        }
    }

    /// Sleeps until something rings.
    fn sleep(&self, in_flight: u32, probe_at: Option<Instant>, pumped: Pumped) {
        let mode = if in_flight == 0 { ASLEEP } else { TICKING };
        let until_probe = probe_at.map(|at| at.saturating_duration_since(Instant::now()).max(NAP_MIN));
        let until_pump = match pumped {
            Pumped::LookIn(within) => Some(within.max(NAP_MIN)),
            Pumped::Nothing | Pumped::Again => None,
        };
        let until_tick = (in_flight != 0).then_some(TICK);
        self.doorbell.mode.store(mode, Ordering::SeqCst);
        // Whoever hands something over, or wants attention, does so before it looks at `mode`, so one of the two
        // sees the other.
        let missed = in_flight == 0 && self.channels.iter().any(|channel| channel.handed_len() != 0);
        let attention = self.doorbell.attention.load(Ordering::SeqCst);
        if !missed && !attention && !self.closing.load(Ordering::SeqCst) {
            self.block([until_tick, until_probe, until_pump].into_iter().flatten().min());
        }
        self.doorbell.mode.store(RUNNING, Ordering::SeqCst);
    }

    fn block(&self, timeout: Option<Duration>) {
        let eventfd = &self.doorbell.eventfd;
        let mut fds = [PollFd::new(eventfd.as_fd(), PollFlags::POLLIN)];
        // An interruption is as good as a timeout: the caller looks around and comes back.
        let _ = ppoll(&mut fds, timeout.map(TimeSpec::from_duration), None);
        let _ = eventfd.read();
    }
}

/// Tells the completion thread to end.
pub(crate) fn stop(doorbell: &Doorbell, closing: &AtomicBool) {
    closing.store(true, Ordering::SeqCst);
    doorbell.ring_always();
}
