//! Page requests in flight: one group each, waited for by the engine that asked.
//!
//! A group index is given out again only when its response has come, and the one used longest ago goes first, so that a
//! response that comes after a reset meets nobody. At most PRSREQALLOC are out at once. A request that the IOMMU has no
//! room for is made again after a moment; the bound of that is [`TRIES_MAX`], and the engine then looks at the page
//! again by itself. How long a response takes is the guest's business; a reset ends every wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use idxd_emu::{Access, PageAnswer, PageRequests, Space};
use parking_lot::{Condvar, Mutex};

use crate::machine::{Locked, Machine, Request, RequestRefused, Response};

/// Groups there can be: PRSREQCAP (PCIe: the index has 9 bits).
pub(crate) const GROUPS: u16 = 512;
/// Tries of one request at a queue that is full.
const TRIES_MAX: u32 = 64;
/// The pause between them.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slot {
    #[default]
    Free,
    Waiting,
    Answered(Response),
    /// The one who waited was told to go by a reset; the response may still come.
    Orphaned,
}

struct State {
    slots: Vec<Slot>,
    next: u16,
    outstanding: u32,
    outstanding_max: u32,
    /// Counts resets: who waits since before one gets no answer.
    life: u64,
    /// A response said Failure: nothing is asked any more until page requests are enabled again.
    failed: bool,
}

pub(crate) struct PageGroups<M> {
    machine: Arc<M>,
    state: Mutex<State>,
    changed: Condvar,
}

impl<M: Machine> PageGroups<M> {
    pub(crate) fn new(machine: Arc<M>) -> Self {
        let state = State {
            slots: vec![Slot::Free; GROUPS.into()],
            next: 0,
            outstanding: 0,
            outstanding_max: 0,
            life: 0,
            failed: false,
        };
        Self { machine, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Page requests are on, with this many in flight at most; or off, with 0.
    pub(crate) fn enable(&self, outstanding_max: u32) {
        let mut state = self.state.lock();
        if state.outstanding_max == 0 {
            state.failed = false;
        }
        state.outstanding_max = outstanding_max.min(GROUPS.into());
        drop(state);
        self.changed.notify_all();
    }

    /// Ends all waits.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.life += 1;
        state.outstanding = 0;
        state.outstanding_max = 0;
        state.failed = false;
        for slot in &mut state.slots {
            *slot = match *slot {
                Slot::Waiting | Slot::Orphaned => Slot::Orphaned,
                Slot::Free | Slot::Answered(_) => Slot::Free,
            };
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The host's answer. `false` if nobody asked under that index.
    pub(crate) fn respond(&self, group: u16, response: Response) -> bool {
        let mut state = self.state.lock();
        let Some(slot) = state.slots.get_mut(usize::from(group)) else { return false };
        let was = *slot;
        match was {
            Slot::Waiting => *slot = Slot::Answered(response),
            Slot::Orphaned => *slot = Slot::Free,
            Slot::Free | Slot::Answered(_) => return false,
        }
        state.failed |= was == Slot::Waiting && response == Response::Failure;
        drop(state);
        self.changed.notify_all();
        true
    }

    /// A group of one's own, once there is one; `None` if page requests are off.
    fn claim(&self) -> Option<(u16, u64)> {
        let mut state = self.state.lock();
        let life = state.life;
        loop {
            if state.life != life || state.failed || state.outstanding_max == 0 {
                return None;
            }
            if state.outstanding < state.outstanding_max
                && let Some(group) = state.free_group()
            {
                state.slots[usize::from(group)] = Slot::Waiting;
                state.next = (group + 1) % GROUPS;
                state.outstanding += 1;
                return Some((group, life));
            }
            self.changed.wait(&mut state);
        }
    }

    fn release(&self, group: u16, life: u64) {
        let mut state = self.state.lock();
        if state.life == life {
            state.slots[usize::from(group)] = Slot::Free;
            state.outstanding -= 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the response; `None` after a reset.
    fn wait(&self, group: u16, life: u64) -> Option<Response> {
        let mut state = self.state.lock();
        loop {
            if state.life != life {
                return None;
            }
            if let Slot::Answered(response) = state.slots[usize::from(group)] {
                return Some(response);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Waits a moment; `false` after a reset.
    fn pause(&self, life: u64) -> bool {
        let deadline = Instant::now() + PAUSE;
        let mut state = self.state.lock();
        while state.life == life {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.life == life
    }

    fn ask(&self, request: &Request, group: u16, life: u64) -> PageAnswer {
        for _ in 0..TRIES_MAX {
            let asked = self.machine.lock().request_page(request, group);
            match asked {
                Ok(()) => {
                    return match self.wait(group, life) {
                        Some(Response::Success) => PageAnswer::Success,
                        Some(Response::Invalid) => PageAnswer::Invalid,
                        Some(Response::Failure) | None => PageAnswer::Failure,
                    };
                }
                Err(RequestRefused::Full) if self.pause(life) => {}
                Err(_) => return PageAnswer::Failure,
            }
        }
        PageAnswer::Success
    }
}

impl State {
    /// A group that is free; without one, one whose response a reset has left behind and that never came.
    fn free_group(&self) -> Option<u16> {
        let mut groups = (0..GROUPS).map(|step| (self.next + step) % GROUPS);
        let is = |slot: Slot| move |group: &u16| self.slots[usize::from(*group)] == slot;
        groups.clone().find(is(Slot::Free)).or_else(|| groups.find(is(Slot::Orphaned)))
    }
}

/// What the model asks for pages.
pub(crate) struct Asking<M>(pub(crate) Arc<PageGroups<M>>);

impl<M: Machine> PageRequests for Asking<M> {
    fn request(&self, addr: u64, access: Access) -> PageAnswer {
        let Some(request) = Request::new(Space::current(), addr, access) else { return PageAnswer::Failure };
        let Some((group, life)) = self.0.claim() else { return PageAnswer::Failure };
        let answer = self.0.ask(&request, group, life);
        self.0.release(group, life);
        answer
    }
}
