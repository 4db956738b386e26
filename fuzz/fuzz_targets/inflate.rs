//! Deflate of any bytes, on the emulated IAA and on the CPU engine: no panic, no byte written outside, and accepted and
//! refused as zlib-rs and miniz_oxide do, with the same output. The device alone may refuse a distance beyond its 4 KiB
//! and a header that repeats a code length from one alphabet into the other, and nothing else that they accept; cut into
//! any two descriptors, it answers the same.
//!
//! The CPU engine is asked for the stream whole, whole and summed up as gzip has it, and in pieces of any size each way.
//!
//! Input: two bytes for the cut, two for the room, then the stream.
#![no_main]

use flate2::{Decompress, FlushDecompress, Status};
use idxd_emu::iaa::{Inflater, InputBits, Outcome, StopOn};
use idxd_spec::iaa::ErrorCode;
use libfuzzer_sys::fuzz_target;
use svala_software::{CheckKind, InflateError, Inflater as CpuInflater, inflate};

const ROOM: usize = 1 << 16;
const GUARD: usize = 64;

fuzz_target!(|input: &[u8]| {
    let [a, b, c, d, stream @ ..] = input else { return };
    let cut = usize::from(u16::from_le_bytes([*a, *b]));
    let room = usize::from(u16::from_le_bytes([*c, *d])).max(1);
    let ours = by_cpu(stream, ROOM);
    let theirs = by_zlib(stream);
    assert_eq!(ours, theirs, "the CPU engine and zlib");
    assert_eq!(by_cpu_with_checksum(stream), theirs, "the CPU engine, with a checksum, and zlib");
    assert_eq!(by_cpu_in_pieces(stream, cut.max(1), room), theirs, "{cut} bytes in and {room} out");
    let whole = by_device(stream, stream.len(), ROOM);
    match (&whole, &theirs) {
        (Answer::Done(read, bytes), Answer::Done(there, expected)) => {
            assert_eq!((read, bytes), (there, expected), "the device and zlib");
        }
        (Answer::Beyond, _) | (Answer::Refused, Answer::Refused) | (Answer::Full, Answer::Full) => {}
        // Of a stream that is broken or cut behind its room nobody has to see that.
        (Answer::Full, Answer::Refused) | (Answer::Refused, Answer::Full) => {}
        (ours, theirs) => panic!("the device: {ours:?}, zlib: {theirs:?}"),
    }
    assert_eq!(by_device(stream, cut.min(stream.len()), ROOM), whole, "cut at {cut}");
    let _ = by_device(stream, cut.min(stream.len()), room);
    let _ = by_cpu(stream, room);
});

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Bytes of the stream, and the output.
    Done(usize, Vec<u8>),
    /// Broken, or cut short.
    Refused,
    /// More output than room.
    Full,
    /// What the device alone refuses.
    Beyond,
}

/// A buffer with bytes behind it that must stay as they are.
struct Guarded(Vec<u8>);

impl Guarded {
    fn new(room: usize) -> Self {
        Self(vec![0xa5; room + GUARD])
    }

    fn room(&mut self) -> &mut [u8] {
        let room = self.0.len() - GUARD;
        &mut self.0[..room]
    }

    fn done(mut self, written: usize) -> Vec<u8> {
        let room = self.0.len() - GUARD;
        assert!(self.0[room..].iter().all(|byte| *byte == 0xa5), "written behind the room");
        self.0.truncate(written);
        self.0
    }
}

fn by_cpu(stream: &[u8], room: usize) -> Answer {
    let mut out = Guarded::new(room);
    let done = inflate(stream, out.room());
    match done {
        Ok(done) => Answer::Done(done.read, out.done(done.written)),
        Err(error) => {
            out.done(0);
            if matches!(error, InflateError::OutputFull { .. }) { Answer::Full } else { Answer::Refused }
        }
    }
}

