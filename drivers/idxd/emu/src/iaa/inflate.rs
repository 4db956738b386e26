//! Decompression of raw deflate with the device's 4 KiB history.
//!
//! The hard idea is where it can stop. Input can end and output can be full anywhere, and the device then says
//! how far it came and goes on in the next descriptor. Here a token, or a whole block header, is either consumed
//! or not, so the input position is always between two of them; what can be half done is only the copying of a
//! match and of a stored block, and an [`Inflater`] remembers how much of that is left.

mod header;
mod saved;

use idxd_spec::iaa::ErrorCode;

use super::HISTORY_BYTES;
use super::bit_reader::{BitReader, InputBits};
use super::decode_table::{DecodeTable, Entry};
use header::{BlockHeader, Codes};

pub use header::CodeLengths;
pub use saved::{Position, Saved};

/// Bytes of output one step of the fast loop may write: the longest match, rounded up to whole copies.
const STEP_OUTPUT_MAX: usize = 2 + 258 + COPY_BYTES;
/// Bytes copied at once where a match is far enough back.
const COPY_BYTES: usize = 16;

pub(super) type LiteralLengthTable = DecodeTable<11>;
pub(super) type DistanceTable = DecodeTable<8>;

/// Which end of a block the decompression stops at (IAA table 6-8, Stop on EOB and Select BFinal EOB).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopOn {
    /// That of the final block.
    #[default]
    FinalBlock,
    /// That of the first block that ends.
    AnyBlock,
}

/// Why a decompression stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The final block has ended.
    StreamEnd,
    /// A block that is not final has ended, and [`StopOn::AnyBlock`] was asked for.
    BlockEnd,
    /// The input is used up, but for bits that are not a whole token or block header.
    InputEnd {
        /// Whether the last token ended a block, which is what Check for EOB asks.
        after_block: bool,
    },
    /// The output buffer is full and there is more.
    Overflow,
    /// The stream is malformed, or not one this device can read.
    Error(ErrorCode),
}

/// How far a decompression came, and why no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Bits of the input consumed. After [`Outcome::Error`], those before the token that is wrong.
    pub consumed_bits: usize,
    /// Bytes written to the output buffer, all of it after [`Outcome::Overflow`].
    pub output_size: usize,
    /// Why it stopped.
    pub outcome: Outcome,
}

impl Inflated {
    /// Bytes of the input of which at least one bit has been consumed, for an input that starts with a byte.
    #[must_use]
    pub const fn consumed_bytes(&self) -> usize {
        self.consumed_bits.div_ceil(8)
    }
}

/// Decompresses a stream from its start. Never panics, whatever `input` is.
///
/// Up to 15 bytes of `out` after the output may have been overwritten too.
#[must_use]
pub fn inflate(input: InputBits<'_>, stop: StopOn, out: &mut [u8]) -> Inflated {
    Inflater::new().run(input, stop, out)
}

