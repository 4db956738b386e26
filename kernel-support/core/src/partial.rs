// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests of groups that are not complete yet, in a bounded pool.
//!
//! Each request takes one cell; cells of a group form a chain through their indices. Every cell is
//! on the free chain, on the chain of one incomplete group, or on the chain of one group being
//! answered. When there is no cell, the request's group is marked lost and gives its cells up; the
//! mark stays until the group's last request comes, which is when a device expects an answer.
//!
//! Plain data: the state lock of the device protects it.

use super::platform::{Platform, SlotsOf};
use super::request::{GroupKey, PageRequest};

use super::env::{Env, OutOfMemory};

/// No cell.
const END: u32 = u32::MAX;

struct Cell {
    request: Option<PageRequest>,
    next: u32,
}

/// The requests of one group, but for the last. Owns its cells: neither `Clone` nor `Copy`, and
/// goes back by [`Pool::release`].
pub(crate) struct Chain {
    head: u32,
    tail: u32,
    len: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self {
        head: END,
        tail: END,
        len: 0,
    };

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Where a walk starts, for [`Pool::walk`].
    pub(crate) fn head(&self) -> u32 {
        self.head
    }
}

pub(crate) struct Pool<P: Platform> {
    cells: SlotsOf<P, Cell>,
    free: Chain,
}

impl<P: Platform> Pool<P> {
    pub(crate) fn try_new(cells_max: u32) -> Result<Self, OutOfMemory> {
        let mut next = 0;
        let cells = P::Env::slots(cells_max as usize, |_| {
            next += 1;
            Cell {
                request: None,
                next: if next < cells_max { next } else { END },
            }
        })?;
        let free = match cells_max {
            0 => Chain::EMPTY,
            len => Chain {
                head: 0,
                tail: len - 1,
                len,
            },
        };
        Ok(Self { cells, free })
    }

    fn cell(&mut self, at: u32) -> Option<&mut Cell> {
        self.cells.get_mut(at as usize)
    }

    /// Appends to `chain`; `false` when there is no cell.
    fn push(&mut self, chain: &mut Chain, request: PageRequest) -> bool {
        let at = self.free.head;
        let Some(cell) = self.cell(at) else {
            return false;
        };
        let rest = cell.next;
        *cell = Cell {
            request: Some(request),
            next: END,
        };
        self.free.head = rest;
        self.free.len -= 1;
        if self.free.len == 0 {
            self.free = Chain::EMPTY;
        }
        match self.cell(chain.tail) {
            Some(tail) => tail.next = at,
            None => chain.head = at,
        }
        chain.tail = at;
        chain.len += 1;
        true
    }

    /// Takes a group's cells back, in one step however many they are.
    pub(crate) fn release(&mut self, chain: Chain) {
        if chain.len == 0 {
            return;
        }
        let free = core::mem::replace(&mut self.free, Chain::EMPTY);
        if let Some(tail) = self.cell(chain.tail) {
            tail.next = free.head;
        }
        self.free = Chain {
            head: chain.head,
            tail: if free.len == 0 { chain.tail } else { free.tail },
            len: chain.len + free.len,
        };
    }

    /// The request at `at`, and where the next one is.
    pub(crate) fn walk(&self, at: u32) -> Option<(PageRequest, u32)> {
        let cell = self.cells.get(at as usize)?;
        Some((cell.request?, cell.next))
    }

    pub(crate) fn free_cells(&self) -> u32 {
        self.free.len
    }
}

/// A group that has begun and not ended.
pub(crate) struct Open {
    pub(crate) key: GroupKey,
    pub(crate) chain: Chain,
    /// A request of it was lost. It has no cells.
    pub(crate) lost: bool,
}

/// The incomplete groups of a device: `slots[..len]` is occupied, in no order.
pub(crate) struct Partials<P: Platform> {
    pub(crate) pool: Pool<P>,
    slots: SlotsOf<P, Option<Open>>,
    len: usize,
}

/// Where a partial request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collected {
    Kept,
    /// No room. Its group is marked, unless there was no room for that either.
    Lost,
}

impl<P: Platform> Partials<P> {
    pub(crate) fn try_new(cells_max: u32, open_max: u32) -> Result<Self, OutOfMemory> {
        let slots = P::Env::slots(open_max as usize, |_| None)?;
        Ok(Self {
            pool: Pool::try_new(cells_max)?,
            slots,
            len: 0,
        })
    }

    fn find(&self, wanted: impl Fn(&GroupKey) -> bool) -> Option<usize> {
        let used = self.slots.get(..self.len)?;
        used.iter()
            .position(|open| open.as_ref().is_some_and(|open| wanted(&open.key)))
    }

    pub(crate) fn collect(&mut self, request: PageRequest) -> Collected {
        let key = request.key();
        let at = self.find(|open| *open == key).or_else(|| self.open(key));
        let Some(open) = at
            .and_then(|at| self.slots.get_mut(at))
            .and_then(Option::as_mut)
        else {
            return Collected::Lost;
        };
        if !open.lost && self.pool.push(&mut open.chain, request) {
            return Collected::Kept;
        }
        open.lost = true;
        let chain = core::mem::replace(&mut open.chain, Chain::EMPTY);
        self.pool.release(chain);
        Collected::Lost
    }

    fn open(&mut self, key: GroupKey) -> Option<usize> {
        let at = self.len;
        *self.slots.get_mut(at)? = Some(Open {
            key,
            chain: Chain::EMPTY,
            lost: false,
        });
        self.len += 1;
        Some(at)
    }

    /// Takes out one incomplete group that `wanted` says yes to.
    pub(crate) fn take(&mut self, wanted: impl Fn(&GroupKey) -> bool) -> Option<Open> {
        let at = self.find(wanted)?;
        self.len -= 1;
        self.slots.swap(at, self.len);
        self.slots.get_mut(self.len)?.take()
    }

    pub(crate) fn open_groups(&self) -> usize {
        self.len
    }
}
