//! A ring pair: requests in, responses out.
//!
//! The hard idea is who says what to whom. The request ring is filled under a lock and its tail written once for all that
//! was put into it; the response ring is read under another. A place of it is empty when it begins with the signature that
//! is written back after reading, so that reading needs no register; the head register is told late, and exactly before
//! interrupts are armed.
//!
//! UNSAFETY: reads and writes ring memory, which the function accesses at the same time, through atomics.
#![expect(unsafe_code, reason = "ring memory is shared with the function")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use parking_lot::{Mutex, MutexGuard};
use qat_spec::ring::{
    ARBITER_REQUESTS, COALESCE_DEFAULT, COALESCE_ENABLE, EMPTY, EMPTY_WORD, INT_SRCSEL_RESPONSES,
    REQUEST_RING, RESPONSE_RING, Register, RingSize, in_flight_max,
};
use qat_spec::{Request, Response, Service};

use crate::error::Error;
use crate::function::{Region, VirtualFunction};
use crate::memory::{Arena, Piece};

/// Bytes of a request.
#[expect(clippy::cast_possible_truncation, reason = "128")]
const REQUEST_BYTES: u32 = Request::SIZE as u32;
/// Bytes of a response.
#[expect(clippy::cast_possible_truncation, reason = "32")]
const RESPONSE_BYTES: u32 = Response::SIZE as u32;
/// Responses that may have been read without the function being told.
const UNSAID_MAX: u32 = 32;
/// Bits of the interrupt registers for the response ring.
const RESPONSES: u32 = 1 << RESPONSE_RING;

/// Memory of a ring.
///
/// # Invariants
///
/// `piece` has at least `size.bytes()` bytes at a multiple of that, and is accessed through atomics only.
#[derive(Debug)]
struct Ring {
    piece: Piece,
    size: RingSize,
}

/// What is known of the request ring.
#[derive(Debug)]
struct Requests {
    tail: u32,
    is_open: bool,
}

/// What is known of the response ring.
#[derive(Debug)]
struct Responses {
    head: u32,
    unsaid: u32,
}

/// A ring pair.
#[derive(Debug)]
pub(crate) struct RingPair {
    function: Arc<dyn VirtualFunction>,
    bank: u64,
    service: Service,
    requests: Ring,
    responses: Ring,
    tx: Mutex<Requests>,
    rx: Mutex<Responses>,
    in_flight: AtomicU32,
    in_flight_max: u32,
    unsaid_max: u32,
    interrupts: bool,
}

/// Room in the request ring, held until what was put there is announced.
pub(crate) struct Batch<'p> {
    pair: &'p RingPair,
    tx: MutexGuard<'p, Requests>,
    put: u32,
    free: u32,
}

impl Ring {
    fn new(arena: &Arena, messages: u32, message_bytes: u32) -> Result<Self, Error> {
        let size = RingSize::of(messages, message_bytes).filter(|_| messages.is_power_of_two()).ok_or(
            Error::Config {
                setting: "ring_messages",
                value: messages.into(),
                what: "a power of two, from 2 to 32768",
            },
        )?;
        let bytes = u64::from(size.bytes());
        let piece = arena.take(bytes, bytes).ok_or(Error::ArenaFull { bytes, arena_bytes: arena.bytes() })?;
        // INVARIANT: taken with that size and alignment.
        Ok(Self { piece, size })
    }

    #[inline]
    fn words<const N: usize>(&self, offset: u32) -> &[AtomicU64; N] {
        debug_assert!(offset as usize + 8 * N <= self.size.bytes() as usize);
        let offset = offset as usize & (self.size.bytes() as usize - 1);
        // SAFETY: within the piece, as offsets are multiples of messages below the ring's size (see # Invariants).
        let place = unsafe { self.piece.start().add(offset) };
        // SAFETY: likewise; aligned to 8 as the piece is to pages; only ever accessed through atomics.
        unsafe { &*place.cast::<[AtomicU64; N]>() }
    }

