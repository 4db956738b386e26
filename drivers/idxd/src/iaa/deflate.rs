//! A deflate job: which descriptor comes next, and what its record means.
//!
//! A job runs in parts, each a block that ends on a byte boundary, or several stored ones. What the codes of a block
//! are made of depends on the level and on the device:
//!
//! | level | codes | descriptors of a part |
//! |---|---|---|
//! | 1 | the fixed ones | 1 |
//! | 2, 3 | made of the first part's counts, for all parts | 1, and one more for the first |
//! | 4 to 9 | made of the part's own counts, by software | 2: counts, then output |
//! | 4 to 9, device with header generation | made by the device | 1 up to 4 KiB, else 2: codes, then output |
//!
//! Where counts are known, the cheapest of the codes at hand, the fixed ones and a stored block is taken; where not, a
//! part that comes out larger than stored blocks overflows the room it is given, and is stored. The device writes stored
//! blocks too: see [`CompressAecs::stored`].
//!
//! Of miniblocks, a part has whole ones, but for the last one of the job, and so have stored blocks.
//!
//! With a dictionary, the first part refers to its last 2 or 4 KiB, and has codes made by software from level 2 on.
//!
//! UNSAFETY: reads a dictionary, which a job has the address of.
#![expect(unsafe_code, reason = "jobs name a dictionary by its address")]

use idxd_spec::iaa::{
    CodeLengths, Completion, Compress, CompressAecs, CompressFlags, Descriptor, DictionaryStyle, ErrorCode,
    Histogram,
};
use idxd_spec::{DstAddr, Flags, SrcAddr};
use svala::backend::Failure;
use svala::{MiniblockSize, Span};

use super::lent;
use super::workspace::Workspace;

/// Most bytes of a part: codes follow what changes along the input, and counts stay below the most that is counted.
const PART_BYTES_MAX: u64 = 256 << 10;
/// Below this the header of a block costs more than its codes save.
const DYNAMIC_BYTES_MIN: u64 = 128;
/// Most bytes of one-pass header generation (IAA §3.4.5).
const ONE_PASS_BYTES_MAX: u64 = 4096;
/// Most bytes of a stored block, and of its header on a byte boundary.
const STORED_BYTES_MAX: u64 = 65_535;
const STORED_HEADER_BYTES: u64 = 5;
/// Bits of a header of a block with the fixed codes.
const FIXED_HEADER_BITS: u64 = 3;

const _: () = assert!(PART_BYTES_MAX < Histogram::COUNT_MAX as u64);

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// A new part begins.
    #[default]
    Begin,
    /// Counts tokens.
    Count,
    /// Has the device make codes and header.
    Generate,
    /// Writes the part with codes of this kind.
    Encode(Codes),
    /// Writes stored blocks, with this much of the part left, and this much of it in the descriptor under way.
    Store { left: u64, piece: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codes {
    /// The fixed ones.
    Fixed,
    /// Those in the workspace, made of counts.
    Made,
    /// Those in the AECS, which the device has made with their header.
    Generated,
    /// Those the device makes on the way.
    OnePass,
}

/// What the caller asks for.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) src: Span,
    pub(super) dst: Span,
    pub(super) level: u8,
    /// The stream ends here.
    pub(super) last: bool,
    pub(super) transfer_bytes_max: u64,
    /// The device makes codes itself.
    pub(super) generates: bool,
    /// What the first part may refer to.
    pub(super) dictionary: Option<Span>,
    /// No match crosses them.
    pub(super) miniblocks: Option<MiniblockSize>,
}

impl Order {
    /// The most of `bytes_max` that ends with a miniblock.
    const fn whole(&self, bytes_max: u64) -> u64 {
        match self.miniblocks {
            Some(size) => bytes_max - bytes_max % size.bytes(),
            None => bytes_max,
        }
    }

    /// Most bytes of a part.
    fn part_bytes_max(&self) -> u64 {
        self.whole(PART_BYTES_MAX.min(self.transfer_bytes_max / 2))
    }

