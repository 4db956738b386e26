//! A decompression put aside: everything that has to come back for it to go on.

use idxd_spec::iaa::ErrorCode;

use super::header::{CodeLengths, Codes};
use super::{HISTORY_BYTES, Inflater, Reference};
use crate::iaa::alphabet::LENGTH_MAX;

/// Where in a stream a decompression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before a block header.
    Header {
        /// Whether a block came before it.
        after_block: bool,
    },
    /// In a stored block.
    Stored {
        /// Bytes left of it.
        left: usize,
    },
    /// In a block of codes.
    Codes,
    /// After the final block.
    End,
}

/// What an [`Inflater`] knows, in plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Where it stands.
    pub position: Position,
    /// Whether the block at hand is the stream's last.
    pub final_block: bool,
    /// Length left and distance of a match that did not fit the output.
    pub pending: Option<(usize, usize)>,
    /// The codes of the block at hand; of no meaning outside [`Position::Codes`].
    pub lengths: CodeLengths,
    /// The last output, at most 4 KiB, oldest first.
    pub history: Vec<u8>,
}

impl Inflater {
    /// Puts the decompression aside.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            position: self.state,
            final_block: self.final_block,
            pending: self.pending.map(|Reference { length, distance }| (length, distance)),
            lengths: self.codes.lengths,
            history: self.history.clone(),
        }
    }

    /// Takes it up again.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INCONSISTENT_STATE`] for codes that are none, or a match that no stream can have left;
    /// [`ErrorCode::AECS`] for an empty stored block or a history above 4 KiB (IAA table 4-5).
    pub fn restore(saved: Saved) -> Result<Self, ErrorCode> {
        let Saved { position, final_block, pending, lengths, history } = saved;
        let is_match = |(length, distance): (usize, usize)| {
            (1..LENGTH_MAX).contains(&length) && (1..=history.len()).contains(&distance)
        };
        if history.len() > HISTORY_BYTES || position == (Position::Stored { left: 0 }) {
            return Err(ErrorCode::AECS);
        }
        let mut codes = Codes::new();
        let are_codes =
            position != Position::Codes || codes.set(&lengths.literal_length, &lengths.distance).is_ok();
        if !are_codes || pending.is_some_and(|pending| position != Position::Codes || !is_match(pending)) {
            return Err(ErrorCode::INCONSISTENT_STATE);
        }
        let pending = pending.map(|(length, distance)| Reference { length, distance });
        Ok(Self { state: position, final_block, pending, codes, history })
    }
}
