//! Blocks of LZ4 as the slices have them: read with a history of 32 KiB, or of 64 by the sixth generation, written as blocks of
//! 64 KiB.
//!
//! The decoder is written from the block format of the LZ4 project and knows nothing of the CPU engine's.

/// How far back a decoder looks, and the encoder of the same device.
pub(crate) const HISTORY_OLD_BYTES: usize = 32 << 10;
/// The same for the sixth generation.
pub(crate) const HISTORY_NEW_BYTES: usize = 64 << 10;
const STORED: u32 = 1 << 31;
/// Bytes that a block of the format it has comes to at most.
const BLOCK_BYTES: usize = 64 << 10;
const MATCH_BYTES_MIN: usize = 4;

/// What is wrong with blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// They end early.
    Incomplete,
    /// They refer to before the beginning, or to what is not remembered.
    TooFarBack,
    /// They come to more than there is room for.
    Overflow,
}

/// Expands blocks, each with its length before it. The bytes written.
pub(crate) fn expand(src: &[u8], dst: &mut [u8], history: usize) -> Result<usize, Flaw> {
    let (mut rest, mut written) = (src, 0);
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk().ok_or(Flaw::Incomplete)?;
        let head = u32::from_le_bytes(*head);
        let (block, behind) = behind.split_at_checked((head & !STORED) as usize).ok_or(Flaw::Incomplete)?;
        let room = &mut dst[written..];
        written += if head & STORED != 0 {
            room.get_mut(..block.len()).ok_or(Flaw::Overflow)?.copy_from_slice(block);
            block.len()
        } else {
            expand_block(block, room, history)?
        };
        rest = behind;
    }
    Ok(written)
}

/// Sequences: literals, then a match, but for the last.
fn expand_block(block: &[u8], dst: &mut [u8], history: usize) -> Result<usize, Flaw> {
    let mut input = block.iter().copied();
    let mut at = 0;
    loop {
        let token = input.next().ok_or(Flaw::Incomplete)?;
        let literals = length(token >> 4, &mut input)?;
        for _ in 0..literals {
            let byte = input.next().ok_or(Flaw::Incomplete)?;
            *dst.get_mut(at).ok_or(Flaw::Overflow)? = byte;
            at += 1;
        }
        let Some(low) = input.next() else { return Ok(at) };
        let high = input.next().ok_or(Flaw::Incomplete)?;
        let distance = usize::from(u16::from_le_bytes([low, high]));
        if distance == 0 || distance > at || distance > history {
            return Err(Flaw::TooFarBack);
        }
        let len = length(token & 15, &mut input)? + MATCH_BYTES_MIN;
        if at + len > dst.len() {
            return Err(Flaw::Overflow);
        }
        for _ in 0..len {
            dst[at] = dst[at - distance];
            at += 1;
        }
    }
}

/// A length: four bits, and bytes while they are 255.
fn length(bits: u8, input: &mut impl Iterator<Item = u8>) -> Result<usize, Flaw> {
    let mut len = usize::from(bits);
    let mut goes_on = bits == 15;
    while goes_on {
        let byte = input.next().ok_or(Flaw::Incomplete)?;
        len += usize::from(byte);
        goes_on = byte == 255;
    }
    Ok(len)
}

/// Stored blocks. None without room for them.
pub(crate) fn store(src: &[u8], dst: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    for block in src.chunks(BLOCK_BYTES) {
        let head = u32::try_from(block.len()).ok()? | STORED;
        for bytes in [&head.to_le_bytes(), block] {
            dst.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
            at += bytes.len();
        }
    }
    Some(at)
}

/// Blocks of as many bytes as the history, so that none refers to what is further back.
pub(crate) fn compress(src: &[u8], dst: &mut [u8], history: usize) -> Option<usize> {
    let mut at = 0;
    let mut back = vec![0; history];
    for block in src.chunks(history) {
        let room = &mut dst[at..];
        let made = svala_software::lz4_compress_blocks(block, room).ok();
        let verifies =
            |made: &usize| expand(&room[..*made], &mut back, history).is_ok_and(|len| back[..len] == *block);
        at += match made.filter(verifies) {
            Some(made) => made,
            None => store(block, room)?,
        };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_the_description_is_read() {
        // Five literals and a match of nine, one back; then the five literals at the end.
        let block = [0x55, b'a', b'b', b'c', b'd', b'e', 1, 0, 0x50, b'v', b'w', b'x', b'y', b'z'];
        let mut out = [0; 64];
        let len = expand_block(&block, &mut out, HISTORY_OLD_BYTES).expect("a block");
        assert_eq!(&out[..len], b"abcdeeeeeeeeeevwxyz");
        assert_eq!(expand_block(&block, &mut out[..18], HISTORY_OLD_BYTES), Err(Flaw::Overflow));
        assert_eq!(expand_block(&block[..13], &mut out, HISTORY_OLD_BYTES), Err(Flaw::Incomplete));
        let zero = [0x10, b'a', 0, 0, 0x00];
        assert_eq!(expand_block(&zero, &mut out, HISTORY_OLD_BYTES), Err(Flaw::TooFarBack));
    }

    #[test]
    fn what_is_far_back_is_not_remembered() {
        let noise =
            |seed: u32| (0..1000_u32).map(move |i| (i + seed).wrapping_mul(0x9e37_79b1).to_le_bytes()[3]);
        for gap in [20_000, 40_000] {
            let data: Vec<u8> =
                noise(1).chain(std::iter::repeat_n(0, gap)).chain(noise(1)).chain(noise(7)).collect();
            let mut made = vec![0; data.len() + 100];
            let len = svala_software::lz4_compress_blocks(&data, &mut made).expect("room");
            let mut out = vec![0; data.len()];
            assert_eq!(expand(&made[..len], &mut out, HISTORY_NEW_BYTES), Ok(data.len()));
            let expanded = expand(&made[..len], &mut out, HISTORY_OLD_BYTES);
            assert_eq!(expanded, if gap == 20_000 { Ok(data.len()) } else { Err(Flaw::TooFarBack) });
            // The device itself makes only what it can read.
            for history in [HISTORY_OLD_BYTES, HISTORY_NEW_BYTES] {
                let len = compress(&data, &mut made, history).expect("room");
                assert_eq!(expand(&made[..len], &mut out, history), Ok(data.len()));
                assert_eq!(out, data);
            }
        }
    }
}