/// To a destination that is large enough for more than a step of summing up.
fn by_cpu_with_checksum(stream: &[u8]) -> Answer {
    let mut out = Guarded::new(ROOM);
    match CpuInflater::new().inflate_checked(stream, out.room(), CheckKind::Adler32) {
        Ok((done, check)) => {
            let bytes = out.done(done.written);
            assert_eq!(check, svala_software::adler32(1, &bytes));
            Answer::Done(done.read, bytes)
        }
        Err(error) => {
            out.done(0);
            if matches!(error, InflateError::OutputFull { .. }) { Answer::Full } else { Answer::Refused }
        }
    }
}

/// From pieces of `input` bytes to pieces of `room` bytes, each of which is gone when the next one comes.
fn by_cpu_in_pieces(stream: &[u8], input: usize, room: usize) -> Answer {
    let mut inflater = CpuInflater::new();
    let (mut read, mut bytes) = (0, Vec::new());
    let mut end = input.min(stream.len());
    loop {
        let mut out = Guarded::new(room);
        let done = match inflater.inflate_some(&stream[read..end], out.room()) {
            Ok(done) => done,
            // What is broken behind its room nobody has to see.
            Err(InflateError::Corrupt { written, .. }) if written > ROOM as u64 => return Answer::Full,
            Err(_) => return Answer::Refused,
        };
        read += done.read;
        bytes.extend(out.done(done.written));
        if bytes.len() > ROOM {
            return Answer::Full;
        }
        if done.ended {
            return Answer::Done(read, bytes);
        }
        if done.written < room {
            assert_eq!(read, end, "input is left, and room");
            if end == stream.len() {
                return Answer::Refused;
            }
            end = stream.len().min(end + input);
        }
    }
}

fn by_zlib(stream: &[u8]) -> Answer {
    let mut state = Decompress::new(false);
    let mut out = vec![0; ROOM + 1];
    let status = state.decompress(stream, &mut out, FlushDecompress::Finish);
    let (read, written) = (state.total_in() as usize, state.total_out() as usize);
    let answer = match status {
        Ok(_) if written > ROOM => return Answer::Full,
        Ok(Status::StreamEnd) => {
            out.truncate(written);
            Answer::Done(read, out)
        }
        _ => Answer::Refused,
    };
    if let Answer::Done(read, bytes) = &answer {
        let other = miniz_oxide::inflate::decompress_to_vec_with_limit(&stream[..*read], ROOM);
        assert_eq!(other.as_ref().ok(), Some(bytes), "miniz_oxide: {:?}", other.as_ref().err());
    }
    answer
}

/// In two descriptors, of which the first has `cut` bytes.
fn by_device(stream: &[u8], cut: usize, room: usize) -> Answer {
    let mut inflater = Inflater::new();
    let mut out = Guarded::new(room);
    let first = inflater.run(InputBits::new(&stream[..cut]), StopOn::FinalBlock, out.room());
    let (mut consumed, mut bytes, mut outcome) =
        (first.consumed_bits, out.done(first.output_size), first.outcome);
    if cut < stream.len() && matches!(outcome, Outcome::InputEnd { .. }) {
        let mut out = Guarded::new((room - bytes.len()).max(1));
        let second = inflater.run(InputBits::new(stream).skip(consumed), StopOn::FinalBlock, out.room());
        consumed += second.consumed_bits;
        bytes.extend(out.done(second.output_size));
        outcome = second.outcome;
    }
    match outcome {
        _ if bytes.len() > room => Answer::Full,
        Outcome::StreamEnd => Answer::Done(consumed.div_ceil(8), bytes),
        Outcome::Overflow => Answer::Full,
        Outcome::Error(ErrorCode::BAD_DISTANCE | ErrorCode::FIRST_D_CODE_16 | ErrorCode::LL_CODE_COUNT) => {
            Answer::Beyond
        }
        _ => Answer::Refused,
    }
}
