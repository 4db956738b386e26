//! Filters, with decryption and decompression before them where the descriptor asks for it, and zero compression.
//!
//! What the specification reserves (set membership, bursts of runs, unique values, zero compression) does what the public
//! software models do. Where neither says which error an input is, the choice is this model's: a run that ends before it
//! begins is an element too wide.

use idxd_spec::iaa::{Completion, DecompressAecs, DecompressFlags, ErrorCode, FilterAecs, FilterFlags};
use idxd_spec::{Flags, Opcode, Operand, Status};
use svala_software::filter::{
    Column, Filter, FilterError, Output, OutputWidth, Packing, Second, filter as run_filter,
};
use svala_software::{ZeroError, ZeroWord, zero_compress, zero_decompress};

use super::cipher::Decryption;
use super::decompress::{ignored_end_bits, in_order, stop_on};
use super::stream::Stream;
use super::{Analytics, analytics_error, len, read_whole};
use crate::bus::Bus;
use crate::iaa::{InputBits, Outcome};
use crate::index::index;
use crate::walk::{Span, Walk};

/// Bytes of a stream expanded at a time: what is beyond the last element is only summed.
const WINDOW: usize = 64 << 10;
/// Most bytes an element takes in Parquet's encoding: the header and the value of a run of one.
const PARQUET_BYTES_MAX: usize = 9;

