// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attach handles: what a PASID stands for, and who still looks at it.
//!
//! The owner has the one [`AttachHandle`]; everybody else has counted [`HandleRef`]s, made by a
//! lookup or by a page request. Detaching closes the handle to new references and completes when
//! the last one is gone: a fault group holds one until it is answered. There is no raw pointer back
//! from a handle to its owner, and no cast between kinds: a reference of unknown kind is an enum,
//! and the payload's type follows from the kind.
//!
//! No lock: one atomic word per handle. Any thread may call, only [`Detaching::wait`] sleeps.

use core::fmt;

use super::env::{Env, OutOfMemory};
use super::gate::{Gate, Left};
use super::latency::LatencyHistogram;
use super::pasid::{clean_up, Holder, Pasid, PasidNumber, Peek, Table};
use super::platform::{Identity, Platform, SharedOf};
use super::stats::{BondCounters, BondStats};

mod sealed {
    use super::{AnyInner, AnyRef, HandleRef, Inner, Platform, SharedOf};

    /// Keeps the kinds to three, and takes each kind in and out of the two enums.
    pub trait Sealed: Sized + 'static {
        const HOLDER: super::Holder;
        fn erase<P: Platform>(inner: SharedOf<P, Inner<P, Self>>) -> AnyInner<P>
        where
            Self: super::Kind;
        fn select_inner<P: Platform>(any: &AnyInner<P>) -> Option<&SharedOf<P, Inner<P, Self>>>
        where
            Self: super::Kind;
        fn select<P: Platform>(any: &AnyRef<P>) -> Option<&HandleRef<P, Self>>
        where
            Self: super::Kind;
        fn take<P: Platform>(any: AnyRef<P>) -> Result<HandleRef<P, Self>, AnyRef<P>>
        where
            Self: super::Kind;
    }
}

/// What sort of thing is attached at a PASID: [`Sva`], [`User`] or [`Paging`]. Sealed.
pub trait Kind: sealed::Sealed {
    /// What a handle of this kind carries.
    type Payload<P: Platform>: Identity;
}

