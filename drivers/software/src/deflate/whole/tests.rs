//! Segments by libdeflate, read by zlib-rs.

use flate2::{Decompress, FlushDecompress, Status};

use super::*;
use crate::deflate::deflate_bound;

/// Data of several kinds: words, runs, few symbols, noise, and all of them one after the other.
fn samples(len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = include_str!("../whole.rs").split_inclusive(' ').collect::<Vec<_>>();
    let text: Vec<u8> =
        std::iter::repeat_with(|| words[usize::try_from(random() % words.len() as u64).unwrap()])
            .flat_map(str::bytes)
            .take(len)
            .collect();
    let noise: Vec<u8> = std::iter::repeat_with(&mut random).flat_map(u64::to_le_bytes).take(len).collect();
    let few = noise.iter().map(|byte| byte & 3).collect();
    let runs =
        noise.iter().flat_map(|byte| std::iter::repeat_n(byte & 7, 1 << (byte >> 4))).take(len).collect();
    let part = len / 3;
    let mixed = [&text[..part], &noise[..part], &vec![0; part]].concat();
    vec![
        ("text", text),
        ("noise", noise),
        ("few", few),
        ("runs", runs),
        ("zeros", vec![0; len]),
        ("mixed", mixed),
    ]
}

fn inflated(stream: &[u8], len: usize) -> (Vec<u8>, Status) {
    let mut out = Vec::with_capacity(len + 1);
    let mut state = Decompress::new(false);
    let status = state.decompress_vec(stream, &mut out, FlushDecompress::None).expect("valid");
    assert_eq!(state.total_in(), stream.len() as u64, "all of it is read");
    (out, status)
}

#[test]
fn segments_that_go_on_join_those_that_end() {
    let mut whole = Whole::new(Level::DEFAULT);
    for len in [0, 1, 64, 1000, 9_999, 10_000, 65_535, 65_536, 300_001, 305_000, 1 << 20] {
        for (kind, data) in samples(len) {
            for level in [1, 2, 6, 9] {
                let level = Level::new(level).unwrap();
                let mut dst = vec![0xaa; deflate_bound(data.len())];
                let written = whole.deflate(&data, &mut dst, level, Segment::NotLast).expect("room");
                assert_eq!(dst[written - 4..written], [0, 0, 0xff, 0xff]);
                let (out, status) = inflated(&dst[..written], data.len());
                assert!(
                    out == data && status == Status::Ok,
                    "{len} bytes of {kind} at {level:?}: {status:?}"
                );
                let mut tail = vec![0xaa; 64];
                let tail_len = whole.deflate(b"and the end", &mut tail, level, Segment::Last).expect("room");
                let stream = [&dst[..written], &tail[..tail_len]].concat();
                let (out, status) = inflated(&stream, data.len() + 11);
                assert!(out == [&data[..], b"and the end"].concat() && status == Status::StreamEnd, "{kind}");
            }
        }
    }
}

#[test]
fn blocks_are_found_in_the_streams_of_others() {
    let mut blocks = Blocks::new();
    for (kind, data) in samples(200_000) {
        for level in 0..=9 {
            let mut state = flate2::Compress::new(flate2::Compression::new(level), false);
            let mut stream = Vec::with_capacity(deflate_bound(data.len()));
            state.compress_vec(&data, &mut stream, flate2::FlushCompress::Finish).unwrap();
            let last = blocks.last(&stream).expect("valid");
            assert!(last.begin < last.end && last.end.div_ceil(8) == stream.len() as u64);
            // Without its mark the stream goes on.
            let at = usize::try_from(last.begin / 8).unwrap();
            stream[at] ^= 1 << (last.begin % 8);
            let (out, status) = inflated(&stream, data.len());
            assert!(out == data && status != Status::StreamEnd, "{kind} at {level}");
        }
    }
}

/// Whatever the bytes are, nothing is read behind them, and nothing panics.
#[test]
fn what_is_no_stream_is_walked_through_or_refused() {
    let mut blocks = Blocks::new();
    let (_, noise) = samples(70_000).swap_remove(1);
    for start in (0..60_000).step_by(7) {
        let _ = blocks.last(&noise[start..start + start % 300]);
    }
    let mut dst = vec![0; 70_000];
    let written =
        Whole::new(Level::DEFAULT).deflate(&samples(60_000)[0].1, &mut dst, Level::FAST, Segment::Last);
    let stream = &mut dst[..written.unwrap()];
    assert!(blocks.last(&stream[..stream.len() - 1]).is_none());
    for at in 0..stream.len().min(1000) {
        stream[at] ^= 0x55;
        let _ = blocks.last(stream);
        stream[at] ^= 0x55;
    }
}

#[test]
fn without_room_nothing_is_made() {
    let mut whole = Whole::new(Level::DEFAULT);
    for (_, data) in samples(20_000) {
        for segment in [Segment::Last, Segment::NotLast] {
            let mut dst = vec![0; deflate_bound(data.len())];
            let written = whole.deflate(&data, &mut dst, Level::DEFAULT, segment).unwrap();
            let mut exact = vec![0; written];
            assert_eq!(whole.deflate(&data, &mut exact, Level::DEFAULT, segment), Some(written));
            assert!(exact == dst[..written]);
            assert_eq!(whole.deflate(&data, &mut dst[..written - 1], Level::DEFAULT, segment), None);
            assert_eq!(whole.deflate_copy(&data, &mut exact, Level::DEFAULT, segment), Some(written));
        }
    }
    let long = vec![0; COPY_BYTES_MAX + 1];
    let mut dst = vec![0; deflate_bound(long.len())];
    assert_eq!(whole.deflate_copy(&long, &mut dst, Level::DEFAULT, Segment::Last), None);
    assert!(whole.deflate(&long, &mut dst, Level::DEFAULT, Segment::Last).is_some());
}
