//! The middle of a block, while there is input and room for more than a symbol: where the time goes.
//!
//! Nothing is checked here for each byte: [`fits`] says that there is enough of both for any symbol, and what may be written
//! behind a repetition, since it is copied in larger steps, is room as well. The distance of a repetition is checked.
//!
//! UNSAFETY: reads and writes memory through pointers, in steps of up to 16 bytes.
#![expect(unsafe_code, reason = "no check for each byte")]

use super::decoder::{Bits, Io};
use super::table::{DISTANCE_BITS, Entry, LITLEN_BITS, Tables, low};
use super::window::{PADDING, Window};

/// Most bytes of input that a turn looks at: twice eight, the second seven behind the first at most.
const IN_MARGIN: usize = 16;
/// Most bytes that a turn writes: three literals, or two and a repetition, and what is behind it.
const OUT_MARGIN: usize = 2 + LENGTH_MAX + BEHIND_MAX;
const LENGTH_MAX: usize = 258;
/// Most bytes written behind a repetition, which has three bytes or more, and read behind what it repeats: three steps of 16.
const BEHIND_MAX: usize = 48;

const _: () = assert!(PADDING >= BEHIND_MAX);

/// Why it stopped.
pub(super) enum Stop {
    /// There may not be enough input or room for a symbol.
    Margin,
    /// The block has ended.
    EndOfBlock,
    /// A symbol that nobody defined.
    Flaw,
    /// A distance to before the stream.
    TooFar,
}

/// Whether there is input and room for a symbol, whatever it is.
pub(super) const fn fits(io: &Io<'_>) -> bool {
    io.src.len() - io.at >= IN_MARGIN && io.dst.len() - io.out >= OUT_MARGIN
}

/// Expands as long as that [`fits`], as it has to at the start.
pub(super) fn run(tables: &Tables, window: &Window, bits: &mut Bits, io: &mut Io<'_>) -> Stop {
    assert!(fits(io), "too little input or room");
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("bmi2") {
        // SAFETY: the CPU has it.
        return unsafe { run_bmi2(tables, window, bits, io) };
    }
    run_anywhere(tables, window, bits, io)
}

/// With shifts that leave the flags alone.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2")]
fn run_bmi2(tables: &Tables, window: &Window, bits: &mut Bits, io: &mut Io<'_>) -> Stop {
    run_anywhere(tables, window, bits, io)
}

/// Bits of the input.
struct Reader {
    word: u64,
    /// How many there are, in the lowest eight bits: what is above is of no use.
    left: u32,
    at: *const u8,
}

impl Reader {
    /// Makes it 56 bits or more.
    ///
    /// # Safety
    ///
    /// There are eight bytes to read.
    #[inline(always)]
    unsafe fn fill(&mut self) {
        // SAFETY: the caller's contract.
        let next = unsafe { self.at.cast::<u64>().read_unaligned() };
        self.word |= u64::from_le(next).wrapping_shl(self.left);
        self.at = self.at.wrapping_add(7 - (self.left as usize >> 3 & 7));
        self.left |= 56;
    }

    /// Takes an entry's bits off; gives what was there before.
    #[inline(always)]
    const fn take(&mut self, entry: Entry) -> u64 {
        let before = self.word;
        self.word = before.wrapping_shr(entry.shift());
        self.left = self.left.wrapping_sub(entry.shift());
        before
    }

    #[inline(always)]
    fn litlen(&self, tables: &Tables) -> Entry {
        tables.litlen[low(self.word, LITLEN_BITS)]
    }

    /// Takes a distance, of 28 bits at most. None: nobody defined it.
    ///
    /// # Safety
    ///
    /// There are eight bytes to read.
    #[inline(always)]
    unsafe fn distance(&mut self, tables: &Tables) -> Option<usize> {
        let mut entry = tables.distance[low(self.word, DISTANCE_BITS)];
        if entry.is_other() {
            if !entry.is_elsewhere() {
                return None;
            }
            // SAFETY: the caller's contract.
            unsafe { self.fill() };
            self.take(entry);
            entry = tables.distance[entry.index_behind(self.word)];
            if entry.is_other() {
                return None;
            }
        } else if self.left & 0xff < DISTANCE_BITS + 13 + LITLEN_BITS {
            // SAFETY: the caller's contract.
            unsafe { self.fill() };
        }
        let before = self.take(entry);
        Some(entry.ranged(before))
    }
}

/// Writes a literal, and moves on.
///
/// # Safety
///
/// There is a byte to write.
#[inline(always)]
unsafe fn put(out: &mut *mut u8, entry: Entry) {
    // SAFETY: the caller's contract.
    unsafe { out.write(entry.byte()) };
    *out = out.wrapping_add(1);
}

/// Copies `T`s from `from` to `to`, each `step` bytes behind the last one, `FIRST` of them and then twos or so until `end`.
///
/// # Safety
///
/// There are as many bytes to read and to write, up to [`BEHIND_MAX`] behind `end` and behind what is copied there.
#[inline(always)]
unsafe fn copy<T: Copy, const FIRST: usize, const MORE: usize>(
    mut from: *const u8,
    mut to: *mut u8,
    end: *mut u8,
    step: usize,
) {
    let mut steps = |count| {
        for _ in 0..count {
            // SAFETY: the caller's contract.
            let value = unsafe { from.cast::<T>().read_unaligned() };
            // SAFETY: the caller's contract.
            unsafe { to.cast::<T>().write_unaligned(value) };
            from = from.wrapping_add(step);
            to = to.wrapping_add(step);
        }
        to
    };
    let mut to = steps(FIRST);
    while to < end {
        to = steps(MORE);
    }
}

