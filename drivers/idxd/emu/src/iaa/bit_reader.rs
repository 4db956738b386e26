//! Input as bits, first bit lowest in the first byte.

/// Compressed input: bytes, less what is dropped at either end.
#[derive(Clone, Copy, Debug)]
pub struct InputBits<'a> {
    bytes: &'a [u8],
    /// # Invariants
    ///
    /// At most `end`, which is at most the bits of `bytes`.
    start: usize,
    end: usize,
}

impl<'a> InputBits<'a> {
    /// All bits of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, start: 0, end: bytes.len() * 8 }
    }

    /// Without the first `bits` of what is left, or empty: Drop Initial Bits, and what has been consumed.
    #[must_use]
    pub fn skip(self, bits: usize) -> Self {
        Self { start: self.start.saturating_add(bits).min(self.end), ..self }
    }

    /// Without the last `bits` of what is left, or empty: Ignore End Bits (IAA table 6-8).
    #[must_use]
    pub fn ignore_end(self, bits: usize) -> Self {
        Self { end: self.end.saturating_sub(bits).max(self.start), ..self }
    }

    /// How many bits are left.
    #[must_use]
    pub const fn bits(self) -> usize {
        self.end - self.start
    }

    /// Only the first `bits` of what is left.
    #[must_use]
    pub fn take(self, bits: usize) -> Self {
        Self { end: self.start.saturating_add(bits).min(self.end), ..self }
    }

    /// What is left, in words that are full but for the last: the bits, first one lowest, and how many.
    pub fn words(self) -> impl Iterator<Item = (u64, u8)> + 'a {
        let bit = |at: usize| self.bytes[at / 8] >> (at % 8) & 1;
        (self.start..self.end).step_by(64).map(move |first| {
            let end = self.end.min(first + 64);
            let word = (first..end).rev().fold(0, |word, at| word << 1 | u64::from(bit(at)));
            (word, (end - first).to_le_bytes()[0])
        })
    }
}

/// Reads bits from the front. Cheap to copy, so a caller can look ahead with a copy and keep it or not.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    /// Whole bytes up to the end.
    bytes: &'a [u8],
    /// The bits of a last byte that is not whole, and how many.
    tail: (u8, u32),
    /// The next of `bytes` to load; one more once the tail is loaded.
    next: usize,
    /// Loaded bits; what is above `available` of them is either 0 or what the next bytes have there.
    buffer: u64,
    available: u32,
    start: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(input: InputBits<'a>) -> Self {
        let (whole, left) = (input.end / 8, input.end % 8);
        let tail = if left == 0 { 0 } else { input.bytes[whole] & ((1 << left) - 1) };
        let mut reader = Self {
            bytes: &input.bytes[..whole],
            tail: (tail, bit_in_byte(left)),
            next: input.start / 8,
            buffer: 0,
            available: 0,
            start: input.start,
        };
        reader.refill();
        reader.consume(bit_in_byte(input.start));
        reader
    }

    /// Bits consumed since the start.
    pub(super) fn consumed_bits(&self) -> usize {
        let whole = self.next.min(self.bytes.len()) * 8;
        let tail = if self.next > self.bytes.len() { self.tail.1 as usize } else { 0 };
        whole + tail - self.available as usize - self.start
    }

    /// Whether [`Self::refill`] would be one load.
    #[inline]
    pub(super) fn has_word(&self) -> bool {
        self.bytes.len().saturating_sub(self.next) >= 8
    }

    /// Loads bits: afterwards 56 are available, or all there are.
    #[inline]
    pub(super) fn refill(&mut self) {
        if let Some(word) = self.bytes.get(self.next..).and_then(|rest| rest.first_chunk()) {
            self.buffer |= u64::from_le_bytes(*word) << self.available;
            self.next += ((63 - self.available) / 8) as usize;
            self.available |= 56;
        } else {
            self.refill_bytewise();
        }
    }

    #[cold]
    fn refill_bytewise(&mut self) {
        while self.available <= 56 {
            let (byte, bits) = match self.bytes.get(self.next) {
                Some(&byte) => (byte, 8),
                None if self.next == self.bytes.len() && self.tail.1 > 0 => self.tail,
                None => return,
            };
            self.buffer |= u64::from(byte) << self.available;
            self.available += bits;
            self.next += 1;
        }
    }

    /// The loaded bits, the next one lowest. Those above [`Self::available`] mean nothing.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        self.buffer
    }

    /// How many bits are loaded.
    #[inline]
    pub(super) fn available(&self) -> u32 {
        self.available
    }

    /// Drops `count` bits, all of which are loaded.
    #[inline]
    pub(super) fn consume(&mut self, count: u32) {
        debug_assert!(count <= self.available, "{count} bits of {}", self.available);
        self.buffer >>= count;
        self.available -= count;
    }

    /// Takes `count` bits, at most 32, or nothing if there are fewer.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        if self.available < count {
            self.refill();
        }
        if self.available < count {
            return None;
        }
        let bits = self.buffer & ((1 << count) - 1);
        self.consume(count);
        u32::try_from(bits).ok()
    }

    /// Drops bits up to the next byte of the input.
    pub(super) fn align(&mut self) {
        let padding = bit_in_byte((self.start + self.consumed_bits()).wrapping_neg());
        // A last byte that is not whole may end before.
        self.consume(padding.min(self.available));
    }

    /// Whether a whole byte is left; the reader is at the start of a byte.
    pub(super) fn has_byte(&self) -> bool {
        (self.start + self.consumed_bits()) / 8 < self.bytes.len()
    }

    /// Takes up to `count_max` whole bytes; the reader is at the start of a byte.
    pub(super) fn take_bytes(&mut self, count_max: usize) -> &'a [u8] {
        let at = (self.start + self.consumed_bits()) / 8;
        let rest = self.bytes.get(at..).unwrap_or_default();
        let taken = &rest[..count_max.min(rest.len())];
        if !taken.is_empty() {
            self.next = at + taken.len();
            self.buffer = 0;
            self.available = 0;
        }
        taken
    }
}

/// How far into its byte a bit is.
fn bit_in_byte(position: usize) -> u32 {
    u32::from(position.to_le_bytes()[0] % 8)
}
