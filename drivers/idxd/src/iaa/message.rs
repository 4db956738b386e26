//! An encrypted column, descriptor by descriptor: which bytes of the message come next, and what is done with them.
//!
//! A filter takes ciphertext to the end of what it is given, and does not write its state (IAA tables 4-5 and 6-3). So the driver
//! makes the state of each part, as software does that begins in the middle of a message (IAA §3.5.4): the counter of GCM and
//! the tweak of XTS follow from the number of the block, and GCM's hash so far is in the record of the part before. CFB goes on
//! from the block in front of a part, which lies in the caller's memory, and may be absent: the device decrypts it without
//! output, and leaves it in the AECS.
//!
//! A tag is one of all the message. What no part of the filter takes, in front of an extract and behind the last element, is
//! decrypted without output.

use svala::backend::Failure;
use svala::{CIPHER_BLOCK_BYTES, CipherMode, Filter};

use super::cipher::Block;

/// Elements that begin and end at whole blocks of ciphertext, whatever their width.
pub(super) const GROUP: u64 = 8 * CIPHER_BLOCK_BYTES;

/// How far a message has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    /// Bytes that are done with: whole blocks, or all there are.
    pub(super) at: u64,
    /// Of GCM, the hash so far; of CFB, the block that is gone on from.
    pub(super) carried: Block,
    /// Whether that block is the one in front of [`at`](Self::at).
    has_vector: bool,
    /// What the descriptor under way does.
    step: Step,
}

/// What a descriptor does with its bytes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing but hash them.
    Hash { bytes: u64 },
    /// Fetches the block in front of the next part.
    Vector,
    /// Decrypts them and filters so many elements.
    Filter { bytes: u64, elements: u64 },
}

/// What there is to do, and by which rules.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) mode: CipherMode,
    pub(super) filter: Filter,
    /// Bytes of the message.
    pub(super) message_bytes: u64,
    /// The first element that is not filtered yet.
    pub(super) element: u64,
    /// The element behind the last one that is.
    pub(super) end: u64,
    /// Bytes of output there may be, of what is left.
    pub(super) output_bytes_max: u64,
    pub(super) transfer_bytes_max: u64,
}

impl Message {
    pub(super) const START: Self =
        Self { at: 0, carried: [0; 16], has_vector: false, step: Step::Filter { bytes: 0, elements: 0 } };

    /// The next step; another one after [`done`](Self::done).
    pub(super) fn next(&mut self, order: Order) -> Result<Step, Failure> {
        let start = order.element * u64::from(order.filter.width()) / 8;
        let is_filtered = order.element >= order.end;
        let hash_to = if is_filtered { order.message_bytes } else { start };
        let hashes = order.mode == CipherMode::Gcm && self.at < hash_to;
        let needs_vector = order.mode == CipherMode::Cfb && start > 0 && !self.has_vector;
        self.step = if hashes {
            Step::Hash { bytes: (hash_to - self.at).min(order.blocks_bytes_max()) }
        } else if needs_vector {
            Step::Vector
        } else {
            order.part(start)?
        };
        if !hashes {
            self.at = start;
        }
        Ok(self.step)
    }

    /// Takes in what the device has left, the hash or the vector; says what was done.
    pub(super) const fn done(&mut self, carried: Block) -> Step {
        self.carried = carried;
        self.has_vector = matches!(self.step, Step::Vector);
        self.at += match self.step {
            Step::Hash { bytes } | Step::Filter { bytes, .. } => bytes,
            Step::Vector => 0,
        };
        self.step
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self, order: Order) -> bool {
        let is_hashed = order.mode != CipherMode::Gcm || self.at >= order.message_bytes;
        order.element >= order.end && is_hashed
    }
}

impl Order {
    /// The element to begin with: an extract leaves out what is in front of it, unless everything is one descriptor.
    pub(super) fn first_element(&self, wanted: u64) -> u64 {
        let bits = u64::from(self.filter.width());
        let first = wanted / GROUP * GROUP;
        let rest = self.message_bytes.saturating_sub(first * bits / 8);
        match self.is_short(0) {
            true => 0,
            // Where the end of the message is stolen from the block before it, that has to be there.
            false if rest < CIPHER_BLOCK_BYTES => first.saturating_sub(GROUP),
            false => first,
        }
    }

    /// Whether the message from this byte on, and what comes of it, is one descriptor's.
    fn is_short(&self, start: u64) -> bool {
        let fits = self.message_bytes.saturating_sub(start) <= self.transfer_bytes_max;
        fits && self.output_bytes_max <= self.transfer_bytes_max
    }

    /// The part of a filter that begins at this byte.
    fn part(&self, start: u64) -> Result<Step, Failure> {
        let left = self.end.saturating_sub(self.element);
        let rest = self.message_bytes.saturating_sub(start);
        if self.is_short(start) || !self.filter.splits_at_blocks() {
            return Ok(Step::Filter { bytes: rest, elements: left });
        }
        let bits = u64::from(self.filter.width().max(1));
        let input = self.blocks_bytes_max().saturating_mul(8) / bits;
        let output = match self.output_bytes_max <= self.transfer_bytes_max {
            true => u64::MAX,
            false => {
                self.transfer_bytes_max.saturating_mul(8) / u64::from(self.filter.written_width().max(1))
            }
        };
        let whole = |elements: u64| elements / GROUP * GROUP;
        let bytes =
            |elements: u64| (elements * bits).div_ceil(8).next_multiple_of(CIPHER_BLOCK_BYTES).min(rest);
        let elements = input.min(output).min(left);
        let elements = if elements < left { whole(elements) } else { elements };
        let behind = rest - bytes(elements);
        // Less than a block behind is stolen from the one before, and comes with it.
        let steals = self.mode == CipherMode::Xts && (1..CIPHER_BLOCK_BYTES).contains(&behind);
        let elements = if steals { whole(elements.saturating_sub(1)) } else { elements };
        if elements == 0 {
            return Err(Failure::Unsupported);
        }
        Ok(Step::Filter { bytes: bytes(elements), elements })
    }

    /// Bytes of whole blocks that a transfer has at most.
    const fn blocks_bytes_max(&self) -> u64 {
        self.transfer_bytes_max / CIPHER_BLOCK_BYTES * CIPHER_BLOCK_BYTES
    }
}