/// Writes what is `distance` bytes before `to`, up to `end`.
///
/// # Safety
///
/// There are `distance` bytes before `to`, which is not 0; up to `end` and [`BEHIND_MAX`] behind it there are bytes to write.
#[inline(always)]
unsafe fn repeat(to: *mut u8, end: *mut u8, distance: usize) {
    let from = to.wrapping_sub(distance).cast_const();
    match distance {
        // SAFETY: the caller's contract; what is read ends before what is written, and each step reads what is there.
        16.. => unsafe { copy::<u128, 3, 2>(from, to, end, 16) },
        // SAFETY: the same; five times 8 bytes are fewer than three times 16.
        8.. => unsafe { copy::<u64, 5, 5>(from, to, end, 8) },
        // SAFETY: the same; each step makes `distance` good bytes, and the next begins there.
        2.. => unsafe { copy::<u64, 2, 2>(from, to, end, distance) },
        _ => {
            // SAFETY: the caller's contract.
            let byte = unsafe { from.read() };
            let value = [byte; 16];
            // SAFETY: the caller's contract; a step of nothing reads the same again.
            unsafe { fill(value, to, end) };
        }
    }
}

/// Writes `value` until `end`.
///
/// # Safety
///
/// There are bytes to write up to `end`, and [`BEHIND_MAX`] more.
#[inline(always)]
unsafe fn fill(value: [u8; 16], mut to: *mut u8, end: *mut u8) {
    while to < end {
        for _ in 0..2 {
            // SAFETY: the caller's contract.
            unsafe { to.cast::<[u8; 16]>().write_unaligned(value) };
            to = to.wrapping_add(16);
        }
    }
}

#[inline(always)]
fn run_anywhere(tables: &Tables, window: &Window, bits: &mut Bits, io: &mut Io<'_>) -> Stop {
    let at_max = io.src[io.src.len() - IN_MARGIN..].as_ptr();
    let out_max = io.dst[io.dst.len() - OUT_MARGIN..].as_ptr();
    let mut reader = Reader { word: bits.word, left: bits.left, at: io.src[io.at..].as_ptr() };
    let mut begin = io.dst.as_mut_ptr();
    let mut out = begin.wrapping_add(io.out);
    // SAFETY: `fits` held, so there are 16 bytes.
    unsafe { reader.fill() };
    let mut entry = reader.litlen(tables);
    let stop = loop {
        if reader.at > at_max || out.cast_const() > out_max {
            break Stop::Margin;
        }
        // From here to the next turn `IN_MARGIN` bytes are there to read, and `OUT_MARGIN` to write.
        let mut before = reader.take(entry);
        if entry.is_literal() {
            // SAFETY: the first byte of the margin.
            unsafe { put(&mut out, entry) };
            entry = reader.litlen(tables);
            before = reader.take(entry);
            if entry.is_literal() {
                // SAFETY: the second one.
                unsafe { put(&mut out, entry) };
                entry = reader.litlen(tables);
                before = reader.take(entry);
                if entry.is_literal() {
                    // SAFETY: the third one.
                    unsafe { put(&mut out, entry) };
                    entry = reader.litlen(tables);
                    // SAFETY: the first eight bytes of the margin.
                    unsafe { reader.fill() };
                    continue;
                }
            }
        }
        if entry.is_other() {
            if entry.is_elsewhere() {
                entry = tables.litlen[entry.index_behind(reader.word)];
                before = reader.take(entry);
                if entry.is_literal() {
                    // SAFETY: the third byte of the margin at most.
                    unsafe { put(&mut out, entry) };
                    entry = reader.litlen(tables);
                    // SAFETY: the first eight bytes of the margin.
                    unsafe { reader.fill() };
                    continue;
                }
            }
            if entry.is_other() {
                break if entry.is_end() { Stop::EndOfBlock } else { Stop::Flaw };
            }
        }
        let length = entry.ranged(before);
        // SAFETY: the first eight bytes of the margin.
        let Some(distance) = (unsafe { reader.distance(tables) }) else { break Stop::Flaw };
        entry = reader.litlen(tables);
        // SAFETY: eight bytes that begin seven behind the margin's start at most.
        unsafe { reader.fill() };
        let (to, done) = (out, out.addr() - begin.addr());
        out = out.wrapping_add(length);
        if distance <= done {
            // SAFETY: so many bytes are before; up to two bytes of the margin are used, and the length is 258 at most.
            unsafe { repeat(to, out, distance) };
            continue;
        }
        if distance - done > window.len() {
            out = to;
            break Stop::TooFar;
        }
        if let Some(bytes) = window.at_once(distance - done, length) {
            // SAFETY: `bytes` has `PADDING` behind it; what is written is as above.
            unsafe { copy::<u128, 3, 2>(bytes.as_ptr(), to, out, 16) };
        } else {
            window.repeat(io.dst, done, distance, length);
            // The slice was lent: what pointed into it before is not to be used any more.
            begin = io.dst.as_mut_ptr();
            out = begin.wrapping_add(done + length);
        }
    };
    io.at = reader.at.addr() - io.src.as_ptr().addr();
    io.out = out.addr() - begin.addr();
    *bits = Bits::new(reader.word, reader.left & 63);
    stop
}