/// A decompression that can go on after [`Outcome::InputEnd`], [`Outcome::BlockEnd`] and [`Outcome::Overflow`].
#[derive(Clone)]
pub struct Inflater {
    state: Position,
    /// Whether the block at hand is the stream's last.
    final_block: bool,
    /// What is left of a match that did not fit the output.
    pending: Option<Reference>,
    codes: Codes,
    /// The last output of the runs before, at most 4 KiB, oldest first.
    history: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    length: usize,
    distance: usize,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// At the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Position::Header { after_block: false },
            final_block: false,
            pending: None,
            codes: Codes::new(),
            history: Vec::new(),
        }
    }

    /// Goes on with `input`, which begins with the first bit not consumed yet, into a new output buffer.
    ///
    /// Up to 15 bytes of `out` after the output may have been overwritten too. After [`Outcome::StreamEnd`] it consumes
    /// nothing and answers the same again. After an error the decompression cannot go on, and what it then does is not
    /// specified.
    pub fn run(&mut self, input: InputBits<'_>, stop: StopOn, out: &mut [u8]) -> Inflated {
        let mut run = Run { reader: BitReader::new(input), out: Output { history: &[], out, len: 0 } };
        let history = std::mem::take(&mut self.history);
        run.out.history = &history;
        let outcome = loop {
            match self.step(&mut run, stop) {
                Ok(()) => {}
                Err(outcome) => break outcome,
            }
        };
        let (consumed_bits, output_size) = (run.reader.consumed_bits(), run.out.len);
        self.history = history;
        self.remember(&out[..output_size]);
        Inflated { consumed_bits, output_size, outcome }
    }

    /// Keeps only the last `bytes` of the output: what comes next may not refer to what was before them.
    pub fn forget_before(&mut self, bytes: usize) {
        self.history.drain(..self.history.len().saturating_sub(bytes));
    }

    /// Whether a match is half copied.
    #[must_use]
    pub const fn is_within_match(&self) -> bool {
        self.pending.is_some()
    }

    /// Does one block header, or as much as it can of one block.
    fn step(&mut self, run: &mut Run<'_>, stop: StopOn) -> Result<(), Outcome> {
        if let Some(pending) = self.pending.take() {
            self.copy(run, pending)?;
        }
        match self.state {
            Position::Header { after_block } => return self.header(run, after_block),
            Position::Stored { left } => self.stored(run, left)?,
            Position::Codes => self.codes(run)?,
            Position::End => return Err(Outcome::StreamEnd),
        }
        if self.final_block {
            self.state = Position::End;
            return Err(Outcome::StreamEnd);
        }
        self.state = Position::Header { after_block: true };
        if stop == StopOn::AnyBlock { Err(Outcome::BlockEnd) } else { Ok(()) }
    }

    fn header(&mut self, run: &mut Run<'_>, after_block: bool) -> Result<(), Outcome> {
        // A copy reads it, so that a header that is cut off is not consumed.
        let mut reader = run.reader;
        let read = header::read(&mut reader, &mut self.codes);
        let header = read.map_err(|stop| stop.map_or(Outcome::InputEnd { after_block }, Outcome::Error))?;
        run.reader = reader;
        let (final_block, state) = match header {
            BlockHeader::Stored { final_block, length } => (final_block, Position::Stored { left: length }),
            BlockHeader::Codes { final_block } => (final_block, Position::Codes),
        };
        self.final_block = final_block;
        self.state = state;
        Ok(())
    }

    fn stored(&mut self, run: &mut Run<'_>, left: usize) -> Result<(), Outcome> {
        let bytes = run.reader.take_bytes(left.min(run.out.room()));
        run.out.literals(bytes);
        let left = left - bytes.len();
        self.state = Position::Stored { left };
        if left == 0 {
            Ok(())
        } else if run.reader.has_byte() {
            Err(Outcome::Overflow)
        } else {
            Err(Outcome::InputEnd { after_block: false })
        }
    }

    fn codes(&mut self, run: &mut Run<'_>) -> Result<(), Outcome> {
        loop {
            self.codes_with_slack(run);
            match self.token(run)? {
                Token::EndOfBlock => return Ok(()),
                Token::Literal(byte) => run.out.literals(&[byte]),
                Token::Reference(reference) => self.copy(run, reference)?,
            }
        }
    }

    /// Does tokens for as long as neither the end of the input nor that of the output can be within one, and
    /// stops before one that is not a literal or a valid reference.
    fn codes_with_slack(&self, run: &mut Run<'_>) {
        let (mut reader, out) = (run.reader, &mut run.out);
        while reader.has_word() && out.room() >= STEP_OUTPUT_MAX {
            reader.refill();
            // Of the 56 bits at least, two literals take 30 at most; a reference takes up to 48.
            let mut entry = self.codes.literal_lengths.lookup(reader.peek());
            if entry.is_literal() {
                reader.consume(entry.code_bits());
                out.literal(entry);
                entry = self.codes.literal_lengths.lookup(reader.peek());
                if entry.is_literal() {
                    reader.consume(entry.code_bits());
                    out.literal(entry);
                    run.reader = reader;
                    continue;
                }
                run.reader = reader;
                reader.refill();
            }
            if entry.is_special() {
                break;
            }
            let Ok(reference) = self.reference(&mut reader, entry) else { break };
            if out.check(reference).is_err() || reference.distance > out.len {
                break;
            }
            out.copy_within(reference);
            run.reader = reader;
        }
    }

    /// Consumes one token, or nothing.
    fn token(&self, run: &mut Run<'_>) -> Result<Token, Outcome> {
        let mut reader = run.reader;
        reader.refill();
        let entry = self.codes.literal_lengths.lookup(reader.peek());
        if entry.code_bits() > reader.available() {
            return Err(Outcome::InputEnd { after_block: false });
        }
        let token = if entry.is_literal() {
            reader.consume(entry.code_bits());
            Token::Literal(entry.byte())
        } else if entry.is_end_of_block() {
            reader.consume(entry.code_bits());
            Token::EndOfBlock
        } else if entry.is_special() {
            return Err(Outcome::Error(ErrorCode::BAD_LL_CODE));
        } else {
            let reference = self.reference(&mut reader, entry)?;
            run.out.check(reference).map_err(Outcome::Error)?;
            Token::Reference(reference)
        };
        if run.out.room() == 0 && !matches!(token, Token::EndOfBlock) {
            return Err(Outcome::Overflow);
        }
        run.reader = reader;
        Ok(token)
    }

    /// Reads a reference whose length code has been looked up but not consumed.
    #[inline]
    fn reference(&self, reader: &mut BitReader<'_>, length: Entry) -> Result<Reference, Outcome> {
        const CUT_OFF: Outcome = Outcome::InputEnd { after_block: false };
        if length.code_bits() + length.extra_bits() > reader.available() {
            return Err(CUT_OFF);
        }
        let length = take_base(reader, length);
        let distance = self.codes.distances.lookup(reader.peek());
        if distance.code_bits() > reader.available() {
            return Err(CUT_OFF);
        }
        if distance.is_special() {
            return Err(Outcome::Error(ErrorCode::BAD_D_CODE));
        }
        if distance.code_bits() + distance.extra_bits() > reader.available() {
            return Err(CUT_OFF);
        }
        Ok(Reference { length, distance: take_base(reader, distance) })
    }

    /// Copies a match as far as there is room and keeps the rest for the next run.
    fn copy(&mut self, run: &mut Run<'_>, reference: Reference) -> Result<(), Outcome> {
        let length = reference.length.min(run.out.room());
        run.out.copy_bytewise(Reference { length, ..reference });
        if length < reference.length {
            self.pending = Some(Reference { length: reference.length - length, ..reference });
            return Err(Outcome::Overflow);
        }
        Ok(())
    }

    fn remember(&mut self, output: &[u8]) {
        let new = &output[output.len().saturating_sub(HISTORY_BYTES)..];
        let surplus = (self.history.len() + new.len()).saturating_sub(HISTORY_BYTES);
        self.history.drain(..surplus);
        self.history.extend_from_slice(new);
    }
}