    fn fill(&self, word: u64) {
        for offset in (0..self.size.bytes()).step_by(8) {
            self.words::<1>(offset)[0].store(word, Ordering::Relaxed);
        }
    }

    const fn after(&self, offset: u32, bytes: u32) -> u32 {
        (offset + bytes) & (self.size.bytes() - 1)
    }
}

impl RingPair {
    /// Makes the rings of a bank and has it served.
    pub(crate) fn new(
        arena: &Arena,
        (bank, service): (u64, Service),
        messages: u32,
        interrupts: bool,
    ) -> Result<Self, Error> {
        let requests = Ring::new(arena, messages, REQUEST_BYTES)?;
        let responses = Ring::new(arena, messages, RESPONSE_BYTES)?;
        let in_flight_max = in_flight_max(requests.size, responses.size);
        let pair = Self {
            function: Arc::clone(arena.function()),
            bank,
            service,
            requests,
            responses,
            tx: Mutex::new(Requests { tail: 0, is_open: false }),
            rx: Mutex::new(Responses { head: 0, unsaid: 0 }),
            in_flight: AtomicU32::new(0),
            in_flight_max,
            unsaid_max: UNSAID_MAX.min(in_flight_max.div_ceil(2)).max(1),
            interrupts,
        };
        pair.open();
        Ok(pair)
    }

    /// The bank.
    pub(crate) const fn bank(&self) -> u64 {
        self.bank
    }

    /// What it does.
    pub(crate) const fn service(&self) -> Service {
        self.service
    }

    fn write(&self, register: Register, value: u32) {
        self.function.write32(Region::Rings, register.of_bank(self.bank), value);
    }

    /// Sets the registers up from the beginning: nothing in the rings, and requests are taken.
    pub(crate) fn open(&self) {
        let (mut tx, mut rx) = (self.tx.lock(), self.rx.lock());
        self.responses.fill(EMPTY_WORD);
        (*tx, *rx) = (Requests { tail: 0, is_open: true }, Responses { head: 0, unsaid: 0 });
        self.in_flight.store(0, Ordering::SeqCst);
        let rings = [
            (REQUEST_RING, &self.requests, self.requests.size.request_config()),
            (RESPONSE_RING, &self.responses, self.responses.size.response_config()),
        ];
        for (ring, memory, config) in rings {
            let base = memory.size.base(memory.piece.span().addr.get()).to_le_bytes();
            let [low, high] =
                [0, 4].map(|at| u32::from_le_bytes([base[at], base[at + 1], base[at + 2], base[at + 3]]));
            self.write(Register::config(ring), config);
            self.write(Register::base_low(ring), low);
            self.write(Register::base_high(ring), high);
            self.write(Register::head(ring), 0);
            self.write(Register::tail(ring), 0);
        }
        self.write(Register::INT_SRCSEL, INT_SRCSEL_RESPONSES);
        self.write(Register::INT_COL_EN, if self.interrupts { RESPONSES } else { 0 });
        self.write(Register::ARBITER_ENABLE, ARBITER_REQUESTS);
        drop(rx);
        drop(tx);
        self.arm();
    }

    /// Takes no more requests.
    pub(crate) fn close(&self) {
        self.tx.lock().is_open = false;
    }

    /// Takes no more requests, and is not served.
    pub(crate) fn stop(&self) {
        self.close();
        self.write(Register::ARBITER_ENABLE, 0);
        self.write(Register::INT_COL_EN, 0);
    }

    /// Whether requests are taken.
    pub(crate) fn is_open(&self) -> bool {
        self.tx.lock().is_open
    }

