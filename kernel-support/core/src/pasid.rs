// SPDX-License-Identifier: MIT OR Apache-2.0

//! PASIDs as tokens, and the table that says who holds which.
//!
//! A slot of the table is free, reserved, or attached *to a handle*; there is no fourth state, and
//! no "attached, but to nothing we can name", so a PASID in use never looks unused. The way through
//! the states is a chain of values that cannot be copied:
//!
//! ```text
//! allocate() / claim(n) -> Pasid -- reserve() -> Reservation -- publish(handle) -> AttachHandle
//!                            ^                      | drop: un-reserved,               | detach()
//!                            |                      |       number given back          v
//!                            +---- cancel() --------+                               Detaching
//!                            +-------------------------------------- drained ----------+
//! ```
//!
//! One lock (`entries`) protects the table. It is a leaf: nothing is called under it but the gate
//! of a handle, and what is removed from the table is dropped after it is released. Any thread that
//! may sleep may call.

use core::fmt;

use super::env::{Env, Lock, OutOfMemory, Rank};
use super::error::Error;
use super::gate::Left;
use super::handle::{AnyInner, AnyRef, AttachHandle, HandleRef, HandleReport, Kind, NewHandle};
use super::platform::{Identity, LockOf, Platform, SharedOf, SlotsOf};

/// The 20-bit number of an address space on the bus. A name, not a right: see [`Pasid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PasidNumber(u32);

impl PasidNumber {
    /// Requests without a PASID carry this (`IOMMU_NO_PASID`).
    pub const NONE: Self = Self(0);
    /// The largest 20-bit number.
    pub const MAX: Self = Self((1 << 20) - 1);

    /// `number` as a PASID, if it fits in 20 bits.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PasidNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who has a PASID that the caller cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// Somebody holds its token and has not reserved it yet.
    Claimed,
    /// Somebody is programming the hardware for it.
    Reserved,
    /// An address space: another one than asked for, or any when another kind was asked for.
    Sva,
    /// A user-space fault handler.
    User,
    /// A paging domain.
    Paging,
    /// A handle that is being detached: groups in flight still hold it.
    Detaching,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claimed => "a claim",
            Self::Reserved => "an attach in progress",
            Self::Sva => "an address space",
            Self::User => "a user-space fault handler",
            Self::Paging => "a paging domain",
            Self::Detaching => "a detach in progress",
        })
    }
}

/// The PASID is in use by something that is not what the caller asked for. Nothing goes on after
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Which.
    pub pasid: PasidNumber,
    /// By whom.
    pub holder: Holder,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pasid {}: held by {}", self.pasid, self.holder)
    }
}

impl core::error::Error for Busy {}

/// The life of a PASID whose token exists. A PASID without an entry has no token and is free as
/// well.
enum Slot<P: Platform> {
    Free,
    Reserved,
    Attached(AnyInner<P>),
}

struct Entry<P: Platform> {
    number: PasidNumber,
    slot: Slot<P>,
}

/// How many slots a table begins with, if it may have as many.
const ENTRIES_FIRST: usize = 16;

/// `slots[..len]` is occupied and sorted by number, the rest is `None`.
struct Entries<P: Platform> {
    slots: SlotsOf<P, Option<Entry<P>>>,
    len: usize,
    /// Where the search for a free number starts: past the last one given out, so that a number
    /// rests before reuse.
    cursor: u32,
}

impl<P: Platform> Entries<P> {
    /// Where `number` is, or where it would go.
    fn find(&self, number: PasidNumber) -> Result<usize, usize> {
        let used = self.slots.get(..self.len).unwrap_or_default();
        let at =
            used.partition_point(|entry| entry.as_ref().is_some_and(|entry| entry.number < number));
        match self.at(at) {
            Some(entry) if entry.number == number => Ok(at),
            _ => Err(at),
        }
    }

    fn at(&self, at: usize) -> Option<&Entry<P>> {
        self.slots.get(at)?.as_ref()
    }

    fn slot_mut(&mut self, number: PasidNumber) -> Option<&mut Slot<P>> {
        let at = self.find(number).ok()?;
        Some(&mut self.slots.get_mut(at)?.as_mut()?.slot)
    }

    /// Makes the entry of a token at `at`, which `find` gave, growing up to `entries_max` slots.
    fn insert(&mut self, at: usize, number: PasidNumber, entries_max: usize) -> Result<(), Error> {
        if self.len == self.slots.len() {
            self.grow(entries_max)?;
        }
        let room = self
            .slots
            .get_mut(self.len)
            .ok_or(Error::TableFull { entries_max })?;
        *room = Some(Entry {
            number,
            slot: Slot::Free,
        });
        self.len += 1;
        if let Some(tail) = self.slots.get_mut(at..self.len) {
            tail.rotate_right(1);
        }
        Ok(())
    }

