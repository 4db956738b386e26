//! `svala delta`: what of a file became what of another, stretch by stretch.
//!
//! A stretch is as long as what one delta record can be of. Stretches do not depend on each other, so several are in
//! flight. The format is described in the command's help; [`format`] has its numbers.
//!
//! Whoever writes to OLD or NEW while `create` reads them gets a delta that `apply` refuses: what it makes does not
//! have the checksum that NEW had.

mod apply;
mod create;
mod format;

pub(crate) use format::Flaw;

use std::ops::Range;
use std::path::Path;

use svala_engine::Report;

use crate::args::{Delta, DeltaAction};
use crate::error::Trouble;
use crate::run::{Finding, Session};
use crate::window::windows;
use format::STRETCH_BYTES;

/// Stretches in flight. Each has two maps of half a mebibyte and a buffer as large.
const STRETCHES_IN_FLIGHT: usize = 8;

pub(crate) async fn run(session: &Session<'_>, args: &Delta) -> Result<Finding, Trouble> {
    match &args.action {
        DeltaAction::Create(args) => create::run(session, args).await,
        DeltaAction::Apply(args) => apply::run(session, args).await,
    }
}

/// The CRC-32C of bytes of the delta file `path`; they come back.
async fn crc32c_of(
    session: &Session<'_>,
    path: &Path,
    bytes: Vec<u8>,
) -> Result<(Vec<u8>, u32, Report), Trouble> {
    match session.engine.crc32c(bytes, 0).await {
        Ok(done) => Ok((done.buffers, done.value, done.report)),
        Err(failed) => Err(Trouble::Operation { path: path.to_owned(), offset: 0, error: failed.error }),
    }
}

/// For lengths that are at most a stretch's.
fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A stretch of the new file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    /// All of it.
    new: Range<u64>,
    /// Its beginning that is compared with the old file, at the same place: whole words that both have.
    compared: Range<u64>,
}

impl Stretch {
    fn bytes(&self) -> u64 {
        self.new.end - self.new.start
    }

    /// Bytes behind what is compared.
    fn rest(&self) -> Range<u64> {
        self.compared.end..self.new.end
    }
}

/// The stretches of a new file of `new_len` bytes.
fn stretches(old_len: u64, new_len: u64) -> impl Iterator<Item = Stretch> {
    windows(new_len, STRETCH_BYTES).map(move |new| {
        let both = new.end.min(old_len).saturating_sub(new.start);
        let compared = new.start..new.start + both / 8 * 8;
        Stretch { new, compared }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_that_both_files_have_are_compared() {
        let all: Vec<_> = stretches(STRETCH_BYTES + 20, 2 * STRETCH_BYTES + 5).collect();
        let compared: Vec<_> =
            all.iter().map(|stretch| stretch.compared.end - stretch.compared.start).collect();
        assert_eq!(compared, [STRETCH_BYTES, 16, 0]);
        assert_eq!(all[2].rest(), 2 * STRETCH_BYTES..2 * STRETCH_BYTES + 5);
        assert_eq!(stretches(100, 0).count(), 0);
    }
}
