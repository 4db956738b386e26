//! A device that is a loop over bytes.

mod dif;
mod numeric;

use std::fmt;
use std::ops::Range;

use idxd_spec::{Completion, Descriptor, DifTags, FaultInfo, Flags, Opcode, Operand, Status};

/// Where the memory starts.
pub(crate) const BASE: u64 = 0x7f00_0000_0000;

/// A small address space.
#[derive(Clone, PartialEq)]
pub(crate) struct Memory(Vec<u8>);

impl Memory {
    pub(crate) const SIZE: usize = 16384;

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

fn narrow(value: u64) -> u32 {
    u32::try_from(value).expect("sizes are small here")
}

fn index(addr: u64) -> usize {
    usize::try_from(addr.wrapping_sub(BASE)).expect("an address in the memory")
}

/// The operations, one loop each.
pub(crate) struct Device;

impl Device {
    /// Runs `descriptor`, up to `stop` bytes if that is not all, and reports as the specification says.
    pub(crate) fn run(memory: &mut Memory, descriptor: &Descriptor, stop: Option<u32>) -> Completion {
        let (asked, granule) = Self::size_and_granule(descriptor);
        let bytes = stop.map_or(asked, |stop| (stop - stop % granule).min(asked));
        let outcome = Self::execute(memory, descriptor, bytes);
        let faulted = bytes < asked && !outcome.ended;
        let done = match (faulted, outcome.ended) {
            (true, _) => Self::faulted(descriptor, bytes),
            (false, true) => Completion::new(Status::SUCCESS).with_bytes_completed(outcome.at),
            (false, false) => Completion::new(Status::SUCCESS),
        };
        outcome.report(done, faulted && bytes == 0)
    }

    /// How many bytes the record counts up to, and in what steps.
    fn size_and_granule(descriptor: &Descriptor) -> (u32, u32) {
        let size = descriptor.xfer_size();
        match descriptor.opcode() {
            Opcode::APPLY_DELTA => (descriptor.delta_size(), 10),
            Opcode::CREATE_DELTA => (size, 8),
            Opcode::DIF_CHECK
            | Opcode::DIF_INSERT
            | Opcode::DIF_STRIP
            | Opcode::DIF_UPDATE
            | Opcode::DIX_GENERATE => (size, dif::granule(descriptor)),
            Opcode::TYPE_CONVERSION | Opcode::REDUCE | Opcode::REDUCE_DUALCAST => {
                let element = narrow(numeric::size(descriptor.input_type()));
                (size * element, element)
            }
            Opcode::GATHER_REDUCE => {
                (narrow(numeric::block(descriptor)) * u32::from(descriptor.sgl_size()), 1)
            }
            // It translates pages.
            Opcode::TRANSLATION_FETCH => (size, 1),
            _ => (size, 1),
        }
    }

    fn faulted(descriptor: &Descriptor, bytes: u32) -> Completion {
        let done = Completion::new(Status::PAGE_FAULT);
        match descriptor.opcode() {
            Opcode::GATHER_REDUCE => done.with_sgl_completed(3),
            Opcode::GATHER_COPY | Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => {
                let block = narrow(numeric::block(descriptor));
                // Whether part of a block counts is left to the device: this one counts it every other time.
                let counted = if bytes.is_multiple_of(2) { bytes } else { bytes - bytes % block };
                let entries = u16::try_from(bytes / block).expect("as many as there are");
                done.with_sgl_completed(entries).with_bytes_completed(counted)
            }
            Opcode::TRANSLATION_FETCH => {
                let addr = (descriptor.src_addr() + u64::from(bytes)) & !0xfff;
                done.with_fault(addr, FaultInfo::new(Operand::SRC)).with_bytes_completed(0x5a5a_5a5a)
            }
            _ => done.with_bytes_completed(bytes),
        }
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
            Opcode::MEMMOVE | Opcode::INTER_DOMAIN_COPY => {
                // Backwards when the destination begins inside the source.
                let backwards = src < dst && dst < src + size;
                for at in 0..count {
                    let at = if backwards { size - 1 - at } else { at };
                    memory.write(dst + at, memory.read(src + at));
                }
                outcome.result = backwards.into();
            }
            Opcode::FILL | Opcode::INTER_DOMAIN_FILL => {
                let pattern = pattern(descriptor);
                let period = if descriptor.flags().contains(Flags::PATTERN_16) { 16 } else { 8 };
                for (at, byte) in (0..count).zip(pattern[..period].iter().cycle()) {
                    memory.write(dst + at, *byte);
                }
            }
            Opcode::COMPARE | Opcode::INTER_DOMAIN_COMPARE => {
                outcome.difference((0..count).position(|at| memory.read(src + at) != memory.read(dst + at)));
            }
            Opcode::COMPARE_PATTERN | Opcode::INTER_DOMAIN_COMPARE_PATTERN => {
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
            Opcode::DIF_CHECK
            | Opcode::DIF_INSERT
            | Opcode::DIF_STRIP
            | Opcode::DIF_UPDATE
            | Opcode::DIX_GENERATE => dif::run(memory, descriptor, count, &mut outcome),
            Opcode::TYPE_CONVERSION => numeric::convert(memory, descriptor, count, &mut outcome),
            Opcode::REDUCE | Opcode::REDUCE_DUALCAST => {
                numeric::reduce(memory, descriptor, count, &mut outcome)
            }
            Opcode::GATHER_REDUCE if bytes == Self::size_and_granule(descriptor).0 => {
                numeric::gather_reduce(memory, descriptor);
            }
            Opcode::GATHER_COPY | Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => {
                numeric::lists(memory, descriptor, count);
            }
            Opcode::GATHER_REDUCE | Opcode::TRANSLATION_FETCH | Opcode::CACHE_FLUSH => {}
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
    tags: Option<(DifTags, DifTags)>,
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
        if let Some((src, dst)) = self.tags {
            return done.with_src_dif_tags(src).with_dst_dif_tags(dst);
        }
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

/// Bit by bit, as RFC 3720 and the NVMe specification define them, in the terms of DSA appendix A: data and remainder are
/// polynomials with the highest power first, reflected and inverted unless a flag says not to. The upper half of a
/// 32-bit result is noise.
fn crc(memory: &Memory, descriptor: &Descriptor, count: u64) -> u64 {
    let has = |flag| descriptor.flags().contains(flag);
    let (width, polynomial) =
        if has(Flags::CRC64) { (64, 0xad93_d235_94c9_3659) } else { (32, u64::from(0x1edc_6f41_u32)) };
    let ones = u64::MAX >> (64 - width);
    let reversed = |value: u64| value.reverse_bits() >> (64 - width);
    let turned = |value| if has(Flags::BYPASS_CRC_INVERSION) { value } else { reversed(value) ^ ones };
    let seed = if has(Flags::READ_CRC_SEED) {
        (0..width / 8)
            .rev()
            .fold(0, |seed, at| seed << 8 | u64::from(memory.read(descriptor.crc_seed_addr() + at)))
    } else {
        descriptor.crc64_seed() & ones
    };
    let mut remainder = turned(seed);
    for at in 0..count {
        let byte = memory.read(descriptor.src_addr() + at);
        let byte = if has(Flags::BYPASS_DATA_REFLECTION) { byte } else { byte.reverse_bits() };
        remainder ^= u64::from(byte) << (width - 8);
        for _ in 0..8 {
            let carry = remainder >> (width - 1);
            remainder = (remainder << 1 & ones) ^ if carry == 1 { polynomial } else { 0 };
        }
    }
    let noise = if width == 64 { 0 } else { 0xabad_cafe << 32 };
    turned(remainder) | noise
}