    /// Doubles the slots, within `entries_max`.
    fn grow(&mut self, entries_max: usize) -> Result<(), Error> {
        let wanted = self
            .slots
            .len()
            .saturating_mul(2)
            .clamp(ENTRIES_FIRST, entries_max.max(ENTRIES_FIRST));
        let wanted = wanted.min(entries_max);
        if wanted <= self.slots.len() {
            return Err(Error::TableFull { entries_max });
        }
        let mut slots = P::Env::slots(wanted, |_| None)?;
        for (new, old) in slots.iter_mut().zip(self.slots.iter_mut()) {
            *new = old.take();
        }
        self.slots = slots;
        Ok(())
    }

    fn remove(&mut self, number: PasidNumber) -> Option<Entry<P>> {
        let at = self.find(number).ok()?;
        self.slots.get_mut(at..self.len)?.rotate_left(1);
        self.len -= 1;
        self.slots.get_mut(self.len)?.take()
    }

    /// The first number from `from` to `last` that has no entry, and where its entry would go.
    fn first_free(&self, from: u32, last: u32) -> Option<(usize, PasidNumber)> {
        let mut at = self.find(PasidNumber(from)).unwrap_or_else(|at| at);
        let mut number = from;
        while self.at(at).is_some_and(|entry| entry.number.0 == number) {
            at += 1;
            number += 1;
        }
        (number <= last).then_some((at, PasidNumber(number)))
    }
}

/// What a table is, behind the counted pointer.
pub(crate) struct Table<P: Platform> {
    first: PasidNumber,
    last: PasidNumber,
    entries_max: usize,
    entries: LockOf<P, Entries<P>>,
}

impl<P: Platform> Table<P> {
    fn slot<R>(&self, number: PasidNumber, body: impl FnOnce(&mut Slot<P>) -> R) -> Option<R> {
        self.entries
            .with(|entries| entries.slot_mut(number).map(body))
    }

    /// Takes the handle out of the slot; the token's entry stays.
    fn vacate(&self, number: PasidNumber) {
        let before = self.slot(number, |slot| core::mem::replace(slot, Slot::Free));
        drop(before);
    }

    /// Forgets the number: nobody has its token any more.
    pub(crate) fn give_back(&self, number: PasidNumber) {
        let before = self.entries.with(|entries| entries.remove(number));
        drop(before);
    }
}

/// The PASIDs of one device: who holds which. A clone is the same table.
///
/// Bounded: `entries_max` PASIDs at a time, found by binary search. It begins small and doubles.
///
/// Source: `iommu_group::pasid_array` and its users in iommu.c.
pub struct PasidTable<P: Platform> {
    table: SharedOf<P, Table<P>>,
}

impl<P: Platform> Clone for PasidTable<P> {
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
        }
    }
}

impl<P: Platform> fmt::Debug for PasidTable<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasidTable")
            .field("first", &self.table.first)
            .field("last", &self.table.last)
            .field("entries_max", &self.table.entries_max)
            .finish_non_exhaustive()
    }
}