macro_rules! kind {
    ($(#[$doc:meta])* $kind:ident, $payload:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $kind {}

        impl Kind for $kind {
            type Payload<P: Platform> = P::$payload;
        }

        impl sealed::Sealed for $kind {
            const HOLDER: Holder = Holder::$kind;

            fn erase<P: Platform>(inner: SharedOf<P, Inner<P, Self>>) -> AnyInner<P> {
                AnyInner::$kind(inner)
            }

            fn select_inner<P: Platform>(
                any: &AnyInner<P>,
            ) -> Option<&SharedOf<P, Inner<P, Self>>> {
                match any {
                    AnyInner::$kind(inner) => Some(inner),
                    _ => None,
                }
            }

            fn select<P: Platform>(any: &AnyRef<P>) -> Option<&HandleRef<P, Self>> {
                match any {
                    AnyRef::$kind(handle) => Some(handle),
                    _ => None,
                }
            }

            fn take<P: Platform>(any: AnyRef<P>) -> Result<HandleRef<P, Self>, AnyRef<P>> {
                match any {
                    AnyRef::$kind(handle) => Ok(handle),
                    other => Err(other),
                }
            }
        }
    };
}

kind!(
    /// A shared address space: faults are resolved in it, here (`IOMMU_DOMAIN_SVA`).
    Sva,
    Space
);
kind!(
    /// Somebody in user space resolves the faults (iommufd's fault queue).
    User,
    User
);
kind!(
    /// Ordinary page tables kept by the kernel (`IOMMU_DOMAIN_UNMANAGED` and relatives).
    Paging,
    Paging
);

/// What all references to one handle share.
pub struct Inner<P: Platform, K: Kind> {
    gate: Gate<P::Env>,
    pub(crate) counters: BondCounters<P::Env>,
    payload: K::Payload<P>,
}

impl<P: Platform, K: Kind> Inner<P, K> {
    pub(crate) fn key(&self) -> <K::Payload<P> as Identity>::Key {
        self.payload.key()
    }

    pub(crate) fn payload(&self) -> &K::Payload<P> {
        &self.payload
    }
}

/// The table's own, uncounted hold on a handle of any kind.
pub enum AnyInner<P: Platform> {
    #[doc(hidden)]
    Sva(SharedOf<P, Inner<P, Sva>>),
    #[doc(hidden)]
    User(SharedOf<P, Inner<P, User>>),
    #[doc(hidden)]
    Paging(SharedOf<P, Inner<P, Paging>>),
}

impl<P: Platform> AnyInner<P> {
    pub(crate) fn holder(&self) -> Holder {
        let (closed, holder) = match self {
            Self::Sva(inner) => (inner.gate.is_closed(), <Sva as sealed::Sealed>::HOLDER),
            Self::User(inner) => (inner.gate.is_closed(), <User as sealed::Sealed>::HOLDER),
            Self::Paging(inner) => (inner.gate.is_closed(), <Paging as sealed::Sealed>::HOLDER),
        };
        if closed {
            Holder::Detaching
        } else {
            holder
        }
    }

    pub(crate) fn report(&self) -> HandleReport {
        let (counters, in_flight) = match self {
            Self::Sva(inner) => (&inner.counters, inner.gate.inside()),
            Self::User(inner) => (&inner.counters, inner.gate.inside()),
            Self::Paging(inner) => (&inner.counters, inner.gate.inside()),
        };
        HandleReport {
            stats: counters.snapshot(),
            latency: counters.latency.snapshot(),
            in_flight,
        }
    }

    /// What is attached, unless it is being detached.
    pub(crate) fn peek(&self) -> Option<Peek<'_, P>> {
        let (closed, peek) = match self {
            Self::Sva(inner) => (inner.gate.is_closed(), Peek::Sva(inner.payload())),
            Self::User(inner) => (inner.gate.is_closed(), Peek::User(inner.payload())),
            Self::Paging(inner) => (inner.gate.is_closed(), Peek::Paging(inner.payload())),
        };
        (!closed).then_some(peek)
    }

    pub(crate) fn enter(
        &self,
        table: &SharedOf<P, Table<P>>,
        number: PasidNumber,
    ) -> Option<AnyRef<P>> {
        Some(match self {
            Self::Sva(inner) => AnyRef::Sva(HandleRef::enter(inner, table, number)?),
            Self::User(inner) => AnyRef::User(HandleRef::enter(inner, table, number)?),
            Self::Paging(inner) => AnyRef::Paging(HandleRef::enter(inner, table, number)?),
        })
    }
}

/// What can be told of an attachment at one moment; see
/// [`PasidTable::report`](super::PasidTable::report).
#[derive(Clone, Copy, Debug)]
pub struct HandleReport {
    /// Its counters.
    pub stats: BondStats,
    /// How long its answers took.
    pub latency: LatencyHistogram,
    /// Counted references in flight.
    pub in_flight: u32,
}

/// A handle that is not attached yet. Made before a PASID is reserved, so that publishing it cannot
/// fail.
#[must_use]
pub struct NewHandle<P: Platform, K: Kind> {
    inner: SharedOf<P, Inner<P, K>>,
}

impl<P: Platform, K: Kind> fmt::Debug for NewHandle<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewHandle").finish_non_exhaustive()
    }
}

impl<P: Platform, K: Kind> NewHandle<P, K> {
    /// Makes a handle around `payload`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the payload is dropped.
    pub fn try_new(payload: K::Payload<P>) -> Result<Self, OutOfMemory> {
        let inner = Inner {
            gate: Gate::try_new()?,
            counters: BondCounters::new(),
            payload,
        };
        Ok(Self {
            inner: P::Env::share(inner)?,
        })
    }

    /// What the handle will carry.
    #[must_use]
    pub fn payload(&self) -> &K::Payload<P> {
        self.inner.payload()
    }

    pub(crate) fn into_inner(self) -> SharedOf<P, Inner<P, K>> {
        self.inner
    }
}

