//! What a request asks for, done: deflate and inflate by the CPU engine's arithmetic; LZ4 is read by a decoder of its own.

use svala_software::{
    Deflater, InflateError, Inflater, Level, OutputFull, Segment, Window, Xxh32, adler32, crc32,
};

use crate::config::Model;
use crate::lz4::{self, Flaw};
use crate::memory::Mappings;
use crate::message::{
    Answer, BFINAL, CNV, CNVNR, FLAG_CNV, FLAG_RECOVERED, FLAG_STORED, Message, STATUS_END, STATUS_INVALID,
    STATUS_UNSUPPORTED, XXHASH,
};
use crate::plan::Action;

const OVERFLOW: i8 = -11;
const CORRUPT: i8 = -9;
const TOO_FAR_BACK: i8 = -10;
const INCOMPLETE: i8 = -15;
const SLICE_HANG: i8 = -16;
const ENDPOINT: i8 = -17;
const CNV_ERROR: i8 = -18;

/// Commands of LZ4.
const LZ4: u8 = 3;
const LZ4_BACK: u8 = 4;

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// An answer.
    Answer(Answer),
    /// Something no driver writes.
    Malformed(Answer),
    /// Memory that is not registered was to be read: an error on the bus.
    ReadFault(Answer),
    /// Such memory was to be written: without address translation services, nothing comes back.
    WriteFault,
}

/// The slices: compressor and decompressor, made once.
#[derive(Debug)]
pub(crate) struct Slices {
    model: Model,
    deflater: Deflater,
    inflater: Inflater,
    scratch: Vec<u8>,
}

/// What is in a configuration word that drivers write: the level, for this command. Source: the table of the words.
fn level(model: Model, message: &Message) -> Option<Level> {
    const OLD: [(u8, u32, [u32; 3]); 3] = [
        (0, 0x0305_0280, [0x2f31_0000, 0x2733_0000, 0x2734_0000]),
        (1, 0x0305_0200, [0x0f31_0000, 0x0733_0000, 0x0734_0000]),
        (LZ4, 0x0305_0600, [0x5d31_0000, 0x5533_0000, 0x5534_0000]),
    ];
    // Blocks of LZ4 that stand for themselves, of 64 KiB.
    const NEW: [(u8, u32, [u32; 3]); 2] =
        [(1, 0, [0x3100, 0x3300, 0x3400]), (LZ4, 0x0004_0000, [0x3100, 0x3300, 0x3400])];
    let table: &[_] = if model.is_old() { &OLD } else { &NEW };
    let (_, _, lowers) = table
        .iter()
        .find(|(command, upper, _)| (*command, *upper) == (message.command, message.config[1]))?;
    let at = lowers.iter().position(|lower| *lower == message.config[0])?;
    Level::new([1, 6, 9][at])
}

impl Slices {
    pub(crate) fn new(model: Model) -> Self {
        let deflater = Deflater::new(Level::DEFAULT, Window::DEFLATE);
        Self { model, deflater, inflater: Inflater::new(), scratch: Vec::new() }
    }

    pub(crate) fn execute(
        &mut self,
        message: &Message,
        memory: &Mappings,
        action: Option<Action>,
    ) -> Outcome {
        let blank = Answer::to(message.command, message.opaque);
        if action == Some(Action::SliceHang) {
            return Outcome::Answer(blank.failed(SLICE_HANG));
        }
        let (src, dst) = ((message.src, message.src_bytes), (message.dst, message.dst_bytes));
        let done = match message.command {
            0 | 1 | LZ4 => {
                let Some(level) = level(self.model, message) else {
                    return Outcome::Malformed(Answer { status: STATUS_UNSUPPORTED, ..blank });
                };
                if !self.may_compress(message) {
                    return Outcome::Malformed(Answer { status: STATUS_INVALID, ..blank });
                }
                memory.with(src, dst, |src, dst| self.compress(message, level, src, dst, action))
            }
            2 => {
                let config = if self.model.is_old() { [0x2000_0000, 0] } else { [0, 0] };
                if message.config != config || message.has(CNV | CNVNR) {
                    return Outcome::Malformed(Answer { status: STATUS_INVALID, ..blank });
                }
                memory.with(src, dst, |src, dst| self.expand(message, src, dst, action))
            }
            LZ4_BACK => {
                let config = if self.model.is_old() { [0x4000_0000, 0] } else { [0, 0] };
                if message.config != config || message.has(CNV | CNVNR) {
                    return Outcome::Malformed(Answer { status: STATUS_INVALID, ..blank });
                }
                memory.with(src, dst, |src, dst| expand_lz4(message, src, dst, self.model, action))
            }
            _ => return Outcome::Malformed(Answer { status: STATUS_UNSUPPORTED, ..blank }),
        };
        match done {
            Ok(answer) => Outcome::Answer(answer),
            Err((_, true)) => Outcome::WriteFault,
            Err((_, false)) => Outcome::ReadFault(blank.failed(ENDPOINT)),
        }
    }

    /// Whether room, seeds and flags are what the generation takes.
    fn may_compress(&self, message: &Message) -> bool {
        let least = match (self.model.is_old(), message.command) {
            (true, LZ4) => 1,
            (true, 0) => 1026,
            (true, _) => 512,
            (false, _) => 6,
        };
        let seeds = self.model.is_old() || (message.crc, message.adler) == (0, 1);
        let recovers = self.model.is_old() || !message.has(CNVNR);
        message.dst_bytes >= least && message.src_bytes != 0 && seeds && recovers
    }

