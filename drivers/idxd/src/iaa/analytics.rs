//! Filters, zero compression, CRCs of any polynomial, translation fetches: which descriptor comes next, and what its record means.
//!
//! A column longer than a transfer goes in parts of whole groups of 64 elements, which begin and end at whole bytes
//! whatever their width. The AECS says with which index a part's first bit begins, so that indices and aggregates are
//! those of the whole. What cannot be cut ([`Filter::splits`]) comes here only if it fits one transfer. Of an encrypted column
//! [`Message`] says which part comes next, and where one is only hashed.

use idxd_spec::iaa::{
    CipherFlags, Completion, Crc64, CrcFlags, CryptoAecs, CryptoFlags, DecompressFlags, Descriptor,
    ErrorCode, Filter as Filtering, FilterAecs, FilterFlags,
};
use idxd_spec::{DstAddr, Flags, Opcode, SrcAddr};
use svala::backend::Failure;
use svala::{
    Aggregates, AnyCrc, CIPHER_BLOCK_BYTES, Cipher, CipherMode, ColumnFault, Done, Filter, FilterKind,
    FilterOptions, Job, OutputWidth, Packing, Span, Value, VirtAddr, ZeroWord,
};

use super::Next;
use super::cipher::{authenticate, state_at};
use super::message::{self, Message, Step};
use super::workspace::Workspace;

/// Elements that begin and end at whole bytes, of input and of output.
const GROUP: u64 = 64;
/// Bytes of one translation fetch at most: more would keep an engine long.
const REGION_BYTES_MAX: u64 = 1 << 30;
/// Bytes that zero compression works on at a time.
const ZERO_BLOCK: u64 = 128;

/// How far such a job has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Analytics {
    /// Elements, or bytes, of the parts that are done; of an extract, and of those before its first part.
    at: u64,
    /// Elements, or bytes, of the part under way.
    part: u64,
    /// Room it has.
    room: u64,
    /// Bytes of output.
    written: u64,
    /// Elements of output.
    elements: u32,
    aggregates: Aggregates,
    begun: bool,
    /// Of an encrypted column.
    message: Message,
}

/// Whether a job is of this kind.
pub(super) const fn is_analytics(job: &Job) -> bool {
    matches!(
        job,
        Job::Filter { .. }
            | Job::ZeroCompress { .. }
            | Job::ZeroDecompress { .. }
            | Job::CrcAny { .. }
            | Job::TranslationFetch { .. }
    )
}

impl Analytics {
    pub(super) const START: Self = Self {
        at: 0,
        part: 0,
        room: 0,
        written: 0,
        elements: 0,
        aggregates: Aggregates::EMPTY,
        begun: false,
        message: Message::START,
    };

    /// Bytes of input that are done.
    pub(super) const fn done_bytes(&self, job: &Job) -> u64 {
        match job {
            Job::Filter { filter, .. } if filter.decryption().is_some() => self.message.at,
            Job::Filter { filter, .. } => self.at * filter.width() as u64 / 8,
            _ => self.at,
        }
    }

    /// The next descriptor.
    pub(super) fn load(
        &mut self,
        job: &Job,
        decryption: Option<Decryption<'_>>,
        transfer_bytes_max: u64,
        workspace: &Workspace,
    ) -> Result<Descriptor, Failure> {
        match *job {
            Job::Filter { src, second, dst, filter } => {
                let ranges = Ranges { src, second, dst, bytes_max: transfer_bytes_max };
                match decryption {
                    Some(decryption) => self.load_encrypted(ranges, filter, decryption, workspace),
                    None => self.load_plain(ranges, filter, workspace),
                }
            }
            Job::ZeroCompress { src, dst, word } => {
                // Half: where nothing is zero, the output is the longer one.
                let part_max = transfer_bytes_max / 2 / ZERO_BLOCK * ZERO_BLOCK;
                let part = src.part(self.at, part_max);
                self.load_zero(zero_compress(word), part, dst, transfer_bytes_max)
            }
            Job::ZeroDecompress { src, dst, word } => {
                self.load_zero(zero_decompress(word), src, dst, transfer_bytes_max)
            }
            Job::CrcAny { src, len, crc } => {
                self.part = len;
                let AnyCrc { polynomial, reflect, invert } = crc;
                let mut flags = CrcFlags::empty();
                flags.set(CrcFlags::REFLECT, reflect);
                flags.set(CrcFlags::INVERT, invert);
                let (src, src_size) = (SrcAddr(src.get()), size(len)?);
                Ok(Descriptor::crc64(Crc64 { src, src_size, polynomial, flags }))
            }
            Job::TranslationFetch { addr, len } => {
                self.part = (len - self.at).min(REGION_BYTES_MAX);
                Ok(Descriptor::translation_fetch(SrcAddr(addr.get() + self.at), size(self.part)?))
            }
            _ => Err(Failure::Unsupported),
        }
    }