/// What the owner of an attachment has, and its detaching.
struct Owner<P: Platform, K: Kind> {
    inner: SharedOf<P, Inner<P, K>>,
    /// Dead once the attachment has ended.
    pasid: Pasid<P>,
}

impl<P: Platform, K: Kind> Owner<P, K> {
    fn end(mut self) -> Pasid<P> {
        self.pasid.vacate();
        self.pasid.take()
    }
}

impl<P: Platform, K: Kind> Drop for Owner<P, K> {
    /// Nobody waits: the last reference, or this thread if there is none, frees the slot and the
    /// number.
    fn drop(&mut self) {
        if self.pasid.is_live() && self.inner.gate.abandon() == Left::Nothing {
            self.pasid.leave_entry();
        }
    }
}

/// An attachment, owned. Dropped, it detaches, and the PASID goes back to the table when the last
/// group in flight is answered; nobody waits for that.
///
/// Source: `struct iommu_attach_handle`.
#[must_use = "dropping the handle detaches"]
pub struct AttachHandle<P: Platform, K: Kind> {
    owner: Owner<P, K>,
}

impl<P: Platform, K: Kind> fmt::Debug for AttachHandle<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachHandle")
            .field("pasid", &self.owner.pasid)
            .finish_non_exhaustive()
    }
}

impl<P: Platform, K: Kind> AttachHandle<P, K> {
    pub(crate) fn attached(inner: SharedOf<P, Inner<P, K>>, pasid: Pasid<P>) -> Self {
        Self {
            owner: Owner { inner, pasid },
        }
    }

    pub(crate) fn inner(&self) -> &SharedOf<P, Inner<P, K>> {
        &self.owner.inner
    }

    /// Where it is attached.
    #[must_use]
    pub fn pasid(&self) -> PasidNumber {
        self.owner.pasid.number()
    }

    /// What the handle carries.
    #[must_use]
    pub fn payload(&self) -> &K::Payload<P> {
        self.owner.inner.payload()
    }

    /// Counted references in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.owner.inner.gate.inside()
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> BondStats {
        self.owner.inner.counters.snapshot()
    }

    /// Puts `new` where this handle is, in one step: no request finds the PASID empty in between.
    /// The hardware must be programmed for `new` by now. This handle is closed; what is in flight
    /// on it is the [`Retired`] one's.
    ///
    /// Source: `iommu_replace_device_pasid`.
    pub fn replace<L: Kind>(self, new: NewHandle<P, L>) -> (AttachHandle<P, L>, Retired<P, K>) {
        let mut owner = self.owner;
        let inner = new.into_inner();
        owner.pasid.publish_over::<L>(&inner);
        owner.inner.gate.close();
        let new = AttachHandle::attached(inner, owner.pasid.take());
        (
            new,
            Retired {
                inner: owner.inner.clone(),
            },
        )
    }

    /// Closes the handle: no lookup finds it and faults are answered invalid from here on. Stop the
    /// hardware now, then wait for the groups in flight.
    pub fn detach(self) -> Detaching<P, K> {
        self.owner.inner.gate.close();
        Detaching { owner: self.owner }
    }
}

/// A closed handle with groups perhaps in flight. The PASID stays taken until they are answered.
/// Dropped, it detaches without anybody waiting, like [`AttachHandle`].
#[must_use = "the PASID comes back from `wait` or `poll_drained`"]
pub struct Detaching<P: Platform, K: Kind> {
    owner: Owner<P, K>,
}

impl<P: Platform, K: Kind> fmt::Debug for Detaching<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detaching")
            .field("pasid", &self.owner.pasid)
            .field("in_flight", &self.in_flight())
            .finish()
    }
}

impl<P: Platform, K: Kind> Detaching<P, K> {
    /// Counted references left.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.owner.inner.gate.inside()
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> BondStats {
        self.owner.inner.counters.snapshot()
    }