    fn compress(
        &mut self,
        message: &Message,
        level: Level,
        src: &[u8],
        dst: &mut [u8],
        action: Option<Action>,
    ) -> Answer {
        let segment = if message.has(BFINAL) { Segment::Last } else { Segment::NotLast };
        let mut answer = Answer::to(message.command, message.opaque);
        match action {
            Some(Action::CnvFailure) => return answer.failed(CNV_ERROR),
            // Erratum QAT20-40049.
            _ if message.command == LZ4 && self.model.is_old() && !message.has(BFINAL | XXHASH) => {
                return answer.failed(CNV_ERROR);
            }
            Some(Action::CnvRecovered) if message.has(CNVNR) => {
                let stored =
                    if message.command == LZ4 { lz4::store(src, dst) } else { store(src, dst, segment) };
                let Some(written) = stored else { return answer.failed(OVERFLOW) };
                answer.flags |= FLAG_CNV | FLAG_RECOVERED | FLAG_STORED;
                return self.compressed(message, answer, src, dst, written);
            }
            _ => {}
        }
        self.deflater.configure(level, Window::DEFLATE);
        let whole = match message.command {
            _ if action == Some(Action::Overflow) => None,
            LZ4 => lz4::compress(src, dst, self.model.lz4_history_bytes()),
            _ => self.deflate(src, dst, segment),
        };
        if let Some(written) = whole {
            if message.has(CNV) && (message.command == LZ4 || self.verifies(src, &dst[..written])) {
                answer.flags |= FLAG_CNV;
            }
            if action == Some(Action::NoCnvFlag) {
                answer.flags &= !FLAG_CNV;
            }
            return self.compressed(message, answer, src, dst, written);
        }
        answer = answer.failed(OVERFLOW);
        if !self.model.is_old() || message.command == LZ4 {
            return answer;
        }
        // What fits, as blocks of a stream that goes on.
        let mut part = src.len() / 2;
        while part != 0 {
            if let Some(written) = self.deflate(&src[..part], dst, Segment::NotLast) {
                answer.flags |= FLAG_CNV;
                return self.compressed(message, answer, &src[..part], dst, written);
            }
            part /= 2;
        }
        answer
    }

    fn deflate(&mut self, src: &[u8], dst: &mut [u8], segment: Segment) -> Option<usize> {
        let done: Result<_, OutputFull> = self.deflater.deflate(src, dst, segment);
        done.ok().map(|done| done.written)
    }

    fn compressed(
        &self,
        message: &Message,
        mut answer: Answer,
        src: &[u8],
        dst: &[u8],
        written: usize,
    ) -> Answer {
        debug_assert!(written <= dst.len());
        answer.consumed = size(src.len());
        answer.produced = size(written);
        answer.crc = crc32(message.crc, src);
        answer.adler = if message.command == LZ4 { Xxh32::of(src) } else { adler32(message.adler, src) };
        answer
    }

    /// Expands what was made, and compares.
    fn verifies(&mut self, src: &[u8], made: &[u8]) -> bool {
        self.scratch.resize(src.len().max(1), 0);
        self.inflater.reset();
        let (mut read, mut written) = (0, 0);
        loop {
            let Ok(step) = self.inflater.inflate_some(&made[read..], &mut self.scratch[written..]) else {
                return false;
            };
            read += step.read;
            written += step.written;
            if step.ended || step.read + step.written == 0 || written == src.len() {
                return written == src.len() && self.scratch[..written] == *src;
            }
        }
    }

    fn expand(&mut self, message: &Message, src: &[u8], dst: &mut [u8], action: Option<Action>) -> Answer {
        let mut answer = Answer::to(message.command, message.opaque);
        if action == Some(Action::Overflow) {
            return answer.failed(OVERFLOW);
        }
        match self.inflater.inflate(src, dst) {
            Ok(done) => {
                answer.consumed = size(done.read);
                answer.produced = size(done.written);
                answer.crc = crc32(message.crc, &dst[..done.written]);
                answer.adler = adler32(message.adler, &dst[..done.written]);
                answer.status |= STATUS_END;
                answer
            }
            Err(InflateError::OutputFull { .. }) => answer.failed(OVERFLOW),
            Err(InflateError::Truncated { written, len }) => {
                answer.consumed = size(len);
                answer.produced = size(written);
                answer.failed(INCOMPLETE)
            }
            Err(_) => answer.failed(CORRUPT),
        }
    }
}

fn expand_lz4(message: &Message, src: &[u8], dst: &mut [u8], model: Model, action: Option<Action>) -> Answer {
    let mut answer = Answer::to(message.command, message.opaque);
    if action == Some(Action::Overflow) {
        return answer.failed(OVERFLOW);
    }
    match lz4::expand(src, dst, model.lz4_history_bytes()) {
        Ok(written) => {
            answer.consumed = size(src.len());
            answer.produced = size(written);
            answer.adler = Xxh32::of(&dst[..written]);
            answer
        }
        Err(Flaw::Incomplete) => answer.failed(INCOMPLETE),
        Err(Flaw::TooFarBack) => answer.failed(TOO_FAR_BACK),
        Err(Flaw::Overflow) => answer.failed(OVERFLOW),
    }
}

/// Stored blocks, ending as `segment` ends. None without room for them.
fn store(src: &[u8], dst: &mut [u8], segment: Segment) -> Option<usize> {
    const BLOCK_MAX: usize = 65535;
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        dst.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
        Some(at)
    };
    let blocks = src.chunks(BLOCK_MAX);
    let count = blocks.len();
    for (index, block) in blocks.enumerate() {
        let last = index + 1 == count && segment == Segment::Last;
        let len = u16::try_from(block.len()).ok()?;
        put(&[u8::from(last)])?;
        put(&len.to_le_bytes())?;
        put(&(!len).to_le_bytes())?;
        put(block)?;
    }
    Some(at)
}

/// Sizes come from requests, which hold 32 bits.
fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