    fn load_zero(
        &mut self,
        opcode: Opcode,
        part: Span,
        dst: Span,
        transfer_bytes_max: u64,
    ) -> Result<Descriptor, Failure> {
        if part.len == 0 {
            return Err(Failure::Unsupported);
        }
        let room = dst.part(self.written, transfer_bytes_max);
        (self.part, self.room) = (part.len, room.len);
        let (src, dst) = (SrcAddr(part.addr.get()), DstAddr(room.addr.get()));
        Ok(Descriptor::zero(opcode, src, size(part.len)?, dst, size(room.len)?))
    }

    fn load_plain(
        &mut self,
        ranges: Ranges,
        filter: Filter,
        workspace: &Workspace,
    ) -> Result<Descriptor, Failure> {
        if !self.begun {
            (self.at, self.begun) = (first_part(filter), true);
        }
        let part = self.part_of(ranges, filter)?;
        let src = match filter.splits() {
            true => {
                let bits = u64::from(filter.width());
                ranges.src.part(self.at * bits / 8, (part * bits).div_ceil(8))
            }
            false => ranges.src,
        };
        let descriptor = self.load_filter(ranges, src, part, filter)?;
        let second = match filter.kind() {
            FilterKind::Scan | FilterKind::Extract => {
                let aecs = self.parameters(filter)?;
                return Ok(descriptor.with_filter_aecs(SrcAddr(workspace.set_filter_aecs(&aecs).get())));
            }
            FilterKind::FindUnique => return Ok(descriptor),
            FilterKind::Select => {
                let second = Span::new(ranges.second, filter.second_bytes());
                second.part(self.at / 8, self.part.div_ceil(8))
            }
            _ => Span::new(ranges.second, filter.second_bytes()),
        };
        Ok(descriptor.with_second_input(SrcAddr(second.addr.get()), size(second.len)?))
    }

    /// The next step of an encrypted column: a filter with a decryption in front, or a decryption alone.
    fn load_encrypted(
        &mut self,
        ranges: Ranges,
        filter: Filter,
        decryption: Decryption<'_>,
        workspace: &Workspace,
    ) -> Result<Descriptor, Failure> {
        let cipher = decryption.cipher;
        if !self.begun {
            let order = self.order(ranges.src, ranges.dst, filter, cipher, ranges.bytes_max);
            (self.at, self.begun) = (order.first_element(first_wanted(filter)), true);
        }
        let order = self.order(ranges.src, ranges.dst, filter, cipher, ranges.bytes_max);
        let step = self.message.next(order)?;
        let blocks = self.message.at / CIPHER_BLOCK_BYTES;
        let (crypto, key) = state_at(cipher, blocks, self.message.carried)?;
        // What is given is decrypted to its end: a filter leaves nothing waiting (IAA table 4-5).
        let crypto = crypto
            .with_flags(crypto.flags() | CryptoFlags::FLUSH_ACCUMULATOR)
            .with_output_bits(decryption.format_2.into());
        let at = self.message.at;
        let (descriptor, crypto) = match step {
            Step::Filter { bytes, elements } => {
                let src = ranges.src.part(at, bytes);
                let descriptor = self.load_filter(ranges, src, elements, filter)?;
                (descriptor, crypto.with_filter(&self.parameters(filter)?))
            }
            Step::Hash { bytes } => (self.load_alone(ranges.src.part(at, bytes))?, crypto),
            Step::Vector => {
                let from = at.saturating_sub(CIPHER_BLOCK_BYTES);
                let descriptor = self.load_alone(ranges.src.part(from, CIPHER_BLOCK_BYTES))?;
                (descriptor.with_flags(Flags::WRITE_SRC2_AECS), crypto)
            }
        };
        let addr = workspace.set_crypto_filter(&crypto, key);
        Ok(descriptor.with_src2(addr.get(), CryptoAecs::SIZE_U32).with_flags(Flags::READ_SRC2_AECS))
    }

