//! Deflate and inflate against other people's: the machine's `gzip` and Python's zlib, run as processes.

mod oracle;

use oracle::filter;
use proptest::prelude::*;
use svala_software::{
    Deflater, InflateError, Inflater, Level, OutputFull, Segment, Window, crc32, deflate, deflate_bound,
    inflate,
};

fn python_inflate(raw: &[u8]) -> Vec<u8> {
    let script = "import sys, zlib
d = zlib.decompressobj(-15)
sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()))
assert d.eof and not d.unused_data";
    filter("python3", &["-c", script], raw)
}

fn python_deflate(data: &[u8], level: u8) -> Vec<u8> {
    let script = "import sys, zlib
c = zlib.compressobj(int(sys.argv[1]), zlib.DEFLATED, -15)
sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read()) + c.flush())";
    filter("python3", &["-c", script, &level.to_string()], data)
}

/// Half words that repeat, half bytes that do not.
fn mixed(len: usize) -> Vec<u8> {
    let words = ["swallow ", "queue ", "portal ", "descriptor ", "completion "];
    let mut state = 0x1234_5678_9abc_def0_u64;
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        let [pick, a, b, ..] = state.to_be_bytes();
        if pick < 128 {
            bytes.extend_from_slice(words[usize::from(pick) % words.len()].as_bytes());
        } else {
            bytes.extend_from_slice(&[a, b]);
        }
    }
    bytes.truncate(len);
    bytes
}