    /// Ends the attachment and gives the token back, if nothing is in flight.
    ///
    /// # Errors
    ///
    /// Itself, to ask again.
    pub fn poll_drained(self) -> Result<Pasid<P>, Self> {
        if self.owner.inner.gate.is_drained() {
            Ok(self.owner.end())
        } else {
            Err(self)
        }
    }

    /// Sleeps until nothing is in flight, ends the attachment and gives the token back. Never call
    /// it with an unanswered [`FaultGroup`](super::FaultGroup) of this handle in the same thread's
    /// hands.
    ///
    /// The payload may outlive this by a moment: the thread that let go of the last reference may
    /// be the one to drop it.
    pub fn wait(self) -> Pasid<P> {
        self.owner.inner.gate.wait_drained();
        self.owner.end()
    }
}

/// A handle that was replaced: closed, with groups perhaps in flight, and no claim on the PASID.
/// Dropped, nobody waits.
pub struct Retired<P: Platform, K: Kind> {
    inner: SharedOf<P, Inner<P, K>>,
}

impl<P: Platform, K: Kind> fmt::Debug for Retired<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retired")
            .field("in_flight", &self.in_flight())
            .finish()
    }
}

impl<P: Platform, K: Kind> Retired<P, K> {
    /// Counted references left.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.inner.gate.inside()
    }

    /// Sleeps until nothing is in flight. As [`Detaching::wait`].
    pub fn wait(self) {
        self.inner.gate.wait_drained();
    }
}

/// A counted reference to an attached handle. While it lives a detach does not complete.
pub struct HandleRef<P: Platform, K: Kind> {
    inner: SharedOf<P, Inner<P, K>>,
    table: SharedOf<P, Table<P>>,
    number: PasidNumber,
}

impl<P: Platform, K: Kind> fmt::Debug for HandleRef<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandleRef")
            .field("pasid", &self.number)
            .finish_non_exhaustive()
    }
}

impl<P: Platform, K: Kind> HandleRef<P, K> {
    /// A reference, unless the handle is detaching.
    pub(crate) fn enter(
        inner: &SharedOf<P, Inner<P, K>>,
        table: &SharedOf<P, Table<P>>,
        number: PasidNumber,
    ) -> Option<Self> {
        inner.gate.enter().then(|| Self {
            inner: inner.clone(),
            table: table.clone(),
            number,
        })
    }

    /// Where it is attached.
    #[must_use]
    pub fn pasid(&self) -> PasidNumber {
        self.number
    }

    /// What the handle carries.
    #[must_use]
    pub fn payload(&self) -> &K::Payload<P> {
        self.inner.payload()
    }

    /// Whether the attachment is ending. Whoever waits for somebody else while holding a reference
    /// must look at this.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.inner.gate.is_closed()
    }
}

impl<P: Platform, K: Kind> Drop for HandleRef<P, K> {
    fn drop(&mut self) {
        clean_up::<P>(self.inner.gate.leave(), &self.table, self.number);
    }
}

/// A counted reference to a handle whose kind is not known yet.
#[derive(Debug)]
pub enum AnyRef<P: Platform> {
    /// A shared address space.
    Sva(HandleRef<P, Sva>),
    /// A user-space fault handler.
    User(HandleRef<P, User>),
    /// A paging domain.
    Paging(HandleRef<P, Paging>),
}

impl<P: Platform> AnyRef<P> {
    /// The reference as one of kind `K`, if it is.
    #[must_use]
    pub fn downcast_ref<K: Kind>(&self) -> Option<&HandleRef<P, K>> {
        K::select(self)
    }

    /// The reference as one of kind `K`.
    ///
    /// # Errors
    ///
    /// Itself, when it is of another kind.
    pub fn downcast<K: Kind>(self) -> Result<HandleRef<P, K>, Self> {
        K::take(self)
    }

    pub(crate) fn counters(&self) -> &BondCounters<P::Env> {
        match self {
            Self::Sva(handle) => &handle.inner.counters,
            Self::User(handle) => &handle.inner.counters,
            Self::Paging(handle) => &handle.inner.counters,
        }
    }
}