    fn indexing(&self) -> CompressFlags {
        CompressFlags::empty().with_indexing(self.miniblocks.map_or(0, MiniblockSize::indexing))
    }

    /// Bytes of stored blocks that hold so many.
    const fn stored_bytes(&self, bytes: u64) -> u64 {
        let blocks = bytes.div_ceil(self.whole(STORED_BYTES_MAX));
        bytes + STORED_HEADER_BYTES * if blocks == 0 { 1 } else { blocks }
    }
}

/// How far a deflate job has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deflating {
    /// Input bytes done.
    pub(super) read: u64,
    /// Output bytes written.
    pub(super) written: u64,
    pub(super) crc: u32,
    step: Step,
    /// Input bytes of the part under way.
    part: u64,
    /// The codes in the workspace are good for all parts.
    canned: bool,
}

/// What follows a descriptor.
pub(super) enum Next {
    /// Another one.
    Descriptor,
    /// The job is done.
    End,
    /// The job has failed.
    Failed(Failure),
    /// The device has refused, for a reason that is not this job's.
    Status,
}

impl Deflating {
    /// The next descriptor.
    pub(super) fn load(&mut self, order: Order, workspace: &Workspace) -> Result<Descriptor, Failure> {
        if self.step == Step::Begin {
            self.begin(order);
            if let Some((style, text)) = self.dictionary(order) {
                // SAFETY: the job is under way, and its dictionary is lent with the buffers.
                workspace.set_dictionary(style, unsafe { lent::bytes(text) });
            }
        }
        let src = order.src.part(self.read, self.part);
        match self.step {
            Step::Begin | Step::Count => {
                let counts = DstAddr(workspace.histogram().addr.get());
                let (from, len, end) = (SrcAddr(src.addr.get()), size(src.len)?, CompressFlags::END_EOB);
                let end = end | order.indexing();
                let descriptor = Descriptor::compress_statistics(from, len, counts, end);
                Ok(self.with_dictionary(descriptor, order, workspace))
            }
            Step::Generate => Ok(Descriptor::compress_generate(
                SrcAddr(src.addr.get()),
                size(src.len)?,
                SrcAddr(workspace.compress_area().addr.get()),
                (end_of(self.is_final(order)) | order.indexing())
                    .with_header_generation(if self.is_final(order) { 7 } else { 6 }),
            )),
            Step::Encode(codes) => self.encode(codes, src, order, workspace),
            Step::Store { left, .. } => self.store(left, order, workspace),
        }
    }

    fn begin(&mut self, order: Order) {
        self.part = order.src.part(self.read, order.part_bytes_max()).len;
        self.step = match order.level {
            ..=1 => Step::Encode(Codes::Fixed),
            _ if self.part < DYNAMIC_BYTES_MIN => Step::Encode(Codes::Fixed),
            2..=3 if self.canned => Step::Encode(Codes::Made),
            // There is none with one pass, and two are not worth it.
            _ if self.dictionary(order).is_some() => Step::Count,
            4.. if order.generates && self.part <= ONE_PASS_BYTES_MAX => Step::Encode(Codes::OnePass),
            4.. if order.generates => Step::Generate,
            _ => Step::Count,
        };
    }

    /// The dictionary of the part under way, and how much of it there is: nothing goes on from part to part.
    fn dictionary(&self, order: Order) -> Option<(DictionaryStyle, Span)> {
        let text = order.dictionary.filter(|_| self.read == 0)?;
        let style = match text.len {
            ..4096 => DictionaryStyle::Short,
            _ => DictionaryStyle::LongDeep,
        };
        Some((style, text))
    }

    fn with_dictionary(&self, descriptor: Descriptor, order: Order, workspace: &Workspace) -> Descriptor {
        match self.dictionary(order) {
            Some((style, _)) => {
                descriptor.with_dictionary(SrcAddr(workspace.dictionary_area(style).addr.get()), style)
            }
            None => descriptor,
        }
    }