fn random(len: usize) -> Vec<u8> {
    let mut state = 42_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

/// Compresses in segments of `segment_bytes`.
fn in_segments(deflater: &mut Deflater, data: &[u8], segment_bytes: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut rest = data;
    loop {
        let (segment, after) = rest.split_at(rest.len().min(segment_bytes));
        let last = if after.is_empty() { Segment::Last } else { Segment::NotLast };
        let mut out = vec![0; deflate_bound(segment.len())];
        let deflated = deflater.deflate(segment, &mut out, last).unwrap();
        assert_eq!(deflated.read, segment.len());
        stream.extend_from_slice(&out[..deflated.written]);
        if after.is_empty() {
            return stream;
        }
        rest = after;
    }
}

#[test]
fn python_reads_every_level_and_window() {
    let data = mixed(300_000);
    for level in 0..=9 {
        for bits in [9, 12, 15] {
            let mut deflater = Deflater::new(Level::new(level).unwrap(), Window::new(bits).unwrap());
            let stream = in_segments(&mut deflater, &data, 100_000);
            assert!(python_inflate(&stream) == data, "level {level}, window bits {bits}");
        }
    }
}

/// Around the sizes named in the module, with an empty last segment where the length divides.
#[test]
fn python_reads_joined_segments_of_any_length() {
    let data = mixed((2 << 20) + 1);
    let mut deflater = Deflater::new(Level::FAST, Window::DEFLATE);
    for len in [0, 1, 63, 64, 65, 4095, 4096, 4097, 2 << 20, (2 << 20) + 1] {
        let stream = in_segments(&mut deflater, &data[..len], 64 << 10);
        assert!(python_inflate(&stream) == data[..len], "{len} bytes");
    }
    let empty_first = {
        let mut out = vec![0; 64];
        let n = deflater.deflate(b"", &mut out, Segment::NotLast).unwrap().written;
        let m = deflater.deflate(b"", &mut out[n..], Segment::NotLast).unwrap().written;
        let k = deflater.deflate(b"tail", &mut out[n + m..], Segment::Last).unwrap().written;
        out[..n + m + k].to_vec()
    };
    assert_eq!(python_inflate(&empty_first), b"tail");
}

#[test]
fn gzip_reads_segments_between_its_header_and_trailer() {
    let data = mixed(1 << 20);
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(in_segments(&mut Deflater::new(Level::DEFAULT, Window::DEFLATE), &data, 256 << 10));
    file.extend_from_slice(&crc32(0, &data).to_le_bytes());
    file.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    filter("gzip", &["-t"], &file);
    assert!(filter("gzip", &["-dc"], &file) == data);
}

#[test]
fn streams_of_python_and_gzip_are_read() {
    let data = mixed(500_000);
    let mut dst = vec![0; data.len()];
    for level in [1, 6, 9] {
        let raw = python_deflate(&data, level);
        let inflated = inflate(&raw, &mut dst).unwrap();
        assert_eq!((inflated.read, inflated.written, inflated.ended), (raw.len(), data.len(), true));
        assert!(dst == data);
    }
    let gzip = filter("gzip", &["-nc"], &data);
    let inflated = inflate(&gzip[10..], &mut dst).unwrap();
    assert_eq!(inflated.read, gzip.len() - 10 - 8, "the trailer is not part of the stream");
    assert!(dst == data);
}

#[test]
fn bound_holds_for_the_incompressible() {
    for len in [0, 1, 2, 5, 64, 100, 4096, 65_535, 65_536, 300_000] {
        let data = random(len);
        for level in 0..=9 {
            for bits in 9..=15 {
                let mut deflater = Deflater::new(Level::new(level).unwrap(), Window::new(bits).unwrap());
                for segment in [Segment::Last, Segment::NotLast] {
                    let mut dst = vec![0; deflate_bound(len)];
                    let result = deflater.deflate(&data, &mut dst, segment);
                    assert!(result.is_ok(), "{len} bytes, level {level}, window bits {bits}: {result:?}");
                }
            }
        }
    }
}

#[test]
fn reconfigured_deflater_writes_what_a_new_one_does() {
    let data = mixed(100_000);
    let mut reused = Deflater::new(Level::BEST, Window::DEFLATE);
    for from in 0..=9 {
        for to in 0..=9 {
            for level in [from, to] {
                let level = Level::new(level).unwrap();
                reused.configure(level, Window::DEFLATE);
                let fresh = in_segments(&mut Deflater::new(level, Window::DEFLATE), &data, 60_000);
                assert!(in_segments(&mut reused, &data, 60_000) == fresh, "level {from} to {to}");
            }
        }
    }
    reused.configure(Level::DEFAULT, Window::IAA);
    assert_eq!((reused.level(), reused.window()), (Level::DEFAULT, Window::IAA));
    assert!(python_inflate(&in_segments(&mut reused, &data, 50_000)) == data);
}

/// 4 KiB of noise, twice: only a window that reaches back to the first copy makes the second one cheap.
#[test]
fn window_limits_how_far_back_a_segment_refers() {
    let noise = random(8000);
    let data = [&noise[..], &noise[..]].concat();
    let mut dst = vec![0; deflate_bound(data.len())];
    let mut size =
        |window| Deflater::new(Level::BEST, window).deflate(&data, &mut dst, Segment::Last).unwrap().written;
    assert!(size(Window::DEFLATE) < 9000);
    assert!(size(Window::IAA) > 16_000);
}

#[test]
fn full_output_is_reported_and_leaves_the_deflater_usable() {
    let data = random(100_000);
    let mut deflater = Deflater::new(Level::FAST, Window::DEFLATE);
    for room in [0, 1, 100, 50_000] {
        for segment in [Segment::Last, Segment::NotLast] {
            let error = deflater.deflate(&data, &mut vec![0; room], segment).unwrap_err();
            assert!(matches!(error, OutputFull { room: r, len: 100_000, .. } if r == room), "{error}");
        }
        assert!(python_inflate(&in_segments(&mut deflater, &data, 30_000)) == data);
    }
}

/// Which of two compressors does it may depend on the room; what comes out is whole, or an error.
#[test]
fn segment_fits_exactly_and_a_smaller_one_may_be_found_but_never_a_part_of_one() {
    let data = mixed(10_000);
    let mut dst = vec![0; deflate_bound(data.len())];
    for segment in [Segment::Last, Segment::NotLast] {
        let made = deflate(&data, &mut dst, Level::DEFAULT, segment).unwrap().written;
        let again = deflate(&data, &mut dst[..made], Level::DEFAULT, segment).unwrap().written;
        assert_eq!(again, made);
        let mut refused = 0;
        for room in (0..made).rev().step_by(7) {
            match deflate(&data, &mut dst[..room], Level::DEFAULT, segment) {
                Ok(smaller) => {
                    let mut out = vec![0; data.len()];
                    let mut inflater = Inflater::new();
                    let back = inflater.inflate_some(&dst[..smaller.written], &mut out).unwrap();
                    assert_eq!((back.read, back.written), (smaller.written, data.len()));
                    assert!(out == data && back.ended == (segment == Segment::Last));
                }
                Err(full) => {
                    assert_eq!(full.room, room);
                    refused += 1;
                }
            }
        }
        assert!(refused > made / 14, "{refused} of {} rooms", made / 7);
    }
}

#[test]
fn inflate_takes_exactly_the_room_it_needs() {
    for data in [mixed(100_000), Vec::new(), vec![7; 300_000]] {
        let raw = python_deflate(&data, 6);
        let mut dst = vec![0; data.len()];
        assert_eq!(inflate(&raw, &mut dst).unwrap().written, data.len());
        assert!(dst == data);
        if !data.is_empty() {
            let room = data.len() - 1;
            let error = inflate(&raw, &mut dst[..room]).unwrap_err();
            assert!(matches!(error, InflateError::OutputFull { room: r, .. } if r == room), "{error}");
        }
    }
}

#[test]
fn every_proper_prefix_is_truncated() {
    let data = mixed(3000);
    let raw = python_deflate(&data, 6);
    let mut dst = vec![0; data.len()];
    let mut inflater = Inflater::new();
    for len in 0..raw.len() {
        let error = inflater.inflate(&raw[..len], &mut dst).unwrap_err();
        let InflateError::Truncated { len: reported, written } = error else { panic!("{len}: {error}") };
        assert_eq!(reported, len);
        assert!(dst[..written] == data[..written]);
    }
    assert!(inflater.inflate(&raw, &mut dst).unwrap().ended);
}

#[test]
fn corrupt_input_is_reported_near_the_flaw() {
    let data = random(50_000);
    let mut raw = vec![0; deflate_bound(data.len())];
    let first = deflate(&data, &mut raw, Level::STORE, Segment::NotLast).unwrap().written;
    // Block type 3 does not exist.
    raw[first] = 0b111;
    let mut dst = vec![0; 2 * data.len()];
    let error = inflate(&raw[..=first], &mut dst).unwrap_err();
    let InflateError::Corrupt { offset, written } = error else { panic!("{error}") };
    assert!((first as u64..=first as u64 + 1).contains(&offset), "{error}, flaw at {first}");
    assert_eq!(written, data.len() as u64);
    assert!(dst[..data.len()] == data);
}

#[test]
fn inflater_is_as_new_after_an_error() {
    let data = mixed(20_000);
    let raw = python_deflate(&data, 9);
    let mut dst = vec![0; data.len()];
    let mut inflater = Inflater::new();
    for _ in 0..3 {
        inflater.inflate(&[0xff; 32], &mut dst).unwrap_err();
        inflater.inflate_some(&[0xff; 32], &mut dst).unwrap_err();
        inflater.inflate(&raw, &mut dst).unwrap();
        assert!(dst == data);
    }
}

/// Reads a stream through buffers of the given sizes, as a file is read in bounded memory.
fn inflate_in_pieces(raw: &[u8], in_bytes: usize, out_bytes: usize) -> Vec<u8> {
    let mut inflater = Inflater::new();
    let mut dst = vec![0; out_bytes];
    let mut out = Vec::new();
    let mut rest = raw;
    loop {
        let step = inflater.inflate_some(&rest[..rest.len().min(in_bytes)], &mut dst).unwrap();
        rest = &rest[step.read..];
        out.extend_from_slice(&dst[..step.written]);
        if step.ended {
            assert_eq!(inflater.inflate_some(b"more", &mut dst).unwrap().read, 0);
            return out;
        }
        assert!(step.read + step.written > 0, "no progress with {} bytes left", rest.len());
    }
}

#[test]
fn streaming_inflate_needs_no_more_than_its_buffers() {
    let data = mixed(200_000);
    let raw = python_deflate(&data, 6);
    for (in_bytes, out_bytes) in [(1, 1), (1, 65_536), (4096, 1), (7, 4099), (raw.len(), 100)] {
        assert!(inflate_in_pieces(&raw, in_bytes, out_bytes) == data, "{in_bytes} in, {out_bytes} out");
    }
}

proptest! {
    #[test]
    fn segments_round_trip(
        data in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..30_000),
        segment_bytes in 1..40_000_usize,
        level in 0..=9_u8,
        bits in 9..=15_u8,
    ) {
        let segment_bytes = segment_bytes.max(500);
        let mut deflater = Deflater::new(Level::new(level).unwrap(), Window::new(bits).unwrap());
        let stream = in_segments(&mut deflater, &data, segment_bytes);
        let mut dst = vec![0; data.len()];
        let inflated = inflate(&stream, &mut dst).unwrap();
        prop_assert_eq!(inflated.read, stream.len());
        prop_assert!(dst == data);
    }

    #[test]
    fn any_bytes_inflate_or_fail(src in prop::collection::vec(any::<u8>(), 0..2000), room in 0..4000_usize) {
        let mut dst = vec![0; room];
        if let Ok(inflated) = inflate(&src, &mut dst) {
            prop_assert!(inflated.ended && inflated.read <= src.len() && inflated.written <= room);
        }
    }

    #[test]
    fn a_flipped_byte_inflates_or_fails(at: prop::sample::Index, value: u8) {
        let data = mixed(5000);
        let mut raw = vec![0; deflate_bound(data.len())];
        let len = deflate(&data, &mut raw, Level::DEFAULT, Segment::Last).unwrap().written;
        raw[at.index(len)] ^= value;
        let _ = inflate(&raw[..len], &mut vec![0; 10_000]);
    }
}