impl<B: Bus> Analytics<'_, B> {
    pub(super) fn filter(&self) -> Result<Completion, Completion> {
        let flags = self.descriptor.filter_flags();
        let source = self.read_src1()?;
        let decryption = self.decryption(&source)?;
        let hash = decryption.as_ref().map_or([0; 16], Decryption::hash);
        let source = decryption.map_or(source, Decryption::into_plain);
        let aecs = self.filter_aecs()?;
        let second = self.second_input()?;
        let dropped = usize::from(aecs.drop_initial_bytes());
        let decompresses = self.descriptor.decompress_flags().contains(DecompressFlags::ENABLE);
        let (input, seeds) = match decompresses {
            true => self.expanded(&source, dropped)?,
            false => {
                let seeds = (aecs.crc(), aecs.xor_csum());
                let summed = self.checksummed(Completion::new(Status::SUCCESS), &source, seeds);
                (source, (summed.crc(), summed.xor_csum()))
            }
        };
        let bytes = match input.get(dropped..) {
            Some(bytes) if !bytes.is_empty() || self.descriptor.opcode() == Opcode::EXPAND => bytes,
            _ => return Err(analytics_error(self.too_small())),
        };
        let column = Column {
            bytes,
            packing: packing(flags),
            width: width(flags.src1_width()),
            count: self.descriptor.input_count(),
        };
        let second = Second { bytes: &second, big_endian: flags.contains(FilterFlags::SRC2_BE) };
        let asked = self.asked(flags, &aecs, second).ok_or(Completion::new(Status::BAD_OPCODE))?;
        let suppresses = self.descriptor.decompress_flags().contains(DecompressFlags::SUPPRESS_OUTPUT);
        let mut room = vec![0; if suppresses { 0 } else { self.descriptor.dst_size_max() as usize }];
        let output = Output { first_index: aecs.output_index(), ..output(flags) };
        let done = run_filter(&column, &asked, &output, (!suppresses).then_some(&mut room[..]))
            .map_err(|error| self.filter_error(error))?;
        let (written, bits) = if suppresses { (0, 0) } else { (done.bytes, done.bits) };
        self.write_output(&room[..written])?;
        let completion = Completion::new(Status::SUCCESS).with_crc(seeds.0).with_xor_csum(seeds.1);
        let aggregates = done.aggregates;
        Ok(completion
            .with_output_size(len(written))
            .with_output_bits(bits)
            .with_min(aggregates.min)
            .with_max(aggregates.max)
            .with_sum(aggregates.sum)
            .with_crypto_hash(hash))
    }

    fn asked<'b>(&self, flags: FilterFlags, aecs: &FilterAecs, second: Second<'b>) -> Option<Filter<'b>> {
        let [drop_low, drop_high] =
            [flags.drop_low_bits(), flags.drop_high_bits()].map(|bits| bits.to_le_bytes()[0]);
        Some(match self.descriptor.opcode() {
            Opcode::SCAN => Filter::Scan { low: aecs.low(), high: aecs.high() },
            Opcode::SET_MEMBERSHIP => Filter::SetMembership { set: second, drop_low, drop_high },
            Opcode::EXTRACT => Filter::Extract { first: aecs.low(), last: aecs.high() },
            Opcode::SELECT => Filter::Select { mask: second },
            Opcode::RLE_BURST => Filter::RleBurst { values: second, value_width: width(flags.src2_width()) },
            Opcode::FIND_UNIQUE => Filter::FindUnique { drop_low, drop_high },
            Opcode::EXPAND => Filter::Expand { mask: second },
            _ => return None,
        })
    }

    /// The first 32 bytes of the AECS: zeros if none is read.
    fn filter_aecs(&self) -> Result<FilterAecs, Completion> {
        let mut bytes = [0; FilterAecs::SIZE];
        if self.descriptor.flags().contains(Flags::READ_SRC2_AECS) {
            self.read_src2(&mut bytes)?;
        }
        Ok(FilterAecs::from_bytes(bytes))
    }

    fn second_input(&self) -> Result<Vec<u8>, Completion> {
        if !self.descriptor.flags().contains(Flags::READ_SRC2_INPUT) {
            return Ok(Vec::new());
        }
        let size = self.descriptor.src2_size().into();
        let mut input = vec![0; index(size)];
        let spans = [Span::read(Operand::SRC2, self.descriptor.src2_addr())];
        let walk = Walk::new(self.model, &spans, size, self.blocks());
        read_whole(self.model, walk, spans[0], &mut input)?;
        Ok(input)
    }

    /// What source 1 expands to, as far as the filter looks at it, and the checksums of all of it. The state of a
    /// decompression under way is taken from an AECS that has room for one.
    fn expanded(&self, source: &[u8], dropped: usize) -> Result<(Vec<u8>, (u32, u16)), Completion> {
        let reads_state = self.descriptor.flags().contains(Flags::READ_SRC2_AECS)
            && self.descriptor.src2_size() as usize >= DecompressAecs::SIZE;
        let mut stream = match reads_state {
            true => self.read_stream()?,
            false => {
                let aecs = self.filter_aecs()?;
                Stream { crc: aecs.crc(), xor_csum: aecs.xor_csum(), ..Stream::start() }
            }
        };
        let flags = self.descriptor.decompress_flags();
        let input = [std::mem::take(&mut stream.input), in_order(source.to_vec(), flags)].concat();
        let mut bits = InputBits::new(&input).skip(stream.input_start);
        bits = bits.ignore_end(ignored_end_bits(flags));
        let wanted = self.wanted_bytes().saturating_add(dropped);
        let mut kept = std::mem::take(&mut stream.output);
        let mut window = vec![0; WINDOW];
        loop {
            let inflated = stream.inflater.run(bits, stop_on(flags), &mut window);
            let part = &window[..inflated.output_size];
            self.account(&mut stream, part, inflated.consumed_bits);
            kept.extend_from_slice(&part[..part.len().min(wanted.saturating_sub(kept.len()))]);
            bits = bits.skip(inflated.consumed_bits);
            if self.ended(inflated.outcome)? {
                return Ok((kept, (stream.crc, stream.xor_csum)));
            }
            if inflated.output_size == 0 && matches!(inflated.outcome, Outcome::Overflow) {
                return Err(analytics_error(ErrorCode::TIMEOUT));
            }
        }
    }

    /// Bytes that the elements of the column take at most.
    fn wanted_bytes(&self) -> usize {
        let (flags, count) = (self.descriptor.filter_flags(), self.descriptor.input_count() as usize);
        match packing(flags) {
            Packing::ParquetRle => count.saturating_mul(PARQUET_BYTES_MAX).saturating_add(1),
            _ => count.saturating_mul(usize::from(width(flags.src1_width()))).div_ceil(8),
        }
    }

    /// The error for a column without its last elements: there are others behind a parser that finds out by reading.
    fn too_small(&self) -> ErrorCode {
        let decompresses = self.descriptor.decompress_flags().contains(DecompressFlags::ENABLE);
        let parses = packing(self.descriptor.filter_flags()) == Packing::ParquetRle;
        if decompresses || parses { ErrorCode::TOO_FEW_ELEMENTS } else { ErrorCode::SRC1_TOO_SMALL }
    }

    fn filter_error(&self, error: FilterError) -> Completion {
        let code = match error {
            FilterError::InputTooSmall { .. } => self.too_small(),
            FilterError::SecondTooSmall { .. } => ErrorCode::SRC2_TOO_SMALL,
            FilterError::Parquet { .. } => ErrorCode::PRLE_FORMAT,
            FilterError::ParquetWidth { .. } => ErrorCode::PRLE_WIDTH,
            FilterError::ElementTooWide { .. } | FilterError::RunBackwards { .. } => {
                ErrorCode::FILTER_OVERFLOW
            }
            FilterError::OutputFull { .. } => ErrorCode::OUTPUT_OVERFLOW,
            FilterError::Invert { .. } => return Completion::new(Status::INVERT_OUTPUT),
            FilterError::Width { .. } | FilterError::CounterWidth { .. } => {
                return Completion::new(Status::SRC1_WIDTH);
            }
            _ => return Completion::new(Status::INVALID_FILTER_FLAGS),
        };
        analytics_error(code)
    }

    pub(super) fn zero(&self) -> Result<Completion, Completion> {
        let input = self.read_src1()?;
        let mut room = vec![0; self.descriptor.dst_size_max() as usize];
        let opcode = self.descriptor.opcode();
        let written = match opcode {
            Opcode::ZERO_COMPRESS_8 => zero_compress(ZeroWord::Bits8, &input, &mut room),
            Opcode::ZERO_COMPRESS_16 => zero_compress(ZeroWord::Bits16, &input, &mut room),
            Opcode::ZERO_COMPRESS_32 => zero_compress(ZeroWord::Bits32, &input, &mut room),
            Opcode::ZERO_DECOMPRESS_8 => zero_decompress(ZeroWord::Bits8, &input, &mut room),
            Opcode::ZERO_DECOMPRESS_16 => zero_decompress(ZeroWord::Bits16, &input, &mut room),
            _ => zero_decompress(ZeroWord::Bits32, &input, &mut room),
        };
        let written = written.map_err(|error| match error {
            ZeroError::OutputFull { .. } => analytics_error(ErrorCode::OUTPUT_OVERFLOW),
            _ => analytics_error(ErrorCode::SRC1_TOO_SMALL),
        })?;
        let output = &room[..written];
        self.write_output(output)?;
        let compresses =
            matches!(opcode, Opcode::ZERO_COMPRESS_8 | Opcode::ZERO_COMPRESS_16 | Opcode::ZERO_COMPRESS_32);
        let completion = self.checksummed(
            Completion::new(Status::SUCCESS),
            if compresses { &input } else { output },
            (0, 0),
        );
        Ok(completion.with_output_size(len(written)))
    }
}

/// Of a field that is one less.
fn width(field: u32) -> u8 {
    field.to_le_bytes()[0].saturating_add(1)
}

fn packing(flags: FilterFlags) -> Packing {
    match flags.src1_parser() {
        0 => Packing::Little,
        1 => Packing::Big,
        _ => Packing::ParquetRle,
    }
}

fn output(flags: FilterFlags) -> Output {
    Output {
        width: match flags.output_width() {
            0 => OutputWidth::Nominal,
            1 => OutputWidth::Bits8,
            2 => OutputWidth::Bits16,
            _ => OutputWidth::Bits32,
        },
        big_endian: flags.contains(FilterFlags::OUTPUT_BE),
        invert: flags.contains(FilterFlags::INVERT_OUTPUT),
        force_array: flags.contains(FilterFlags::FORCE_ARRAY_OUTPUT),
        first_index: 0,
    }
}