impl<P: Platform> PasidTable<P> {
    /// A table of at most `entries_max` PASIDs, that [`allocate`](Self::allocate)s from `first` to
    /// `last`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn try_new(
        first: PasidNumber,
        last: PasidNumber,
        entries_max: usize,
    ) -> Result<Self, OutOfMemory> {
        let slots = P::Env::slots(entries_max.min(ENTRIES_FIRST), |_| None)?;
        let entries = Lock::try_new(
            Entries {
                slots,
                len: 0,
                cursor: first.0,
            },
            Rank::Leaf,
        )?;
        Ok(Self {
            table: P::Env::share(Table {
                first,
                last,
                entries_max,
                entries,
            })?,
        })
    }

    /// Takes a number nobody has, preferring those not used for longest.
    ///
    /// # Errors
    ///
    /// [`Error::TableFull`], [`Error::OutOfPasids`] or [`Error::OutOfMemory`].
    pub fn allocate(&self) -> Result<Pasid<P>, Error> {
        let table = &*self.table;
        let (first, last) = (table.first, table.last);
        let number = table.entries.with(|entries| {
            let (at, number) = entries
                .first_free(entries.cursor, last.0)
                .or_else(|| entries.first_free(first.0, last.0))
                .ok_or(Error::OutOfPasids { first, last })?;
            entries.insert(at, number, table.entries_max)?;
            entries.cursor = if number.0 < last.0 {
                number.0 + 1
            } else {
                first.0
            };
            Ok::<_, Error>(number)
        })?;
        Ok(self.token(number))
    }

    /// Takes a given number, for embedders where somebody else chose it: the kernel gives an `mm`
    /// one number for all devices. Numbers outside the table's allocation range are fine.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when its token exists already, [`Error::TableFull`], [`Error::OutOfMemory`].
    pub fn claim(&self, number: PasidNumber) -> Result<Pasid<P>, Error> {
        let table = &*self.table;
        table.entries.with(|entries| match entries.find(number) {
            Ok(at) => Err(Error::Busy(Busy {
                pasid: number,
                holder: holder_at(entries, at),
            })),
            Err(at) => entries.insert(at, number, table.entries_max),
        })?;
        Ok(self.token(number))
    }

    /// Asks who is attached at `number`: nobody (`Ok(None)`), exactly what is wanted (`Ok(Some)`:
    /// same kind and same key), or anything else (`Err`). The reference is counted: while it lives,
    /// a detach waits.
    ///
    /// Source: `iommu_attach_handle_get`, where one error stood for "free" and for "attached
    /// without a handle", and the reference was not counted.
    ///
    /// # Errors
    ///
    /// [`Busy`]: another kind, another key, reserved, claimed or detaching. A bind must stop there.
    pub fn lookup<K: Kind>(
        &self,
        number: PasidNumber,
        key: &<K::Payload<P> as Identity>::Key,
    ) -> Result<Option<HandleRef<P, K>>, Busy> {
        let busy = |holder| Busy {
            pasid: number,
            holder,
        };
        self.table.entries.with(|entries| {
            let Ok(at) = entries.find(number) else {
                return Ok(None);
            };
            let other = busy(holder_at(entries, at));
            let Some(Entry {
                slot: Slot::Attached(any),
                ..
            }) = entries.at(at)
            else {
                return Err(other);
            };
            match K::select_inner(any) {
                Some(inner) if inner.key() == *key => HandleRef::enter(inner, &self.table, number)
                    .map(Some)
                    .ok_or(busy(Holder::Detaching)),
                _ => Err(other),
            }
        })
    }

    /// Takes a counted reference on whatever is attached at `number`, for a page request that named
    /// it.
    pub(crate) fn acquire(&self, number: PasidNumber) -> Result<AnyRef<P>, Option<Busy>> {
        self.table.entries.with(|entries| {
            let at = entries.find(number).map_err(|_| None)?;
            let entered = match entries.at(at) {
                Some(Entry {
                    slot: Slot::Attached(any),
                    ..
                }) => any.enter(&self.table, number),
                _ => None,
            };
            entered.ok_or_else(|| {
                Some(Busy {
                    pasid: number,
                    holder: holder_at(entries, at),
                })
            })
        })
    }

    /// As [`acquire`](Self::acquire), if it is a user's handler.
    pub(crate) fn acquire_user(&self, number: PasidNumber) -> Result<AnyRef<P>, Option<Busy>> {
        match self.acquire(number)? {
            user @ AnyRef::User(_) => Ok(user),
            _ => Err(None),
        }
    }

    /// Shows `look` what is at `number`, for callers whose own synchronisation keeps it there.
    /// Nothing is counted. `look` runs with the table's lock held and must not call into this
    /// crate.
    pub fn peek<R>(&self, number: PasidNumber, look: impl FnOnce(Peek<'_, P>) -> R) -> R {
        self.table.entries.with(|entries| {
            let Ok(at) = entries.find(number) else {
                return look(Peek::Free);
            };
            let busy = Busy {
                pasid: number,
                holder: holder_at(entries, at),
            };
            look(match entries.at(at) {
                Some(Entry {
                    slot: Slot::Attached(any),
                    ..
                }) => any.peek().unwrap_or(Peek::Busy(busy)),
                _ => Peek::Busy(busy),
            })
        })
    }

    /// What can be told of what is attached at `number`.
    #[must_use]
    pub fn report(&self, number: PasidNumber) -> Option<HandleReport> {
        self.table.entries.with(|entries| {
            let at = entries.find(number).ok()?;
            match &entries.at(at)?.slot {
                Slot::Attached(any) => Some(any.report()),
                _ => None,
            }
        })
    }

    /// How many tokens exist.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.table.entries.with(|entries| entries.len)
    }

    fn token(&self, number: PasidNumber) -> Pasid<P> {
        Pasid {
            table: self.table.clone(),
            number,
            live: true,
        }
    }
}

