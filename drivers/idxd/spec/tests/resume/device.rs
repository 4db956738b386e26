//! A device that is a loop over bytes.

use std::fmt;
use std::ops::Range;

use idxd_spec::{Completion, Descriptor, Flags, Opcode, Status};

/// Where the memory starts.
pub(crate) const BASE: u64 = 0x7f00_0000_0000;

/// A small address space.
#[derive(Clone, PartialEq)]
pub(crate) struct Memory(Vec<u8>);

impl Memory {
    pub(crate) const SIZE: usize = 8192;

    /// Bytes that look random, the same for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed | 1;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[4]
        };
        Self((0..Self::SIZE).map(next).collect())
    }

    pub(crate) fn copy_within(&mut self, from: Range<usize>, to: usize) {
        self.0.copy_within(from, to);
    }

    pub(crate) fn flip(&mut self, at: usize) {
        self.0[at] ^= 0x81;
    }

    pub(crate) fn slice_mut(&mut self, addr: u64, len: u32) -> &mut [u8] {
        let start = index(addr);
        &mut self.0[start..start + index(BASE + u64::from(len))]
    }

    pub(crate) fn same(&self, left: u64, right: u64, len: u32) -> bool {
        (0..u64::from(len)).all(|at| self.read(left + at) == self.read(right + at))
    }

    fn read(&self, addr: u64) -> u8 {
        self.0[index(addr)]
    }

    fn write(&mut self, addr: u64, byte: u8) {
        self.0[index(addr)] = byte;
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}...", &self.0[..8])
    }
}

fn index(addr: u64) -> usize {
    usize::try_from(addr.wrapping_sub(BASE)).expect("an address in the memory")
}

/// The operations, one loop each.
pub(crate) struct Device;

impl Device {
    /// Runs `descriptor`, up to `stop` bytes if that is not all, and reports as the specification says.
    pub(crate) fn run(memory: &mut Memory, descriptor: &Descriptor, stop: Option<u32>) -> Completion {
        let asked = match descriptor.opcode() {
            Opcode::APPLY_DELTA => descriptor.delta_size(),
            _ => descriptor.xfer_size(),
        };
        let granule = match descriptor.opcode() {
            Opcode::APPLY_DELTA => 10,
            Opcode::CREATE_DELTA => 8,
            _ => 1,
        };
        let bytes = stop.map_or(asked, |stop| (stop - stop % granule).min(asked));
        let outcome = Self::execute(memory, descriptor, bytes);
        let faulted = bytes < asked && !outcome.ended;
        let done = match (faulted, outcome.ended) {
            (true, _) => Completion::new(Status::PAGE_FAULT).with_bytes_completed(bytes),
            (false, true) => Completion::new(Status::SUCCESS).with_bytes_completed(outcome.at),
            (false, false) => Completion::new(Status::SUCCESS),
        };
        outcome.report(done, faulted && bytes == 0)
    }

    /// How many bytes a record says were done: all of them for success.
    pub(crate) fn done(descriptor: &Descriptor, done: &Completion) -> u32 {
        if done.status() == Status::SUCCESS { descriptor.xfer_size() } else { done.bytes_completed() }
    }

