//! What the members of a batch were lent, in memory that is filled and emptied again and again.
//!
//! First in, first out, and never moved about: a loan is written where it stays and read from there once.
//!
//! UNSAFETY: places without a loan are not initialised.
#![expect(unsafe_code, reason = "places of a batch are filled and emptied one at a time")]

use std::mem::MaybeUninit;

use super::Lent;
use crate::job::Job;

/// What one member was lent, as it lies in a batch: the buffers side by side. (An enum is put together elsewhere and
/// moved here, in other pieces than it was written in, and the CPU waits for each.)
#[derive(Debug)]
pub(super) struct Loan<S, D> {
    pub(super) src: Option<S>,
    pub(super) src2: Option<S>,
    pub(super) dst: Option<D>,
}

impl<S, D> Loan<S, D> {
    /// As the caller knows it: the buffers tell which operation they are for. None if there are none, which no loan is.
    #[inline(always)]
    pub(super) fn lent(self, second: Option<D>) -> Option<Lent<S, D>> {
        Some(match (self.src, self.src2, self.dst) {
            (Some(src), _, Some(dst)) => match second {
                None => Lent::Copy(src, dst),
                Some(dst2) => Lent::Dualcast(src, dst, dst2),
            },
            (Some(a), Some(b), None) => Lent::Compare(a, b),
            (Some(src), None, None) => Lent::Read(src),
            (None, _, Some(dst)) => Lent::Fill(dst),
            (None, _, None) => return None,
        })
    }
}

/// Second destinations, in the order of their members. Apart from the loans, which would be longer for the rarest of
/// operations; the memory is made when a batch first has one.
#[derive(Debug)]
pub(super) struct Second<D>(std::collections::VecDeque<D>);

impl<D> Second<D> {
    pub(super) const fn new() -> Self {
        Self(std::collections::VecDeque::new())
    }

    #[cold]
    pub(super) fn push(&mut self, dst: D, members_max: usize) {
        self.0.reserve(members_max - self.0.len().min(members_max));
        self.0.push_back(dst);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That of a member, if its operation has one: members ask in their order.
    #[inline(always)]
    pub(super) fn of(&mut self, job: &Job) -> Option<D> {
        if self.0.is_empty() { None } else { self.take(job) }
    }

    #[cold]
    fn take(&mut self, job: &Job) -> Option<D> {
        if matches!(job, Job::Dualcast { .. }) { self.0.pop_front() } else { None }
    }
}

/// The loans of a batch.
///
/// # Invariants
///
/// Exactly `places[first..end]` hold loans, and `first <= end <= places.len()`.
pub(super) struct Loans<S, D> {
    places: Box<[MaybeUninit<Loan<S, D>>]>,
    first: usize,
    end: usize,
}

impl<S, D> Loans<S, D> {
    pub(super) fn with_capacity(members_max: usize) -> Self {
        Self { places: (0..members_max).map(|_| MaybeUninit::uninit()).collect(), first: 0, end: 0 }
    }

    pub(super) const fn capacity(&self) -> usize {
        self.places.len()
    }

    /// The number of the first loan: as many have been taken back.
    pub(super) const fn first(&self) -> usize {
        self.first
    }

    /// Where the next loan is to be put.
    #[inline]
    pub(super) fn room(&mut self) -> Option<&mut MaybeUninit<Loan<S, D>>> {
        self.places.get_mut(self.end)
    }

    /// Counts the loan that was put into [`Loans::room`].
    ///
    /// # Safety
    ///
    /// There was room, and a loan was written to it.
    #[inline]
    pub(super) unsafe fn lend(&mut self) {
        // INVARIANT: the place at `end` holds a loan (the caller's contract) and is in bounds.
        self.end += 1;
    }

    /// Takes the first loan back. Field by field: as a whole it would be moved in other pieces than it is used in.
    #[inline(always)]
    pub(super) fn take_first(&mut self) -> Option<Loan<S, D>> {
        if self.first == self.end {
            return None;
        }
        let loan = self.places.get(self.first)?;
        // INVARIANT: the place is left before the loan is used.
        self.first += 1;
        // SAFETY: the place was in `first..end`, so it holds a loan (the invariant).
        let loan = unsafe { loan.assume_init_ref() };
        // SAFETY: the field is alive, and read once: the place is left.
        let src = unsafe { std::ptr::read(&raw const loan.src) };
        // SAFETY: as above.
        let src2 = unsafe { std::ptr::read(&raw const loan.src2) };
        // SAFETY: as above.
        let dst = unsafe { std::ptr::read(&raw const loan.dst) };
        Some(Loan { src, src2, dst })
    }

    /// Takes the first loan back if it is a source and a destination.
    #[inline(always)]
    pub(super) fn take_first_pair(&mut self) -> Option<(S, D)> {
        if self.first == self.end {
            return None;
        }
        let loan = self.places.get(self.first)?;
        // SAFETY: the place is in `first..end`, so it holds a loan (the invariant).
        let loan = unsafe { loan.assume_init_ref() };
        let Loan { src: Some(src), src2: None, dst: Some(dst) } = loan else { return None };
        let (src, dst) = (std::ptr::from_ref(src), std::ptr::from_ref(dst));
        // INVARIANT: the place is left before the loan is used. What is not read of it is `None`.
        self.first += 1;
        // SAFETY: the buffer is alive, and read once: the place is left.
        let src = unsafe { src.read() };
        // SAFETY: as above.
        let dst = unsafe { dst.read() };
        Some((src, dst))
    }

    /// Takes the last loan back.
    #[cold]
    pub(super) fn take_last(&mut self) -> Option<Loan<S, D>> {
        if self.first == self.end {
            return None;
        }
        // INVARIANT: the place is left before the loan is used.
        self.end -= 1;
        // SAFETY: the place was in `first..end`, so it holds a loan (the invariant), which is read once.
        Some(unsafe { self.places[self.end].assume_init_read() })
    }

    /// Begins anew with nothing lent.
    pub(super) fn clear(&mut self) {
        while self.take_first().is_some() {}
        self.first = 0;
        self.end = 0;
    }
}

impl<S, D> Drop for Loans<S, D> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<S, D> std::fmt::Debug for Loans<S, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loans({}..{} of {})", self.first, self.end, self.places.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn lend(loans: &mut Loans<Arc<u8>, Arc<u8>>, src: &Arc<u8>) {
        let place = loans.room().expect("room");
        place.write(Loan { src: Some(Arc::clone(src)), src2: None, dst: None });
        // SAFETY: written just now.
        unsafe { loans.lend() };
    }

    #[test]
    fn every_loan_is_dropped_once_whatever_becomes_of_it() {
        let counted = Arc::new(1);
        let mut loans = Loans::with_capacity(3);
        for _ in 0..2 {
            (0..3).for_each(|_| lend(&mut loans, &counted));
            assert!(loans.room().is_none());
            drop(loans.take_first());
            drop(loans.take_last());
            assert_eq!(Arc::strong_count(&counted), 2);
            loans.clear();
            assert_eq!((Arc::strong_count(&counted), loans.first()), (1, 0));
        }
        lend(&mut loans, &counted);
        drop(loans);
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}