    /// Whether the part under way is the last of the stream.
    const fn is_final(&self, order: Order) -> bool {
        order.last && self.read + self.part == order.src.len
    }

    fn encode(
        &self,
        codes: Codes,
        src: Span,
        order: Order,
        workspace: &Workspace,
    ) -> Result<Descriptor, Failure> {
        let is_final = self.is_final(order);
        let mut aecs = match codes {
            Codes::Fixed => CompressAecs::fixed_huffman(is_final),
            Codes::Made => {
                let (mut aecs, lengths) = (CompressAecs::new(), workspace.code_lengths.get());
                aecs.set_codes(&lengths);
                // Whoever made the lengths has seen to it that the header fits.
                let _ = aecs.push_dynamic_header(&lengths, is_final);
                aecs
            }
            Codes::Generated => workspace.compress_aecs(true),
            Codes::OnePass => CompressAecs::new(),
        };
        aecs.set_crc(self.crc);
        workspace.set_compress_aecs(&aecs, self.dictionary(order).is_some());
        let flags = match codes {
            Codes::OnePass => end_of(is_final).with_header_generation(if is_final { 3 } else { 2 }),
            _ => end_of(is_final),
        };
        // The block with one code more than its part has tokens is never smaller than stored blocks.
        let room = self.room(order)?.min(order.stored_bytes(self.part).max(MIN_ROOM));
        let descriptor = self.descriptor(src, room, flags | order.indexing(), order, workspace)?;
        Ok(self.with_dictionary(descriptor, order, workspace))
    }

    fn store(&mut self, left: u64, order: Order, workspace: &Workspace) -> Result<Descriptor, Failure> {
        let piece = left.min(order.whole(STORED_BYTES_MAX.min(order.transfer_bytes_max / 2)));
        self.step = Step::Store { left, piece };
        let src = order.src.part(self.read + (self.part - left), piece);
        let len = u16::try_from(piece).map_err(|_| Failure::Unsupported)?;
        let mut aecs = CompressAecs::stored(len, self.is_final(order) && piece == left);
        aecs.set_crc(self.crc);
        workspace.set_compress_aecs(&aecs, false);
        let room = self.room(order)?.min(piece + STORED_HEADER_BYTES);
        self.descriptor(src, room, CompressFlags::GENERATE_ALL_LITERALS, order, workspace)
    }

    fn descriptor(
        &self,
        src: Span,
        room: u64,
        flags: CompressFlags,
        order: Order,
        workspace: &Workspace,
    ) -> Result<Descriptor, Failure> {
        Ok(Descriptor::compress(Compress {
            src: SrcAddr(src.addr.get()),
            src_size: size(src.len)?,
            dst: DstAddr(order.dst.part(self.written, room).addr.get()),
            dst_size_max: size(room)?,
            aecs: SrcAddr(workspace.compress_area().addr.get()),
            flags: CompressFlags::FLUSH_OUTPUT | flags,
        }))
    }

    /// Output that has room, of what one descriptor can write.
    fn room(&self, order: Order) -> Result<u64, Failure> {
        match order.dst.part(self.written, order.transfer_bytes_max).len {
            0 => Err(Failure::OutputFull { bytes_max: order.dst.len }),
            room => Ok(room),
        }
    }

    /// Takes in the record of a descriptor that ended well.
    pub(super) fn done(
        &mut self,
        record: &Completion,
        room: u64,
        order: Order,
        workspace: &Workspace,
    ) -> Next {
        let output = u64::from(record.output_size());
        let steps_on = |this: &mut Self, step| {
            this.step = step;
            Next::Descriptor
        };
        match self.step {
            Step::Begin | Step::Count => {
                let step = self.choose(order, workspace);
                steps_on(self, step)
            }
            Step::Generate => steps_on(self, Step::Encode(Codes::Generated)),
            Step::Encode(_) | Step::Store { .. } if output > room => {
                let record = record.status().0.into();
                Next::Failed(Failure::Nonsense { what: "more output than room", record })
            }
            Step::Encode(_) => {
                self.take(output, record.crc());
                self.end_part(order)
            }
            Step::Store { left, piece } => {
                self.take(output, record.crc());
                match left - piece {
                    0 => self.end_part(order),
                    left => steps_on(self, Step::Store { left, piece: 0 }),
                }
            }
        }
    }

