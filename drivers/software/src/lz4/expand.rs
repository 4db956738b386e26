//! The blocks of a frame, expanded piece by piece: as much input and output at a time as there is.
//!
//! A block is done when all of it is there, so one of each is held: the input of one under way, and its output as far as that
//! has not been taken, with the 64 KiB before it that the next may refer to. That is 8 MiB at most, and little for frames with
//! small blocks.

use super::{Bad, Lz4Blocks, Lz4Error, STORED, WINDOW_BYTES, WORD_BYTES, Xxh32, expand_block, word};

/// How far a call came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lz4Step {
    /// Input taken.
    pub read: usize,
    /// Output given.
    pub written: usize,
    /// The mark that ends the blocks was read, and all output is given.
    pub ended: bool,
}

/// The state between pieces.
#[derive(Clone, Debug)]
pub struct Lz4Expander {
    how: Lz4Blocks,
    /// Input of the length or the block under way.
    held: Vec<u8>,
    /// The block under way, once its length is known: where it begins, and the bytes of its rest.
    block: Option<(u64, u32, usize)>,
    /// What earlier blocks came to, then output; of which `given` bytes are taken.
    output: Vec<u8>,
    given: usize,
    read: u64,
    ended: bool,
}

impl Lz4Expander {
    /// For blocks of a frame, from the first on.
    pub const fn new(how: Lz4Blocks) -> Self {
        Self { how, held: Vec::new(), block: None, output: Vec::new(), given: 0, read: 0, ended: false }
    }

    /// Expands on. A call that comes nowhere needs more input, or room.
    ///
    /// # Errors
    ///
    /// [`Lz4Error::Corrupt`], [`Lz4Error::BlockChecksum`], with the offset in all of the blocks. What came before has been
    /// given.
    pub fn expand_some(&mut self, input: &[u8], output: &mut [u8]) -> Result<Lz4Step, Lz4Error> {
        let mut step = Lz4Step::default();
        loop {
            let ready = &self.output[self.given..];
            let len = ready.len().min(output.len() - step.written);
            output[step.written..step.written + len].copy_from_slice(&ready[..len]);
            self.given += len;
            step.written += len;
            if self.given < self.output.len() || self.ended {
                step.ended = self.ended && self.given == self.output.len();
                return Ok(step);
            }
            let wanted = self.block.map_or(WORD_BYTES, |(.., bytes)| bytes);
            let rest = &input[step.read..];
            let taken = rest.len().min(wanted - self.held.len());
            self.held.extend_from_slice(&rest[..taken]);
            step.read += taken;
            self.read += taken as u64;
            if self.held.len() < wanted {
                return Ok(step);
            }
            match self.block.take() {
                None => self.begin()?,
                Some((offset, head, _)) => self.finish(offset, head)?,
            }
            self.held.clear();
        }
    }

    /// Has read the length of a block.
    fn begin(&mut self) -> Result<(), Lz4Error> {
        let head = word(&self.held, 0).unwrap_or(0);
        let offset = self.read - WORD_BYTES as u64;
        let len = (head & !STORED) as usize;
        if len > self.how.block_bytes_max {
            return Err(Lz4Error::Corrupt { offset });
        }
        self.ended = head == 0;
        let behind = if self.how.checked { WORD_BYTES } else { 0 };
        self.block = (head != 0).then_some((offset, head, len + behind));
        Ok(())
    }

    /// Has read a block. All output was taken.
    fn finish(&mut self, offset: u64, head: u32) -> Result<(), Lz4Error> {
        let len = (head & !STORED) as usize;
        let bytes = &self.held[..len];
        if self.how.checked {
            let (stored, computed) = (word(&self.held, len).unwrap_or(0), Xxh32::of(bytes));
            if stored != computed {
                return Err(Lz4Error::BlockChecksum { offset, stored, computed });
            }
        }
        let kept = if self.how.linked { self.output.len().min(WINDOW_BYTES) } else { 0 };
        self.output.drain(..self.output.len() - kept);
        // A block comes to no more than 255 times its bytes.
        let room = self.how.block_bytes_max.min(len.saturating_mul(255).saturating_add(64));
        self.output.resize(kept + room, 0);
        let (window, room) = self.output.split_at_mut(kept);
        let made = expand_block(bytes, head & STORED != 0, room, window)
            .map_err(|_: Bad| Lz4Error::Corrupt { offset })?;
        self.output.truncate(kept + made);
        self.given = kept;
        Ok(())
    }
}