/// What is at a PASID at one moment; see [`PasidTable::peek`].
pub enum Peek<'a, P: Platform> {
    /// Nobody has it.
    Free,
    /// A shared address space.
    Sva(&'a P::Space),
    /// A user-space fault handler.
    User(&'a P::User),
    /// A paging domain.
    Paging(&'a P::Paging),
    /// It is claimed, reserved or detaching.
    Busy(Busy),
}

impl<P: Platform> fmt::Debug for Peek<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("Free"),
            Self::Sva(_) => f.write_str("Sva"),
            Self::User(_) => f.write_str("User"),
            Self::Paging(_) => f.write_str("Paging"),
            Self::Busy(busy) => f.debug_tuple("Busy").field(busy).finish(),
        }
    }
}

fn holder_at<P: Platform>(entries: &Entries<P>, at: usize) -> Holder {
    match entries.at(at) {
        Some(Entry {
            slot: Slot::Reserved,
            ..
        }) => Holder::Reserved,
        Some(Entry {
            slot: Slot::Attached(any),
            ..
        }) => any.holder(),
        _ => Holder::Claimed,
    }
}

/// The right to attach something at one PASID of one table. There is one per number at a time; it
/// can be neither cloned nor copied. Dropped, the number goes back to the table.
#[must_use = "dropping the token gives the number back"]
pub struct Pasid<P: Platform> {
    table: SharedOf<P, Table<P>>,
    number: PasidNumber,
    /// Whether the right is still here: see [`take`](Self::take).
    live: bool,
}

impl<P: Platform> fmt::Debug for Pasid<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pasid").field(&self.number.0).finish()
    }
}

impl<P: Platform> Pasid<P> {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> PasidNumber {
        self.number
    }

    /// Marks the slot as reserved, to program the hardware before anything is published. Cannot
    /// fail: the token says that nobody else is there.
    ///
    /// Source: the `XA_ZERO_ENTRY` insertion of `iommu_attach_device_pasid`.
    pub fn reserve(self) -> Reservation<P> {
        self.table.slot(self.number, |slot| *slot = Slot::Reserved);
        Reservation { pasid: self }
    }

    /// Ends the attachment; the token stays.
    pub(crate) fn vacate(&self) {
        self.table.vacate(self.number);
    }

    /// Puts another handle where one is attached.
    pub(crate) fn publish_over<K: Kind>(&self, inner: &SharedOf<P, super::handle::Inner<P, K>>) {
        let attached = Slot::Attached(K::erase(inner.clone()));
        let before = self
            .table
            .slot(self.number, |slot| core::mem::replace(slot, attached));
        drop(before);
    }

    /// Moves the right out, leaving a dead token for a destructor to find.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            table: self.table.clone(),
            number: self.number,
            live: core::mem::replace(&mut self.live, false),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Ends the token but not the table's entry: the last reference to the handle will end that.
    pub(crate) fn leave_entry(&mut self) {
        self.live = false;
    }
}

impl<P: Platform> Drop for Pasid<P> {
    fn drop(&mut self) {
        if self.live {
            self.table.give_back(self.number);
        }
    }
}

/// A reserved slot: nobody else can have the PASID, no fault is accepted on it. Dropped, the slot
/// is free and the number goes back to the table.
#[must_use = "dropping the reservation gives the number back"]
pub struct Reservation<P: Platform> {
    pasid: Pasid<P>,
}

impl<P: Platform> fmt::Debug for Reservation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reservation").field(&self.pasid).finish()
    }
}

impl<P: Platform> Reservation<P> {
    /// The number reserved.
    #[must_use]
    pub fn number(&self) -> PasidNumber {
        self.pasid.number
    }

    /// Gives the token back to the caller, with the slot free.
    pub fn cancel(mut self) -> Pasid<P> {
        self.pasid.vacate();
        self.pasid.take()
    }

    /// Puts the handle into the slot. From here on lookups find it and faults are accepted, so the
    /// hardware must be programmed by now.
    pub fn publish<K: Kind>(mut self, handle: NewHandle<P, K>) -> AttachHandle<P, K> {
        let inner = handle.into_inner();
        let attached = Slot::Attached(K::erase(inner.clone()));
        self.pasid
            .table
            .slot(self.pasid.number, |slot| *slot = attached);
        AttachHandle::attached(inner, self.pasid.take())
    }
}

impl<P: Platform> Drop for Reservation<P> {
    fn drop(&mut self) {
        if self.pasid.is_live() {
            self.pasid.vacate();
        }
    }
}

/// Does for a handle what its owner would have done, when the owner did not stay to do it.
pub(crate) fn clean_up<P: Platform>(
    left: Left,
    table: &SharedOf<P, Table<P>>,
    number: PasidNumber,
) {
    if left == Left::CleanUp {
        table.give_back(number);
    }
}