    /// Requests that are not answered.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Room for requests; none if there is no room, or the pair is closed.
    #[inline]
    pub(crate) fn begin(&self) -> Option<Batch<'_>> {
        let tx = self.tx.lock();
        let free = self.in_flight_max.saturating_sub(self.in_flight.load(Ordering::Acquire));
        (tx.is_open && free != 0).then_some(Batch { pair: self, tx, put: 0, free })
    }

    /// Reads responses until there are none, and gives them to `found`, which says whether they are answers to something.
    /// Keeps the lock of the response ring meanwhile.
    pub(crate) fn reap(&self, found: impl FnMut(&Response) -> bool) -> u32 {
        let mut rx = self.rx.lock();
        self.read(&mut rx, found)
    }

    /// The same, unless somebody is at it already.
    #[inline]
    pub(crate) fn try_reap(&self, found: impl FnMut(&Response) -> bool) -> Option<u32> {
        let mut rx = self.rx.try_lock()?;
        Some(self.read(&mut rx, found))
    }

    /// Reads what is there, then calls `sweep` under the lock of the response ring, so that nobody answers meanwhile.
    pub(crate) fn sweep(&self, found: impl FnMut(&Response) -> bool, sweep: impl FnOnce()) {
        let mut rx = self.rx.lock();
        self.read(&mut rx, found);
        sweep();
    }

    #[inline]
    fn read(&self, rx: &mut Responses, mut found: impl FnMut(&Response) -> bool) -> u32 {
        let (mut count, mut answers) = (0, 0);
        // A ring has no more; a function that goes on writing does not keep this thread.
        while count <= self.in_flight_max {
            let words = self.responses.words::<{ Response::WORDS }>(rx.head);
            let first = words[0].load(Ordering::Acquire);
            if first.to_le_bytes()[..4] == EMPTY.to_le_bytes() {
                break;
            }
            let [_, second, third, fourth] = words.each_ref().map(|word| word.load(Ordering::Relaxed));
            let response = Response::from_words([first, second, third, fourth]);
            for word in words {
                word.store(EMPTY_WORD, Ordering::Relaxed);
            }
            rx.head = self.responses.after(rx.head, RESPONSE_BYTES);
            rx.unsaid += 1;
            count += 1;
            answers += u32::from(found(&response));
            if rx.unsaid >= self.unsaid_max {
                self.say_head(rx);
            }
        }
        if answers != 0 {
            self.in_flight.fetch_sub(answers, Ordering::AcqRel);
        }
        count
    }

    fn say_head(&self, rx: &mut Responses) {
        self.write(Register::head(RESPONSE_RING), rx.head);
        rx.unsaid = 0;
    }

    /// Has the function interrupt for the next response. One that is there already counts.
    pub(crate) fn arm(&self) {
        if !self.interrupts {
            return;
        }
        let mut rx = self.rx.lock();
        self.say_head(&mut rx);
        self.write(Register::INT_COL_EN, RESPONSES);
        self.write(Register::INT_COL_CTL, COALESCE_ENABLE | COALESCE_DEFAULT);
    }
}

impl Batch<'_> {
    /// Puts a request into the ring. False: no room.
    #[inline]
    pub(crate) fn put(&mut self, request: impl FnOnce() -> Request) -> bool {
        if self.put == self.free {
            return false;
        }
        let ring = &self.pair.requests;
        let words = ring.words::<{ Request::WORDS }>(self.tx.tail);
        for (place, word) in words.iter().zip(request().words()) {
            place.store(*word, Ordering::Relaxed);
        }
        self.tx.tail = ring.after(self.tx.tail, REQUEST_BYTES);
        self.put += 1;
        true
    }

    /// How many were put.
    pub(crate) const fn count(&self) -> u32 {
        self.put
    }
}

impl Drop for Batch<'_> {
    /// Announces what was put, in one write.
    #[inline]
    fn drop(&mut self) {
        if self.put != 0 {
            self.pair.in_flight.fetch_add(self.put, Ordering::SeqCst);
            // The ring before the register, for memory that is not ordered with device memory by itself.
            fence(Ordering::Release);
            self.pair.write(Register::tail(REQUEST_RING), self.tx.tail);
        }
    }
}
