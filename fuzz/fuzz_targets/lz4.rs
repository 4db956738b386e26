//! LZ4 frames: whatever the bytes are, blocks as a whole and piece by piece come to the same, and to what the `lz4_flex` crate's
//! own reader of frames makes of them, where it reads them.
//!
//! Input: a byte for the size of pieces, then the frame.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use svala_software::{Lz4Error, Lz4Expander, Lz4Start, Xxh32, lz4_blocks_len, lz4_expand_blocks};

const ROOM: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let [piece, frame @ ..] = input else { return };
    let Ok(Lz4Start::Frame(header)) = Lz4Start::parse(frame) else { return };
    assert!(header.bytes <= frame.len());
    let rest = &frame[header.bytes..];
    let mut out = vec![0; ROOM];
    let whole = lz4_blocks_len(rest, header.blocks).and_then(|len| {
        let made = lz4_expand_blocks(&rest[..len], &mut out, header.blocks)?;
        Ok((len, made))
    });
    let (len, made) = match whole {
        Ok(whole) => whole,
        Err(Lz4Error::OutputFull { .. }) => return,
        Err(_) => {
            // By pieces it is broken as well, or not at its end.
            assert!(by_pieces(&header, rest, usize::from(*piece) + 1).is_none());
            return;
        }
    };
    assert_eq!(by_pieces(&header, rest, usize::from(*piece) + 1).as_deref(), Some(&out[..made]));
    let sum = Xxh32::of(&out[..made]);
    let sound = header.check_trailer(&rest[len + 4..], sum, made as u64).is_ok();
    let mut theirs = Vec::new();
    let mut reader = lz4_flex::frame::FrameDecoder::new(frame).take(ROOM as u64);
    let mut read = reader.read_to_end(&mut theirs);
    // It says that it is at the end behind a block that comes to nothing, and goes on when it is asked again.
    for _ in 0..frame.len() / 4 {
        if read.is_err() || theirs.len() >= made {
            break;
        }
        read = reader.read_to_end(&mut theirs);
    }
    if sound && read.is_ok() {
        assert!(theirs.starts_with(&out[..made]));
    }
});

/// None: broken, or without an end.
fn by_pieces(header: &svala_software::Lz4Header, rest: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut expander = Lz4Expander::new(header.blocks);
    let (mut at, mut out, mut room) = (0, Vec::new(), vec![0; piece * 7]);
    loop {
        let end = rest.len().min(at + piece);
        let step = expander.expand_some(&rest[at..end], &mut room).ok()?;
        at += step.read;
        out.extend_from_slice(&room[..step.written]);
        if step.ended {
            return Some(out);
        }
        if step.read + step.written == 0 {
            return None;
        }
        // More than is worth looking at.
        if out.len() > ROOM {
            return None;
        }
    }
}