    const fn take(&mut self, output: u64, crc: u32) {
        self.written += output;
        self.crc = crc;
    }

    fn end_part(&mut self, order: Order) -> Next {
        self.read += self.part;
        self.step = Step::Begin;
        if self.read == order.src.len { Next::End } else { Next::Descriptor }
    }

    /// The cheapest way to write a part whose tokens have been counted.
    fn choose(&mut self, order: Order, workspace: &Workspace) -> Step {
        let counts = workspace.counts();
        let lengths =
            CodeLengths::of(&if order.level <= 3 { counts.clone().all_tokens() } else { counts.clone() });
        let header = lengths.header_bits();
        let fits = header <= CompressAecs::ACCUMULATOR_BITS_MAX.into();
        let made = if fits { lengths.bits(&counts).map(|bits| header + bits) } else { None };
        let fixed = CodeLengths::fixed().bits(&counts).map(|bits| FIXED_HEADER_BITS + bits);
        let coded = [made, fixed].into_iter().flatten().min();
        if coded.is_none_or(|bits| bits.div_ceil(8) >= order.stored_bytes(self.part)) {
            return Step::Store { left: self.part, piece: 0 };
        }
        if coded != made {
            return Step::Encode(Codes::Fixed);
        }
        workspace.code_lengths.set(lengths);
        self.canned = order.level <= 3;
        Step::Encode(Codes::Made)
    }

    /// What to do about an analytics error.
    pub(super) fn failed(&mut self, code: ErrorCode, order: Order) -> Next {
        match (self.step, code) {
            (Step::Generate | Step::Encode(Codes::OnePass), ErrorCode::HEADER_OVERFLOW) => {
                self.step = Step::Encode(Codes::Fixed);
                Next::Descriptor
            }
            // A compression that does not fit is an analytics error (IAA §3.4.2), not an overflow.
            (Step::Encode(_), ErrorCode::OUTPUT_OVERFLOW) if self.part > 0 => {
                let room = order.dst.len.saturating_sub(self.written);
                if room < order.stored_bytes(self.part) {
                    return Next::Failed(Failure::OutputFull { bytes_max: order.dst.len });
                }
                self.step = Step::Store { left: self.part, piece: 0 };
                Next::Descriptor
            }
            (Step::Encode(_) | Step::Store { .. }, ErrorCode::OUTPUT_OVERFLOW) => {
                Next::Failed(Failure::OutputFull { bytes_max: order.dst.len })
            }
            _ => Next::Status,
        }
    }

    /// Both halves of the AECS: which of them a descriptor reads and writes is in its flags.
    pub(super) fn area(descriptor: &Descriptor, workspace: &Workspace) -> Option<Span> {
        let uses = Flags::READ_SRC2_AECS | Flags::WRITE_SRC2_AECS;
        let area = match DictionaryStyle::from_bits(descriptor.compress_flags().dictionary()) {
            Some(style) => workspace.dictionary_area(style),
            None => workspace.compress_area(),
        };
        descriptor.flags().intersects(uses).then_some(area)
    }
}

/// Room for a block with nothing in it, which ends in a stored block.
const MIN_ROOM: u64 = 8;

const fn end_of(is_final: bool) -> CompressFlags {
    if is_final { CompressFlags::END_EOB } else { CompressFlags::END_EOB_STORED }
}

fn size(bytes: u64) -> Result<u32, Failure> {
    u32::try_from(bytes).map_err(|_| Failure::Unsupported)
}
