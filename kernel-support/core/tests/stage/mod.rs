//! The surroundings of the tests: address spaces that know when they are dropped, and a device that writes down what
//! it is told and objects to what must not happen.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sva_core::env::{Env, Word};
use sva_core::{
    GroupIndex, Hardware, HardwareError, Identity, PageResponse, PasidNumber, Platform, Responder,
};

/// An address space, a user handler, a paging domain: a number, and a count of how many values with any number live.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: u32,
    alive: Arc<AtomicUsize>,
}

impl Identity for Named {
    type Key = u32;
    fn key(&self) -> u32 {
        self.name
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the device was told. Plain `std`, so that it adds nothing to what a model checker explores.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) responses: Mutex<Vec<PageResponse>>,
    pub(crate) programmed: Mutex<BTreeSet<PasidNumber>>,
    pub(crate) programmings: AtomicUsize,
    /// The next `program` fails.
    pub(crate) refuse: AtomicBool,
    /// Set after removal: a response now is a use after free.
    pub(crate) removed: AtomicBool,
    alive: Arc<AtomicUsize>,
}

impl Told {
    pub(crate) fn named(&self, name: u32) -> Named {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Named { name, alive: self.alive.clone() }
    }

    /// How many [`Named`] values exist.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    pub(crate) fn answers(&self) -> Vec<PageResponse> {
        self.responses.lock().unwrap().clone()
    }
}

/// The device end of [`Told`].
pub(crate) struct Recorder<E: Env> {
    told: Arc<Told>,
    /// Touched by everything the device does. A model checker switches threads only around what it can see two of
    /// them touch, and [`Told`] it cannot see.
    seen: E::Word,
}

impl<E: Env> Recorder<E> {
    pub(crate) fn new(told: Arc<Told>) -> Self {
        Self { told, seen: E::Word::new(0) }
    }

    pub(crate) fn touch(&self) {
        self.seen.fetch_or(1);
    }

    pub(crate) fn is_programmed(&self, pasid: PasidNumber) -> bool {
        self.touch();
        self.told.programmed.lock().unwrap().contains(&pasid)
    }
}

impl<E: Env> Responder for Recorder<E> {
    fn respond(&self, response: PageResponse) {
        self.touch();
        assert!(!self.told.removed.load(Ordering::Relaxed), "response after removal: {response:?}");
        self.told.responses.lock().unwrap().push(response);
    }
}

impl<E: Env> Hardware<Named> for Recorder<E> {
    fn program(&self, pasid: PasidNumber, _: &Named) -> Result<(), HardwareError> {
        self.touch();
        if self.told.refuse.swap(false, Ordering::Relaxed) {
            return Err(HardwareError(-5));
        }
        self.told.programmings.fetch_add(1, Ordering::Relaxed);
        assert!(self.told.programmed.lock().unwrap().insert(pasid), "{pasid} programmed twice");
        Ok(())
    }

    fn clear(&self, pasid: PasidNumber) {
        self.touch();
        assert!(self.told.programmed.lock().unwrap().remove(&pasid), "{pasid} cleared, never programmed");
    }
}

/// The stage, over whichever primitives.
pub(crate) struct Stage<E>(PhantomData<E>);

impl<E: Env> Platform for Stage<E> {
    type Env = E;
    type Space = Named;
    type User = Named;
    type Paging = Named;
    type Device = Recorder<E>;
}

impl<E> fmt::Debug for Stage<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stage")
    }
}

pub(crate) fn pasid(number: u32) -> PasidNumber {
    PasidNumber::new(number).expect("20 bits")
}

pub(crate) const GROUP: GroupIndex = GroupIndex(3);
