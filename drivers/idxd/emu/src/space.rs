//! Whose memory an access is to.
//!
//! A [`Bus`](crate::Bus) of one process has one address space. One of a machine has as many as there are PASIDs, and one
//! more for what the device does without: an access is to the space of the descriptor the engine runs, or of the event
//! log while an entry is written there. An engine is driven by one thread at a time, so the thread knows:
//! [`Space::current`] is asked by a bus, and by whoever takes page requests, on the thread that called it.

use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    static CURRENT: Cell<Space> = const { Cell::new(Space { pasid: None, privileged: false }) };
}

/// The address space of an access, as a request on the bus says it: by its PASID prefix, or by having none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Space {
    /// `None`: the request goes by the device's own number alone.
    pub pasid: Option<u32>,
    /// Privileged mode is asked for (DSA §8.1.1).
    pub privileged: bool,
}

impl Space {
    /// The space of what the device does on this thread; outside of that, the one without a PASID.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// Makes this the current space of the thread, until the answer is dropped.
    pub(crate) fn enter(self) -> Entered {
        Entered { before: CURRENT.replace(self), of_thread: PhantomData }
    }
}

/// As long as it lives, the space it was got from is the current one of the thread.
#[must_use]
pub(crate) struct Entered {
    before: Space,
    of_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_lasts_as_long_as_its_guard_and_is_the_threads_own() {
        let (outer, inner) =
            (Space { pasid: Some(7), privileged: true }, Space { pasid: None, privileged: false });
        assert_eq!(Space::current(), Space::default());
        let first = outer.enter();
        {
            let _second = inner.enter();
            assert_eq!(Space::current(), inner);
        }
        assert_eq!(Space::current(), outer);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(Space::current(), Space::default()));
        });
        drop(first);
        assert_eq!(Space::current(), Space::default());
    }
}