    fn order(&self, src: Span, dst: Span, filter: Filter, cipher: &Cipher, bytes_max: u64) -> message::Order {
        let end = last_part(filter);
        let left = u32::try_from(end.saturating_sub(self.at)).unwrap_or(u32::MAX);
        message::Order {
            mode: cipher.mode(),
            filter,
            message_bytes: src.len,
            element: self.at,
            end,
            output_bytes_max: filter.written_bytes(left).min(dst.len.saturating_sub(self.written)),
            transfer_bytes_max: bytes_max,
        }
    }

    /// A decryption whose output goes nowhere.
    fn load_alone(&mut self, src: Span) -> Result<Descriptor, Failure> {
        (self.part, self.room) = (0, 0);
        let (from, nowhere) = (SrcAddr(src.addr.get()), DstAddr(0));
        let descriptor = Descriptor::cipher(Opcode::DECRYPT, from, size(src.len)?, nowhere, 0);
        Ok(descriptor.with_cipher_flags(CipherFlags::FLUSH_OUTPUT | CipherFlags::SUPPRESS_OUTPUT))
    }

    /// A filter of so many elements, without its parameters or its second input.
    fn load_filter(
        &mut self,
        ranges: Ranges,
        src: Span,
        elements: u64,
        filter: Filter,
    ) -> Result<Descriptor, Failure> {
        let room = ranges.dst.part(self.written, ranges.bytes_max);
        (self.part, self.room) = (elements, room.len);
        let descriptor = Descriptor::filter(
            opcode(filter.kind()),
            Filtering {
                src: SrcAddr(src.addr.get()),
                src_size: size(src.len)?,
                dst: DstAddr(if ranges.dst.len == 0 { 0 } else { room.addr.get() }),
                dst_size_max: size(room.len)?,
                flags: flags(filter),
                input_count: size(elements)?,
            },
        );
        let mut decompress = DecompressFlags::empty();
        if filter.is_deflated() {
            decompress |= DecompressFlags::ENABLE
                | DecompressFlags::STOP_ON_EOB
                | DecompressFlags::CHECK_FOR_EOB
                | DecompressFlags::SELECT_BFINAL_EOB;
        }
        if ranges.dst.len == 0 {
            decompress |= DecompressFlags::SUPPRESS_OUTPUT;
        }
        Ok(descriptor.with_decompress_flags(decompress))
    }

    /// Parameters of the part at hand.
    fn parameters(&self, filter: Filter) -> Result<FilterAecs, Failure> {
        let at = u32::try_from(self.at).map_err(|_| Failure::Unsupported)?;
        let aecs = FilterAecs::new();
        Ok(match filter.kind() {
            FilterKind::Scan => aecs.with_low(filter.low()).with_high(filter.high()).with_output_index(at),
            _ => aecs
                .with_low(filter.low().saturating_sub(at))
                .with_high(filter.high().saturating_sub(at))
                .with_output_index(self.elements),
        })
    }

    /// Elements of the next part.
    fn part_of(&self, ranges: Ranges, filter: Filter) -> Result<u64, Failure> {
        let left = last_part(filter).saturating_sub(self.at);
        if !filter.splits() {
            return Ok(left);
        }
        let bits = ranges.bytes_max.saturating_mul(8);
        let input = bits / u64::from(filter.width().max(1));
        let output = bits / u64::from(filter.written_width().max(1));
        let part = input.min(output).min(left);
        let part = if part < left { part / GROUP * GROUP } else { part };
        // A transfer that holds no group of elements.
        if part == 0 { Err(Failure::Unsupported) } else { Ok(part) }
    }

