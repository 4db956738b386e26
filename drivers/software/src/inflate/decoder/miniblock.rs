//! A decoder that begins and ends at any bit, and reads a block on its own.

use super::{Bits, Decoder, Flaw, Io, Stage, Step, Wanted};

/// Whether bits are left that are no whole byte, and other questions between calls.
impl Decoder {
    /// Forgets the stream, and reads one block: its end is the end.
    pub(in crate::inflate) const fn begin_block(&mut self) {
        self.reset();
        self.is_only = true;
    }

    /// Takes in bits `from` to `end` of a byte, of which there are fewer than 8 or all, as what comes next.
    pub(in crate::inflate) fn take_in(&mut self, byte: u8, from: u32, end: u32) {
        let (word, bits) = (u64::from(byte) >> from, end.saturating_sub(from));
        let Bits { word: before, left } = self.bits;
        self.bits = Bits::new(before | word << left, left + bits);
    }

    /// Bits of the input that were taken and not used.
    pub(in crate::inflate) const fn unused_bits(&self) -> u32 {
        self.bits.left
    }

    /// Whether a repetition is half copied.
    pub(in crate::inflate) const fn is_within_match(&self) -> bool {
        matches!(self.stage, Stage::Repeat { .. })
    }

    /// Whether the flaw is a repetition of what is before the output.
    pub(in crate::inflate) const fn is_too_far(&self) -> bool {
        matches!(self.stage, Stage::TooFar)
    }

    /// Has what comes next refer to nothing before.
    pub(in crate::inflate) const fn forget(&mut self) {
        self.window.clear();
    }

    /// Reads the header of a block, and nothing behind it.
    pub(in crate::inflate) fn run_header(&mut self, src: &[u8]) -> Step {
        let mut io = Io { src, at: 0, dst: &mut [], out: 0 };
        let wanted = loop {
            let is_header =
                !matches!(self.stage, Stage::Symbols | Stage::Stored(_) | Stage::Repeat { .. } | Stage::End);
            if !is_header {
                break Ok(Wanted::Room);
            }
            match self.advance(&mut io) {
                Ok(None) => {}
                Ok(Some(wanted)) => break Ok(wanted),
                Err(Flaw) => break Err(Flaw),
            }
        };
        Step { read: io.at, written: 0, wanted }
    }

    /// Goes on at a miniblock of the block at hand, so many bits behind its header. False: it has none there.
    pub(in crate::inflate) fn seek(&mut self, bits: u64) -> bool {
        if let Stage::Stored(left) = self.stage {
            let skipped = usize::try_from(bits / 8).unwrap_or(usize::MAX);
            if !bits.is_multiple_of(8) || skipped >= left {
                return false;
            }
            self.stage = Stage::Stored(left - skipped);
        }
        self.bits = Bits::default();
        self.window.clear();
        matches!(self.stage, Stage::Symbols | Stage::Stored(_))
    }
}
