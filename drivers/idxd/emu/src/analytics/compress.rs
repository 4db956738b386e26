//! Compression: with tables it is given, with tables it makes, or only the counts and tables.

use idxd_spec::Flags;
use idxd_spec::Status;
use idxd_spec::iaa::{
    CodeLengths, Completion, CompressAecs, CompressFlags, CompressFlags2, DictionaryStyle, ErrorCode,
    Histogram as Counts,
};

use super::{Analytics, analytics_error, len};
use crate::bus::Bus;
use crate::iaa::{self, BitBuffer, Code, EndProcessing, Histogram, MatchOptions, Preset, Tables};

/// Bytes of the AECS a compression writes back when it does not write its Huffman tables (IAA table 3-3).
const AECS_WRITTEN: usize = 64;
/// Bytes of input that one-pass header generation takes (IAA §3.4.5).
const ONE_PASS_BYTES_MAX: usize = 4096;

/// What the device makes of its own counts (IAA table 6-11, bits 14:12).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    None,
    /// Tables, header and output.
    OnePass(Header),
    /// Tables and header, into the AECS.
    TwoPass(Header),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Absent,
    Present { is_final: bool },
}

/// A dictionary as it was loaded.
struct Dictionary {
    style: DictionaryStyle,
    bytes: Vec<u8>,
}

impl Dictionary {
    /// The text, and the places in it that its hash tables name: others are not looked at, as if they were not there.
    fn preset(&self) -> (&[u8], Vec<usize>) {
        let text = &self.bytes[self.style.text()];
        let of_key = |key: &[u8]| self.style.places(&self.bytes, [key[0], key[1], key[2]]);
        let named = text.windows(3).flat_map(|key| {
            of_key(key).filter(move |place| text.get(*place..place + 3).is_some_and(|there| there == key))
        });
        let mut places: Vec<usize> = named.collect();
        places.sort_unstable();
        places.dedup();
        (text, places)
    }
}

impl Generation {
    const fn of(flags: CompressFlags) -> Self {
        let header = match flags.header_generation() & 3 {
            2 => Header::Present { is_final: false },
            3 => Header::Present { is_final: true },
            _ => Header::Absent,
        };
        match flags.header_generation() {
            1..=3 => Self::OnePass(header),
            5..=7 => Self::TwoPass(header),
            _ => Self::None,
        }
    }
}