    /// Takes in the record of a descriptor that ended well.
    pub(super) fn done(
        &mut self,
        job: &Job,
        cipher: Option<&Cipher>,
        record: &Completion,
        workspace: &Workspace,
    ) -> Result<Next, Failure> {
        if let Job::CrcAny { len, .. } = *job {
            return Ok(Next::End(Done { bytes: len, value: Value::Crc(record.crc64()) }));
        }
        let output = u64::from(record.output_size());
        if output > self.room {
            let record = u64::from(record.status().0);
            return Err(Failure::Nonsense { what: "more output than room", record });
        }
        let first = self.at;
        self.written += output;
        self.at += self.part;
        let (is_over, value) = match *job {
            Job::Filter { src, dst, filter, .. } => {
                let is_over = match cipher {
                    Some(cipher) => self.decrypted(src, dst, filter, cipher, record, workspace)?,
                    None => self.at >= last_part(filter),
                };
                if self.part > 0 {
                    // Before the tag was looked at it is for the CPU to say what is wrong.
                    let unless_over = |failure| if is_over { failure } else { Failure::Stream };
                    self.take(filter, record, first).map_err(unless_over)?;
                }
                let (elements, aggregates) = (self.elements, self.aggregates);
                (is_over, Value::Filter { elements, aggregates })
            }
            Job::ZeroCompress { src, .. } | Job::ZeroDecompress { src, .. } => {
                (self.at >= src.len, Value::Written(self.written))
            }
            Job::TranslationFetch { len, .. } => (self.at >= len, Value::None),
            _ => return Err(Failure::Unsupported),
        };
        if !is_over {
            return Ok(Next::Descriptor);
        }
        Ok(Next::End(Done { bytes: job.bytes(), value }))
    }

    /// Takes in what a step of an encrypted column has left; says whether it was the last, of a message that is what it should be.
    fn decrypted(
        &mut self,
        src: Span,
        dst: Span,
        filter: Filter,
        cipher: &Cipher,
        record: &Completion,
        workspace: &Workspace,
    ) -> Result<bool, Failure> {
        let carried =
            if cipher.mode() == CipherMode::Cfb { workspace.written_counter() } else { record.crypto_hash() };
        self.message.done(carried);
        let is_over = self.message.is_over(self.order(src, dst, filter, cipher, 0));
        if is_over {
            authenticate(cipher, src.len, self.message.carried)?;
        }
        Ok(is_over)
    }

    /// Elements and aggregates of a part that begins with element `first`.
    fn take(&mut self, filter: Filter, record: &Completion, first: u64) -> Result<(), Failure> {
        let output = u64::from(record.output_size());
        let missing = match record.output_bits() {
            0 => 0,
            bits => 8_u64.saturating_sub(bits.into()),
        };
        let bits = (output * 8).saturating_sub(missing);
        let elements = u32::try_from(bits / u64::from(filter.written_width().max(1))).unwrap_or(u32::MAX);
        if self.room > 0 && has_other_width(filter, bits, elements) {
            return Err(Failure::Column { fault: ColumnFault::ParquetWidth });
        }
        self.elements = self.elements.saturating_add(elements);
        let found = Aggregates { min: record.min(), max: record.max(), sum: record.sum() };
        let is_bits = filter.nominal_width() == 1;
        // Of nothing, a device may say anything.
        let is_nothing = if is_bits { found.sum == 0 } else { elements == 0 && self.room > 0 };
        if is_nothing {
            return Ok(());
        }
        // There is no AECS to say where the indices begin.
        let base = match filter.kind() {
            FilterKind::SetMembership => u32::try_from(first).unwrap_or(0),
            _ => 0,
        };
        let (min, max) = (found.min.saturating_add(base), found.max.saturating_add(base));
        self.aggregates = self.aggregates.and(Aggregates { min, max, ..found });
        Ok(())
    }
}

