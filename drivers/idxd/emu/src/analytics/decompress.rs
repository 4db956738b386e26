//! Decompression: one descriptor of a job.
//!
//! The output goes out in words of 64 bits. So the device decodes up to seven bytes beyond the last whole word that fits,
//! and keeps them in the AECS: a job whose output overflows goes on from there, as one does that has not flushed.

use idxd_spec::Flags;
use idxd_spec::Status;
use idxd_spec::iaa::{Completion, DecompressAecs, DecompressFlags, ErrorCode};

use super::cipher::{Decryption, Used};
use super::stream::{POSITIONS, Stream};
use super::{Analytics, analytics_error, len};
use crate::bus::Bus;
use crate::iaa::{Inflated, InputBits, Outcome, StopOn};

const WORD: usize = 8;

/// Bytes of output that are decoded at once and thrown away.
const UNSEEN: usize = 64 << 10;

/// Input of one descriptor, decoded as far as it goes.
struct Decoded<'a> {
    stream: Stream,
    /// What the descriptors before it left, and its own.
    bits: InputBits<'a>,
    input_len: usize,
    /// Bytes of the input that are not this descriptor's.
    taken: usize,
    inflated: Inflated,
    decryption: Option<Decryption>,
}

impl<B: Bus> Analytics<'_, B> {
    pub(super) fn decompress(&self) -> Result<Completion, Completion> {
        let flags = self.descriptor.decompress_flags();
        let source = self.read_src1()?;
        let decryption = self.decryption(&source)?;
        let source = match &decryption {
            Some(decryption) => decryption.plain().to_vec(),
            None => in_order(source, flags),
        };
        let mut stream = self.read_stream()?;
        let taken = stream.input.len();
        let input = [std::mem::take(&mut stream.input), source].concat();
        let bits = InputBits::new(&input).skip(stream.input_start);
        let bits = bits.ignore_end(ignored_end_bits(flags));
        if flags.contains(DecompressFlags::SUPPRESS_OUTPUT) {
            let (inflated, index) = match flags.indexing() {
                0 => (self.decode_unseen(&mut stream, bits)?, Vec::new()),
                indexing => self.decode_indexed(&mut stream, bits, 256 << indexing)?,
            };
            if index.len() > self.descriptor.dst_size_max() as usize {
                return Err(analytics_error(ErrorCode::OUTPUT_OVERFLOW));
            }
            let decoded = Decoded { stream, bits, input_len: input.len(), taken, inflated, decryption };
            return self.decoded(&decoded, &index, false);
        }
        let room = self.descriptor.dst_size_max() as usize;
        let mut output = vec![0; (room / WORD * WORD + WORD - 1).saturating_sub(stream.output.len())];
        let inflated = stream.inflater.run(bits, stop_on(flags), &mut output);
        let ended = self.ended(inflated.outcome)?;
        output.truncate(inflated.output_size);
        self.account(&mut stream, &output, inflated.consumed_bits);

        let mut written = [std::mem::take(&mut stream.output), output].concat();
        let flushes = flags.contains(DecompressFlags::FLUSH_OUTPUT);
        let overflows = !ended || (flushes && written.len() > room);
        if overflows || !flushes {
            stream.output = written.split_off(written.len().min(room) / WORD * WORD);
        }
        let decoded = Decoded { stream, bits, input_len: input.len(), taken, inflated, decryption };
        self.decoded(&decoded, &written, overflows)
    }

    /// Decodes for the checksums alone: nothing is written, so nothing overflows, and no part of a word is kept
    /// (IAA §3.3.1).
    fn decode_unseen(&self, stream: &mut Stream, bits: InputBits<'_>) -> Result<Inflated, Completion> {
        let mut piece = vec![0; UNSEEN];
        let mut consumed_bits = 0;
        let outcome = loop {
            let stop = stop_on(self.descriptor.decompress_flags());
            let inflated = stream.inflater.run(bits.skip(consumed_bits), stop, &mut piece);
            self.account(stream, &piece[..inflated.output_size], inflated.consumed_bits);
            consumed_bits += inflated.consumed_bits;
            // A full piece of output is progress.
            if inflated.outcome != Outcome::Overflow {
                break inflated.outcome;
            }
        };
        self.ended(outcome)?;
        stream.output.clear();
        Ok(Inflated { consumed_bits, output_size: 0, outcome })
    }

    /// Decodes for an index of miniblocks of `size` bytes (IAA §3.3.2): of each, eight bytes with the position of the first bit
    /// that is not of it, and of the end of a block that follows, in the lower half, and the CRC so far in the upper. The last
    /// one may be short.
    fn decode_indexed(
        &self,
        stream: &mut Stream,
        bits: InputBits<'_>,
        size: usize,
    ) -> Result<(Inflated, Vec<u8>), Completion> {
        let mut index = Vec::new();
        let (mut consumed_bits, mut is_off) = (0, false);
        let mut miniblock = vec![0; size];
        let stops_at_any = stop_on(self.descriptor.decompress_flags()) == StopOn::AnyBlock;
        stream.inflater.forget_before(stream.position % size);
        let outcome = loop {
            let room = size - stream.position % size;
            let inflated =
                stream.inflater.run(bits.skip(consumed_bits), StopOn::AnyBlock, &mut miniblock[..room]);
            let output = &miniblock[..inflated.output_size];
            if is_off && !output.is_empty() {
                return Err(analytics_error(ErrorCode::BLOCK_SIZE));
            }
            self.account(stream, output, inflated.consumed_bits);
            consumed_bits += inflated.consumed_bits;
            let is_whole = output.len() == room;
            let ends = inflated.outcome == Outcome::StreamEnd
                || (stops_at_any && inflated.outcome == Outcome::BlockEnd);
            if is_whole || (ends && !stream.position.is_multiple_of(size)) {
                index.extend((u64::from(stream.crc) << 32 | u64::from(stream.bit_offset)).to_le_bytes());
            }
            if is_whole {
                if stream.inflater.is_within_match() {
                    return Err(analytics_error(ErrorCode::LENGTH_SPANS_MINIBLOCKS));
                }
                stream.inflater.forget_before(0);
            }
            match inflated.outcome {
                Outcome::Overflow => {}
                Outcome::BlockEnd if !stops_at_any => is_off = !stream.position.is_multiple_of(size),
                // There is output before it, which has been forgotten.
                Outcome::Error(code) if code == ErrorCode::DISTANCE_BEFORE_START && !index.is_empty() => {
                    return Err(analytics_error(ErrorCode::DISTANCE_SPANS_MINIBLOCKS));
                }
                outcome => break outcome,
            }
        };
        self.ended(outcome)?;
        stream.output.clear();
        Ok((Inflated { consumed_bits, output_size: 0, outcome }, index))
    }

    /// Writes what is to be written, and says so.
    fn decoded(
        &self,
        decoded: &Decoded<'_>,
        written: &[u8],
        overflows: bool,
    ) -> Result<Completion, Completion> {
        let Decoded { stream, bits, input_len, taken, inflated, decryption } = decoded;
        let status = if overflows { Status::OUTPUT_OVERFLOW } else { Status::SUCCESS };
        let end = stream.input_start + inflated.consumed_bits;
        let takes_all = matches!(inflated.outcome, Outcome::InputEnd { .. });
        let unit =
            if self.descriptor.decompress_flags().contains(DecompressFlags::BIT_ORDER_BE) { 2 } else { 1 };
        let begun = end.div_ceil(8).saturating_sub(*taken).next_multiple_of(unit);
        let used = if takes_all { input_len - taken } else { begun };
        let decrypted = decryption.as_ref().map(|decryption| match overflows {
            true => decryption.used(used),
            false => decryption.all_used(),
        });
        let (used, source) = decrypted.as_ref().map_or((used, used), |used| (used.plain, used.source));
        let rest = bits.skip(inflated.consumed_bits);
        let rest = rest.take(((taken + used) * 8).saturating_sub(end));
        let mut aecs = self.next_stream(stream, rest, inflated.outcome, overflows)?;
        if let (Some(aecs), Some(Used { aecs: crypto, .. })) = (&mut aecs, &decrypted) {
            aecs.set_crypto(crypto);
        }
        self.write_both(written, aecs.as_ref().map(|aecs| &aecs.as_bytes()[..self.aecs_len()]))?;
        let completed = if overflows { len(source) } else { 0 };
        let completion = Completion::new(status).with_bytes_completed(completed).with_crc(stream.crc);
        let completion = completion.with_crypto_hash(decrypted.map_or([0; 16], |used| used.hash));
        Ok(completion.with_xor_csum(stream.xor_csum).with_output_size(len(written.len())))
    }

    /// Whether the input is done with; if not, the output has overflowed.
    pub(super) fn ended(&self, outcome: Outcome) -> Result<bool, Completion> {
        let flags = self.descriptor.decompress_flags();
        match outcome {
            Outcome::Error(code) => Err(analytics_error(code)),
            Outcome::InputEnd { after_block } if flags.contains(DecompressFlags::CHECK_FOR_EOB) => {
                if flags.contains(DecompressFlags::SELECT_BFINAL_EOB) || !after_block {
                    return Err(analytics_error(ErrorCode::BAD_END_OF_FILE));
                }
                Ok(true)
            }
            Outcome::StreamEnd | Outcome::BlockEnd | Outcome::InputEnd { .. } => Ok(true),
            Outcome::Overflow => Ok(false),
        }
    }

    /// Checksums and positions after `output` and `bits` of input. The words of the exclusive or are those of the whole
    /// output, wherever a descriptor ends.
    pub(super) fn account(&self, stream: &mut Stream, output: &[u8], bits: usize) {
        stream.crc = self.crc(stream.crc, output);
        let (second_half, words) = output.split_at(output.len().min(stream.position % 2));
        let word = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes.get(1).copied().unwrap_or(0)]);
        let half = second_half.first().map_or(0, |byte| u16::from(*byte) << 8);
        stream.xor_csum ^= words.chunks(2).map(word).fold(half, |xor, word| xor ^ word);
        stream.position = (stream.position + output.len()) % POSITIONS;
        // Modulo 2^32, as the field is.
        let [a, b, c, d, ..] = bits.to_le_bytes();
        stream.bit_offset = stream.bit_offset.wrapping_add(u32::from_le_bytes([a, b, c, d]));
    }

    pub(super) fn read_stream(&self) -> Result<Stream, Completion> {
        if !self.descriptor.flags().contains(Flags::READ_SRC2_AECS) {
            return Ok(Stream::start());
        }
        let size = self.descriptor.src2_size() as usize;
        let mut bytes = vec![0; size];
        self.read_src2(&mut bytes)?;
        let mut aecs = DecompressAecs::new();
        let used = size.min(DecompressAecs::SIZE);
        aecs.as_bytes_mut()[..used].copy_from_slice(&bytes[..used]);
        let drops = self.model.capabilities.iaa_cap.drop_initial_bits();
        Stream::load(&aecs, used, drops).map_err(analytics_error)
    }

    /// The AECS to write, if one is (IAA table 6-3, Write Source 2).
    fn next_stream(
        &self,
        stream: &Stream,
        rest: InputBits<'_>,
        outcome: Outcome,
        overflows: bool,
    ) -> Result<Option<DecompressAecs>, Completion> {
        let flags = self.descriptor.flags();
        let on_overflow = overflows && flags.contains(Flags::WRITE_SRC2_ON_OVERFLOW);
        if !flags.contains(Flags::WRITE_SRC2_AECS) && !on_overflow {
            return Ok(None);
        }
        let stops = matches!(outcome, Outcome::StreamEnd | Outcome::BlockEnd);
        // What is behind the end is not of this stream.
        let rest = if stops { rest.take(0) } else { rest };
        stream.save(rest, stops).map(Some).map_err(analytics_error)
    }

    /// The smaller of the nominal and the specified size (IAA §3.2).
    fn aecs_len(&self) -> usize {
        DecompressAecs::SIZE.min(self.descriptor.src2_size() as usize)
    }
}

pub(super) fn stop_on(flags: DecompressFlags) -> StopOn {
    let stops = flags.contains(DecompressFlags::STOP_ON_EOB);
    let only_final = flags.contains(DecompressFlags::SELECT_BFINAL_EOB);
    if stops && !only_final { StopOn::AnyBlock } else { StopOn::FinalBlock }
}

/// Input as a stream of deflate has it, lowest bit first. In the other order bit 15 of each word of 16 is its first
/// (IAA table 6-8); there are whole words, as has been checked.
pub(super) fn in_order(mut input: Vec<u8>, flags: DecompressFlags) -> Vec<u8> {
    if flags.contains(DecompressFlags::BIT_ORDER_BE) {
        let (words, _) = input.as_chunks_mut::<2>();
        words.iter_mut().for_each(|word| *word = u16::from_le_bytes(*word).reverse_bits().to_le_bytes());
    }
    input
}

/// Bits of the last byte, or word, that are not input.
pub(super) fn ignored_end_bits(flags: DecompressFlags) -> usize {
    let eight = if flags.contains(DecompressFlags::IGNORE_END_BITS_EXTENSION) { 8 } else { 0 };
    usize::from(flags.ignore_end_bits()) + eight
}
