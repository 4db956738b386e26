// SPDX-License-Identifier: MIT OR Apache-2.0

//! Groups in the hands of somebody outside: whoever handles them has a [`Receipt`], the group
//! itself stays here.
//!
//! A fault handler written in C holds a pointer, not a value: it may answer twice, late, or never.
//! So what it holds is a name, and the linear [`FaultGroup`] lies in a slot. The first who asks for
//! it gets it; everybody else gets nothing. Removal [closes](Ledger::close) the ledger and takes
//! what is left, so every group is answered once whatever its handler does afterwards.
//!
//! One lock, a leaf. A slot's generation moves on with every deposit, so an old receipt never opens
//! a new group.

use core::fmt;

use super::env::{Env, Lock, OutOfMemory, Rank};
use super::group::FaultGroup;
use super::platform::{LockOf, Platform, SlotsOf};

struct Place<P: Platform> {
    group: Option<FaultGroup<P>>,
    generation: u64,
    /// The next vacant place, where this one is vacant.
    next: usize,
}

struct Places<P: Platform> {
    places: SlotsOf<P, Place<P>>,
    vacant: usize,
    held: usize,
    closed: bool,
}

/// The groups of one device that somebody outside is handling.
pub struct Ledger<P: Platform> {
    places: LockOf<P, Places<P>>,
}

impl<P: Platform> fmt::Debug for Ledger<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("held", &self.held())
            .finish()
    }
}

/// Names one deposited group. Neither `Clone` nor `Copy`; asking with it twice is harmless all the
/// same.
#[derive(Debug)]
pub struct Receipt {
    at: usize,
    generation: u64,
}

impl<P: Platform> Ledger<P> {
    /// Room for `groups_max` groups: as many as the device's [`Limits`](super::Limits) let be in
    /// flight.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn try_new(groups_max: u32) -> Result<Self, OutOfMemory> {
        let places = P::Env::slots(groups_max as usize, |at| Place {
            group: None,
            generation: 0,
            next: at + 1,
        })?;
        Ok(Self {
            places: Lock::try_new(
                Places {
                    places,
                    vacant: 0,
                    held: 0,
                    closed: false,
                },
                Rank::Leaf,
            )?,
        })
    }

    /// Keeps `group` for whoever shows the receipt first.
    ///
    /// # Errors
    ///
    /// The group, when the ledger is closed or every place is taken: it is the caller's to answer.
    pub fn deposit(&self, group: FaultGroup<P>) -> Result<Receipt, FaultGroup<P>> {
        self.places.with(|ledger| {
            let at = ledger.vacant;
            let place = match ledger.places.get_mut(at) {
                Some(place) if !ledger.closed => place,
                _ => return Err(group),
            };
            ledger.vacant = place.next;
            ledger.held += 1;
            place.generation += 1;
            place.group = Some(group);
            Ok(Receipt {
                at,
                generation: place.generation,
            })
        })
    }

    /// The group, to the first who asks; `None` to everybody after that.
    #[must_use = "dropping the group answers invalid"]
    pub fn take(&self, receipt: &Receipt) -> Option<FaultGroup<P>> {
        self.places.with(|ledger| {
            let place = ledger.places.get_mut(receipt.at)?;
            if place.generation != receipt.generation {
                return None;
            }
            let group = place.group.take()?;
            place.next = ledger.vacant;
            ledger.vacant = receipt.at;
            ledger.held -= 1;
            Some(group)
        })
    }

    /// Takes no more groups, and gives out what it has, to be answered. Receipts open nothing from
    /// here on.
    pub fn close(&self) -> impl Iterator<Item = FaultGroup<P>> + '_ {
        self.places.with(|ledger| ledger.closed = true);
        let mut at = 0;
        core::iter::from_fn(move || {
            self.places.with(|ledger| {
                while let Some(place) = ledger.places.get_mut(at) {
                    at += 1;
                    if let Some(group) = place.group.take() {
                        ledger.held -= 1;
                        return Some(group);
                    }
                }
                None
            })
        })
    }

    /// Groups here.
    #[must_use]
    pub fn held(&self) -> usize {
        self.places.with(|ledger| ledger.held)
    }
}