/// Whether output of so many bits shows that a stream in Parquet's encoding has another width than its column. The device does
/// not say which one it has read.
fn has_other_width(filter: Filter, bits: u64, elements: u32) -> bool {
    if filter.packing() != Packing::ParquetRle || !filter.keeps_width() {
        return false;
    }
    let expected = match filter.kind() {
        FilterKind::Extract => {
            filter.high().saturating_add(1).min(filter.count()).saturating_sub(filter.low())
        }
        FilterKind::Expand => filter.count(),
        // How many there are, the mask says.
        _ => elements,
    };
    bits != u64::from(expected) * u64::from(filter.width())
}

/// What an analytics error means.
pub(super) fn failure(job: &Job, code: ErrorCode) -> Option<Failure> {
    let (dst, filter) = match *job {
        Job::Filter { dst, filter, .. } => (dst, Some(filter)),
        Job::ZeroCompress { dst, .. } | Job::ZeroDecompress { dst, .. } => (dst, None),
        _ => return None,
    };
    // The device looks at a tag last, and of a message that is not authentic nothing else is to be said. The CPU looks first.
    if filter.and_then(Filter::decryption) == Some(CipherMode::Gcm) {
        return Some(Failure::Stream);
    }
    let fault = match (code, filter) {
        (ErrorCode::OUTPUT_OVERFLOW, _) => return Some(Failure::OutputFull { bytes_max: dst.len }),
        (ErrorCode::SRC1_TOO_SMALL, None) => {
            let (Job::ZeroCompress { src, .. } | Job::ZeroDecompress { src, .. }) = *job else { return None };
            return Some(Failure::Truncated { len: src.len });
        }
        (_, None) => return None,
        (ErrorCode::PRLE_FORMAT, _) => ColumnFault::Parquet,
        (ErrorCode::PRLE_WIDTH, _) => ColumnFault::ParquetWidth,
        (ErrorCode::FILTER_OVERFLOW, Some(filter)) if filter.kind() == FilterKind::RleBurst => {
            ColumnFault::RunBackwards
        }
        (ErrorCode::FILTER_OVERFLOW, Some(filter)) => {
            ColumnFault::ElementTooWide { width: filter.written_width() }
        }
        (ErrorCode::SRC1_TOO_SMALL | ErrorCode::TOO_FEW_ELEMENTS, Some(filter)) => {
            ColumnFault::TooShort { expected: filter.count() }
        }
        (ErrorCode::SRC2_TOO_SMALL, Some(filter)) => {
            ColumnFault::SecondTooShort { expected: filter.second().map_or(0, |(elements, _)| elements) }
        }
        // Whatever else there is, is of the stream: a decoder without limits says what.
        (_, Some(filter)) if filter.is_deflated() => return Some(Failure::Stream),
        _ => return None,
    };
    Some(Failure::Column { fault })
}

/// How a column is encrypted.
#[derive(Clone, Copy)]
pub(super) struct Decryption<'c> {
    pub(super) cipher: &'c Cipher,
    /// State in the second generation's format.
    pub(super) format_2: bool,
}

/// A filter's ranges.
#[derive(Clone, Copy)]
struct Ranges {
    src: Span,
    second: VirtAddr,
    dst: Span,
    bytes_max: u64,
}

/// The element a filter's first part begins with: an extract leaves out the groups before its first element.
fn first_part(filter: Filter) -> u64 {
    if filter.splits() { first_wanted(filter) / GROUP * GROUP } else { 0 }
}

/// The first element that is looked at.
fn first_wanted(filter: Filter) -> u64 {
    match filter.kind() {
        FilterKind::Extract if !filter.is_of_nothing() => filter.low().into(),
        _ => 0,
    }
}

/// The element behind a filter's last part.
fn last_part(filter: Filter) -> u64 {
    let count = u64::from(filter.count());
    let group = match (filter.splits(), filter.splits_at_blocks()) {
        (true, _) => GROUP,
        (_, true) => message::GROUP,
        _ => count,
    };
    match filter.kind() {
        FilterKind::Extract if !filter.is_of_nothing() => count.min(u64::from(filter.high()) + 1),
        // Nothing is extracted, and one group says so.
        FilterKind::Extract => count.min(group),
        _ => count,
    }
}