impl<B: Bus> Analytics<'_, B> {
    pub(super) fn compress(&self) -> Result<Completion, Completion> {
        let flags = self.descriptor.compress_flags();
        if flags.contains(CompressFlags::HEADER_STATS_INPUT) {
            return self.tables_of_given_counts();
        }
        let input = self.read_src1()?;
        let end = EndProcessing::from_bits(flags.end_processing().to_le_bytes()[0]);
        let dictionary = self.read_dictionary()?;
        let (text, places) = dictionary.as_ref().map_or((&[][..], Vec::new()), Dictionary::preset);
        let options = MatchOptions { preset: Preset { text, places: &places }, ..self.match_options() };
        self.check_early_abort(&input, options)?;
        match Generation::of(flags) {
            Generation::None if flags.contains(CompressFlags::STATS_MODE) => {
                self.write_histogram(&Histogram::of(&input, options, end), &input)
            }
            Generation::None => {
                let aecs = self.read_aecs()?;
                self.encode(aecs, &input, options, end)
            }
            Generation::OnePass(_) if input.len() > ONE_PASS_BYTES_MAX => {
                Err(analytics_error(ErrorCode::DATA_TOO_LARGE))
            }
            Generation::OnePass(header) => {
                let mut aecs = self.optional_aecs()?;
                self.generate(&mut aecs, &counts(&Histogram::of(&input, options, end)), header)?;
                self.encode(aecs, &input, options, end)
            }
            Generation::TwoPass(header) => {
                let mut aecs = self.optional_aecs()?;
                self.generate(&mut aecs, &counts(&Histogram::of(&input, options, end)), header)?;
                let completion = self.sum(&mut aecs, &input);
                self.write_both(&[], Some(&aecs.as_bytes()[..self.aecs_bytes()]))?;
                Ok(completion.with_output_size(0))
            }
        }
    }

    /// What follows the AECS, if a dictionary is to be loaded (IAA §3.4.4).
    fn read_dictionary(&self) -> Result<Option<Dictionary>, Completion> {
        let Some(style) = DictionaryStyle::from_bits(self.descriptor.compress_flags().dictionary()) else {
            return Ok(None);
        };
        let mut bytes = vec![0; style.aecs_bytes()];
        self.read_src2(&mut bytes)?;
        Ok(Some(Dictionary { style, bytes: bytes.split_off(CompressAecs::SIZE) }))
    }

    fn match_options(&self) -> MatchOptions<'static> {
        let flags = self.descriptor.compress_flags();
        MatchOptions {
            all_literals: flags.contains(CompressFlags::GENERATE_ALL_LITERALS),
            miniblock_bytes: match flags.indexing() {
                0 => None,
                indexing => (256_usize << indexing).try_into().ok(),
            },
            ..MatchOptions::default()
        }
    }

    /// Once, when as much input as the flags say is through (IAA §3.4.6).
    fn check_early_abort(&self, input: &[u8], options: MatchOptions<'_>) -> Result<(), Completion> {
        let flags = self.descriptor.compress_flags_2();
        let (eighths, size) = (flags.early_abort_eighths(), 512_usize << flags.early_abort_size());
        if eighths == 0 || input.len() < size {
            return Ok(());
        }
        let tokens = Histogram::of(&input[..size], options, EndProcessing::None);
        let (literals, lengths) = tokens.literal_length.split_at(256);
        let estimate = literals.iter().sum::<u32>() + 2 * lengths.iter().sum::<u32>();
        if u64::from(estimate) * 8 >= u64::from(eighths) * size as u64 {
            return Err(analytics_error(ErrorCode::EARLY_ABORT));
        }
        Ok(())
    }

    /// Compresses with the tables in `aecs`.
    fn encode(
        &self,
        mut aecs: CompressAecs,
        input: &[u8],
        options: MatchOptions<'_>,
        end: EndProcessing,
    ) -> Result<Completion, Completion> {
        let tables = tables(&aecs);
        let bits = usize::from(aecs.accumulator_bits());
        let mut accumulator =
            BitBuffer::from_bytes(aecs.accumulator(), bits).map_err(|_| analytics_error(ErrorCode::AECS))?;
        let mut output = vec![0; self.descriptor.dst_size_max() as usize];
        let flush = self.descriptor.compress_flags().contains(CompressFlags::FLUSH_OUTPUT);
        let compressed = iaa::compress(input, &tables, &mut accumulator, end, options, flush, &mut output)
            .map_err(|error| analytics_error(error.code()))?;
        let completion = self
            .sum(&mut aecs, input)
            .with_output_size(len(compressed.output_size))
            .with_output_bits(compressed.output_bits);
        aecs.set_accumulator_bits(u16::try_from(accumulator.bits()).unwrap_or(u16::MAX));
        aecs.accumulator_mut().copy_from_slice(accumulator.bytes());
        let writes = self.descriptor.flags().contains(Flags::WRITE_SRC2_AECS);
        let aecs = &aecs.as_bytes()[..self.aecs_bytes()];
        self.write_both(&output[..compressed.output_size], writes.then_some(aecs))?;
        Ok(completion)
    }

    /// Puts codes made of `counts`, and their header if one is asked for, into `aecs`.
    fn generate(&self, aecs: &mut CompressAecs, counts: &Counts, header: Header) -> Result<(), Completion> {
        if aecs.accumulator_bits() >= CompressAecs::ACCUMULATOR_BITS_MAX {
            return Err(analytics_error(ErrorCode::AECS));
        }
        let makes_complete =
            self.descriptor.compress_flags_2().contains(CompressFlags2::MAKE_COMPLETE_TABLES);
        let counts = if makes_complete { counts.clone().complete() } else { counts.clone() };
        let Header::Present { is_final } = header else {
            aecs.set_codes(&CodeLengths::of(&counts));
            return Ok(());
        };
        if counts.literal_length[256..].iter().all(|&count| count == 0) {
            return Err(analytics_error(ErrorCode::NO_DEFLATE_HEADER));
        }
        let lengths = CodeLengths::of(&counts);
        aecs.set_codes(&lengths);
        match aecs.push_dynamic_header(&lengths, is_final) {
            true => Ok(()),
            false => Err(analytics_error(ErrorCode::HEADER_OVERFLOW)),
        }
    }

    /// Header generation with statistics input (IAA §3.4.5.3): the counts are where the codes will be.
    fn tables_of_given_counts(&self) -> Result<Completion, Completion> {
        let mut aecs = self.read_aecs()?;
        let counts = Counts {
            literal_length: std::array::from_fn(|token| aecs.ll_code(token).0),
            distance: std::array::from_fn(|token| aecs.d_code(token).0),
        };
        if counts.literal_length.iter().chain(&counts.distance).any(|&count| count > Counts::COUNT_MAX) {
            return Err(analytics_error(ErrorCode::AECS));
        }
        if let Generation::TwoPass(header) = Generation::of(self.descriptor.compress_flags()) {
            self.generate(&mut aecs, &counts, header)?;
        }
        self.write_both(&[], Some(&aecs.as_bytes()[..self.aecs_bytes()]))?;
        Ok(Completion::new(Status::SUCCESS).with_crc(aecs.crc()).with_xor_csum(aecs.xor_csum()))
    }

    /// 318 counts (IAA table 3-4).
    fn write_histogram(&self, histogram: &Histogram, input: &[u8]) -> Result<Completion, Completion> {
        let output = counts(histogram).to_bytes();
        if output.len() > self.descriptor.dst_size_max() as usize {
            return Err(analytics_error(ErrorCode::OUTPUT_OVERFLOW));
        }
        self.write_output(&output)?;
        let completion = Completion::new(Status::SUCCESS);
        Ok(self.checksummed(completion, input, (0, 0)).with_output_size(len(output.len())))
    }

    /// A record with the checksums that go on from those in `aecs`, which takes them in.
    fn sum(&self, aecs: &mut CompressAecs, input: &[u8]) -> Completion {
        let completion =
            self.checksummed(Completion::new(Status::SUCCESS), input, (aecs.crc(), aecs.xor_csum()));
        aecs.set_crc(completion.crc());
        aecs.set_xor_csum(completion.xor_csum());
        completion
    }

    fn read_aecs(&self) -> Result<CompressAecs, Completion> {
        let mut bytes = [0; CompressAecs::SIZE];
        self.read_src2(&mut bytes)?;
        Ok(CompressAecs::from_bytes(bytes))
    }

    /// What is read of an AECS that need not be read.
    fn optional_aecs(&self) -> Result<CompressAecs, Completion> {
        let reads = self.descriptor.flags().contains(Flags::READ_SRC2_AECS);
        if reads { self.read_aecs() } else { Ok(CompressAecs::new()) }
    }

    /// How much of the AECS is written: the smaller of the nominal and the specified size (IAA §3.2).
    fn aecs_bytes(&self) -> usize {
        let flags = self.descriptor.compress_flags_2();
        let nominal = match flags.contains(CompressFlags2::WRITE_HUFFMAN_TABLES) {
            true => CompressAecs::SIZE,
            false => AECS_WRITTEN,
        };
        nominal.min(self.descriptor.src2_size() as usize)
    }
}

fn counts(histogram: &Histogram) -> Counts {
    Counts { literal_length: histogram.literal_length, distance: histogram.distance }
}

fn tables(aecs: &CompressAecs) -> Tables {
    Tables {
        literal_length: std::array::from_fn(|token| Code::from_dword(aecs.ll_code(token).0)),
        distance: std::array::from_fn(|token| Code::from_dword(aecs.d_code(token).0)),
    }
}