    fn execute(memory: &mut Memory, descriptor: &Descriptor, bytes: u32) -> Outcome {
        let (src, dst, size) =
            (descriptor.src_addr(), descriptor.dst_addr(), u64::from(descriptor.xfer_size()));
        let count = u64::from(bytes);
        let mut outcome = Outcome::default();
        match descriptor.opcode() {
            Opcode::MEMMOVE => {
                // Backwards when the destination begins inside the source.
                let backwards = src < dst && dst < src + size;
                for at in 0..count {
                    let at = if backwards { size - 1 - at } else { at };
                    memory.write(dst + at, memory.read(src + at));
                }
                outcome.result = backwards.into();
            }
            Opcode::FILL => {
                let pattern = pattern(descriptor);
                let period = if descriptor.flags().contains(Flags::PATTERN_16) { 16 } else { 8 };
                for (at, byte) in (0..count).zip(pattern[..period].iter().cycle()) {
                    memory.write(dst + at, *byte);
                }
            }
            Opcode::COMPARE => {
                outcome.difference((0..count).position(|at| memory.read(src + at) != memory.read(dst + at)));
            }
            Opcode::COMPARE_PATTERN => {
                let pattern = descriptor.compare_pattern_value().to_le_bytes();
                let pairs = (0..count).zip(pattern.iter().cycle());
                outcome.difference(
                    pairs.map(|(at, byte)| memory.read(src + at) != *byte).position(|differs| differs),
                );
            }
            Opcode::DUALCAST => {
                for at in 0..count {
                    memory.write(dst + at, memory.read(src + at));
                    memory.write(descriptor.dst2_addr() + at, memory.read(src + at));
                }
            }
            Opcode::CRC => outcome.crc = crc(memory, descriptor, count),
            Opcode::COPY_CRC => {
                outcome.crc = crc(memory, descriptor, count);
                (0..count).for_each(|at| memory.write(dst + at, memory.read(src + at)));
            }
            Opcode::CREATE_DELTA => outcome.create_delta(memory, descriptor, count),
            Opcode::APPLY_DELTA => {
                for entry in (0..count).step_by(10) {
                    let byte = |at| u64::from(memory.read(src + entry + at));
                    let offset = 8 * (byte(0) + 256 * byte(1));
                    (0..8).for_each(|at| memory.write(dst + offset + at, memory.read(src + entry + 2 + at)));
                }
            }
            Opcode::CACHE_FLUSH => {}
            opcode => panic!("no loop for {opcode}"),
        }
        outcome
    }
}

/// What an operation found out.
#[derive(Default)]
struct Outcome {
    result: u8,
    /// Ended before the end, with a result and not with a fault, at this byte.
    ended: bool,
    at: u32,
    crc: u64,
    delta_size: u32,
}

impl Outcome {
    fn difference(&mut self, at: Option<usize>) {
        if let Some(at) = at {
            (self.result, self.ended) = (1, true);
            self.at = u32::try_from(at).expect("inside the range");
        }
    }

    fn create_delta(&mut self, memory: &mut Memory, descriptor: &Descriptor, count: u64) {
        let (src1, src2) = (descriptor.src_addr(), descriptor.src2_addr());
        for word in (0..count).step_by(8) {
            if memory.same(src1 + word, src2 + word, 8) {
                continue;
            }
            let entry = descriptor.delta_addr() + u64::from(self.delta_size);
            let offset = u16::try_from(word / 8).expect("at most 512 KiB").to_le_bytes();
            memory.write(entry, offset[0]);
            memory.write(entry + 1, offset[1]);
            (0..8).for_each(|at| memory.write(entry + 2 + at, memory.read(src2 + word + at)));
            self.delta_size += 10;
            self.result = 1;
        }
    }

    /// With noise where the specification leaves a value undefined.
    fn report(&self, done: Completion, is_nothing_kept: bool) -> Completion {
        let done = done.with_result(self.result);
        match (self.crc, self.delta_size) {
            (0, 0) => done,
            (0, size) => done.with_delta_rec_size(size),
            _ if is_nothing_kept => done.with_crc_val(0xdead_beef_dead_beef),
            (crc, _) => done.with_crc_val(crc),
        }
    }
}

fn pattern(descriptor: &Descriptor) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&descriptor.pattern().to_le_bytes());
    bytes[8..].copy_from_slice(&descriptor.pattern_high().to_le_bytes());
    bytes
}

/// Bit by bit, as RFC 3720 and the NVMe specification define them; the upper half of a 32-bit result is noise.
fn crc(memory: &Memory, descriptor: &Descriptor, count: u64) -> u64 {
    const CRC32C: u64 = 0x82f6_3b78;
    const CRC64_NVME: u64 = 0x9a6c_9329_ac4b_c9b5;
    let is_wide = descriptor.flags().contains(Flags::CRC64);
    let (polynomial, ones) = if is_wide { (CRC64_NVME, u64::MAX) } else { (CRC32C, 0xffff_ffff) };
    let seed = if descriptor.flags().contains(Flags::READ_CRC_SEED) {
        (0..4).rev().fold(0, |seed, at| seed << 8 | u64::from(memory.read(descriptor.crc_seed_addr() + at)))
    } else {
        descriptor.crc64_seed()
    };
    let mut remainder = seed ^ ones;
    for at in 0..count {
        remainder ^= u64::from(memory.read(descriptor.src_addr() + at));
        for _ in 0..8 {
            remainder = remainder >> 1 ^ if remainder & 1 == 1 { polynomial } else { 0 };
        }
    }
    let noise = if is_wide { 0 } else { 0xabad_cafe << 32 };
    remainder ^ ones | noise
}