fn flags(filter: Filter) -> FilterFlags {
    let options = filter.options();
    let mut flags = FilterFlags::empty();
    flags.set(FilterFlags::SRC2_BE, options.contains(FilterOptions::SECOND_BIG_ENDIAN));
    flags.set(FilterFlags::OUTPUT_BE, options.contains(FilterOptions::OUTPUT_BIG_ENDIAN));
    flags.set(FilterFlags::INVERT_OUTPUT, options.contains(FilterOptions::INVERT));
    let field = |width: u8| u32::from(width.saturating_sub(1));
    flags = match filter.packing() {
        Packing::Little => flags.with_src1_width(field(filter.width())),
        Packing::Big => flags.with_src1_parser(1).with_src1_width(field(filter.width())),
        // The width is in the stream.
        Packing::ParquetRle => flags.with_src1_parser(2),
    };
    flags = flags.with_output_width(match filter.output() {
        OutputWidth::Nominal => 0,
        OutputWidth::Bits8 => 1,
        OutputWidth::Bits16 => 2,
        OutputWidth::Bits32 => 3,
    });
    match filter.kind() {
        FilterKind::RleBurst => flags.with_src2_width(field(filter.nominal_width())),
        FilterKind::SetMembership | FilterKind::FindUnique => {
            flags.with_drop_low_bits(filter.low()).with_drop_high_bits(filter.high())
        }
        _ => flags,
    }
}

const fn opcode(kind: FilterKind) -> Opcode {
    match kind {
        FilterKind::Scan => Opcode::SCAN,
        FilterKind::SetMembership => Opcode::SET_MEMBERSHIP,
        FilterKind::Extract => Opcode::EXTRACT,
        FilterKind::Select => Opcode::SELECT,
        FilterKind::Expand => Opcode::EXPAND,
        FilterKind::RleBurst => Opcode::RLE_BURST,
        FilterKind::FindUnique => Opcode::FIND_UNIQUE,
    }
}

const fn zero_compress(word: ZeroWord) -> Opcode {
    match word {
        ZeroWord::Bits8 => Opcode::ZERO_COMPRESS_8,
        ZeroWord::Bits16 => Opcode::ZERO_COMPRESS_16,
        ZeroWord::Bits32 => Opcode::ZERO_COMPRESS_32,
    }
}

const fn zero_decompress(word: ZeroWord) -> Opcode {
    match word {
        ZeroWord::Bits8 => Opcode::ZERO_DECOMPRESS_8,
        ZeroWord::Bits16 => Opcode::ZERO_DECOMPRESS_16,
        ZeroWord::Bits32 => Opcode::ZERO_DECOMPRESS_32,
    }
}

fn size(value: u64) -> Result<u32, Failure> {
    u32::try_from(value).map_err(|_| Failure::Unsupported)
}

#[cfg(test)]
mod tests {
    use svala::AesKey;

    use super::*;

    /// Bit 0 of the bits of output says so (IAA §3.2.1), also where the whole of them is not read.
    #[test]
    fn a_decryption_in_front_has_the_format_of_its_device() {
        let cipher = Cipher::cfb(AesKey::new(&[1; 16]).expect("a length of AES"), [2; 16]);
        let src = Span::new(VirtAddr::new(0x1000), 64);
        let filter = Filter::new(FilterKind::Scan, Packing::Little, 8, 64);
        let filter = filter.with_decryption(Some(CipherMode::Cfb));
        let job = Job::Filter { src, second: cipher.addr(), dst: Span::default(), filter };
        for format_2 in [false, true] {
            let workspace = Workspace::new();
            let decryption = Some(Decryption { cipher: &cipher, format_2 });
            { Analytics::START }.load(&job, decryption, 4096, &workspace).expect("fits one transfer");
            assert_eq!(workspace.decompress_aecs(false).output_bits() & 1, u8::from(format_2));
        }
    }
}