/// The value of an entry with the extra bits after its code, all of which are loaded.
#[inline]
fn take_base(reader: &mut BitReader<'_>, entry: Entry) -> usize {
    let extra = (reader.peek() >> entry.code_bits()) & ((1 << entry.extra_bits()) - 1);
    reader.consume(entry.code_bits() + entry.extra_bits());
    entry.value() + (extra & 0xffff) as usize
}

#[derive(Clone, Copy)]
enum Token {
    Literal(u8),
    Reference(Reference),
    EndOfBlock,
}

/// One call of [`Inflater::run`].
struct Run<'a> {
    reader: BitReader<'a>,
    out: Output<'a>,
}

struct Output<'a> {
    /// What was output before this run.
    history: &'a [u8],
    out: &'a mut [u8],
    /// Bytes of `out` written.
    len: usize,
}

impl Output<'_> {
    fn room(&self) -> usize {
        self.out.len() - self.len
    }

    /// Whether a distance is one the device has the bytes for.
    #[inline]
    fn check(&self, reference: Reference) -> Result<(), ErrorCode> {
        if reference.distance > HISTORY_BYTES {
            return Err(ErrorCode::BAD_DISTANCE);
        }
        if reference.distance > self.len + self.history.len() {
            return Err(ErrorCode::DISTANCE_BEFORE_START);
        }
        Ok(())
    }

    #[inline]
    fn literal(&mut self, entry: Entry) {
        self.out[self.len] = entry.byte();
        self.len += 1;
    }

    /// Appends bytes there is room for.
    fn literals(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Copies a match that lies in this run's output. May write up to [`COPY_BYTES`] past its end.
    #[inline]
    fn copy_within(&mut self, Reference { length, distance }: Reference) {
        let (from, to) = (self.len - distance, self.len);
        self.len += length;
        if distance >= COPY_BYTES {
            let mut done = 0;
            while done < length {
                let mut chunk = [0; COPY_BYTES];
                chunk.copy_from_slice(&self.out[from + done..from + done + COPY_BYTES]);
                self.out[to + done..to + done + COPY_BYTES].copy_from_slice(&chunk);
                done += COPY_BYTES;
            }
        } else if distance == 1 {
            let byte = self.out[from];
            self.out[to..to + length].fill(byte);
        } else {
            for at in to..to + length {
                self.out[at] = self.out[at - distance];
            }
        }
    }

    /// Copies a match there is room for, from wherever it begins.
    fn copy_bytewise(&mut self, Reference { length, distance }: Reference) {
        for at in self.len..self.len + length {
            self.out[at] = match at.checked_sub(distance) {
                Some(from) => self.out[from],
                None => self.history[self.history.len() + at - distance],
            };
        }
        self.len += length;
    }
}

#[cfg(test)]
mod tests;
