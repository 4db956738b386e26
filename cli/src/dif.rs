//! `svala dif`: data integrity fields behind the blocks of a file.
//!
//! Windows go one after the other: each begins with the tags that the engine says come next after the one before.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use svala::{DIF_BYTES, DifDestination, DifMismatch, DifSource, Error};

use crate::args::{Dif, DifAction, DifCheck, DifInsert, DifStrip};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::{Source, explain};
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, windows};

pub(crate) async fn run(session: &Session<'_>, args: &Dif) -> Result<Finding, Trouble> {
    match &args.action {
        DifAction::Insert(args) => insert(session, args).await,
        DifAction::Check(args) => check(session, args).await,
        DifAction::Strip(args) => strip(session, args).await,
    }
}

/// A file of whole units, and how many there are.
fn open(path: &Path, unit: u64) -> Result<(Source, u64), Trouble> {
    let source = Source::open(path)?;
    let bytes = source.len();
    if !bytes.is_multiple_of(unit) {
        return Err(Trouble::Blocks { path: path.to_owned(), bytes, unit });
    }
    Ok((source, bytes / unit))
}

/// Blocks of a window: windows begin at pages, as every kind of block is whole words and a page is 512 of them.
fn blocks_of_window(unit: u64) -> u64 {
    WINDOW_BYTES / unit / 512 * 512
}

/// Where in a file blocks are, each of `unit` bytes.
fn place(blocks: &Range<u64>, unit: u64) -> Range<u64> {
    blocks.start * unit..blocks.end * unit
}

async fn insert(session: &Session<'_>, args: &DifInsert) -> Result<Finding, Trouble> {
    let format = args.tags.format();
    let (unit, long) = (format.block.bytes(), format.block.bytes_with_field());
    let (source, blocks) = open(&args.file, unit)?;
    let output =
        Output::create(&args.output, session.manner(source.mode()), &[source.named()], &session.stop);
    let mut output = output?;
    let room = blocks.checked_mul(long).filter(|bytes| i64::try_from(*bytes).is_ok());
    output.reserve(room.ok_or_else(|| too_long(&source, unit))?)?;
    let mut destination = DifDestination { fields: args.tags.fields(), tags: args.tags.first() };
    let mut tally = Tally::default();
    session.progress.begin(Some(source.len()));
    let mut pipeline = Pipeline::new(1, &session.stop);
    for window in windows(blocks, blocks_of_window(long)) {
        let (from, to) = (source.map(&place(&window, unit))?, output.map(&place(&window, long))?);
        pipeline.push(session.engine.dif_insert(from, to, format, destination));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        let files = [source.watched(), output.watched()];
        let done = outcome.map_err(|failed| explain(failed.error, window.start * unit, &files))?;
        destination.tags = done.value.destination;
        session.progress.advance(done.report.bytes);
        tally.add(&done.report);
    }
    source.watched().check()?;
    let sync = output.finish()?;
    let fields = fields("insert", &source, blocks, unit);
    Ok(Finding { exit: Exit::Success, tally, sync, fields: with_output(fields, &args.output) })
}

/// Blocks with their fields do not fit in any file.
fn too_long(source: &Source, unit: u64) -> Trouble {
    Trouble::Blocks { path: source.path().to_owned(), bytes: source.len(), unit }
}

async fn strip(session: &Session<'_>, args: &DifStrip) -> Result<Finding, Trouble> {
    let format = args.tags.format();
    let (unit, long) = (format.block.bytes(), format.block.bytes_with_field());
    let (source, blocks) = open(&args.file, long)?;
    let output =
        Output::create(&args.output, session.manner(source.mode()), &[source.named()], &session.stop);
    let mut output = output?;
    output.reserve(blocks * unit)?;
    let (checks, tags) = args.tags.checks(&args.checks);
    let mut expected = DifSource { checks, tags };
    let mut tally = Tally::default();
    session.progress.begin(Some(source.len()));
    let mut pipeline = Pipeline::new(1, &session.stop);
    for window in windows(blocks, blocks_of_window(long)) {
        let (from, to) = (source.map(&place(&window, long))?, output.map(&place(&window, unit))?);
        pipeline.push(session.engine.dif_strip(from, to, format, expected));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        let done = outcome.map_err(|failed| match failed.error {
            Error::Dif { block, mismatch, .. } => {
                Mismatch::at(window.start + block, mismatch, unit).trouble(&source)
            }
            error => explain(error, window.start * long, &[source.watched(), output.watched()]),
        })?;
        expected.tags = done.value.source;
        session.progress.advance(done.report.bytes);
        tally.add(&done.report);
    }
    source.watched().check()?;
    let sync = output.finish()?;
    let fields = fields("strip", &source, blocks, unit);
    Ok(Finding { exit: Exit::Success, tally, sync, fields: with_output(fields, &args.output) })
}

async fn check(session: &Session<'_>, args: &DifCheck) -> Result<Finding, Trouble> {
    let unit = args.tags.format().block.bytes();
    let (source, blocks) = open(&args.file, args.tags.format().block.bytes_with_field())?;
    let (mismatch, tally) = first_mismatch(session, args, &source, blocks).await?;
    source.watched().check()?;
    session.progress.end();
    let mut fields = fields("check", &source, blocks, unit);
    fields["ok"] = mismatch.is_none().into();
    fields["mismatch"] = Value::Null;
    let mut exit = Exit::Success;
    if let Some(mismatch) = mismatch {
        exit = Exit::Different;
        let found = mismatch.field(&source)?;
        session.say(mismatch.line(&source, &found).as_bytes())?;
        fields["mismatch"] = mismatch.json(&found);
    }
    Ok(Finding { exit, tally, sync: Duration::ZERO, fields })
}

/// The first block whose field does not match.
async fn first_mismatch(
    session: &Session<'_>,
    args: &DifCheck,
    source: &Source,
    blocks: u64,
) -> Result<(Option<Mismatch>, Tally), Trouble> {
    let format = args.tags.format();
    let long = format.block.bytes_with_field();
    let (checks, tags) = args.tags.checks(&args.checks);
    let mut expected = DifSource { checks, tags };
    let mut tally = Tally::default();
    session.progress.begin(Some(source.len()));
    let mut pipeline = Pipeline::new(1, &session.stop);
    for window in windows(blocks, blocks_of_window(long)) {
        pipeline.push(session.engine.dif_check(source.map(&place(&window, long))?, format, expected));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        match outcome {
            Ok(done) => {
                expected.tags = done.value.source;
                session.progress.advance(done.report.bytes);
                tally.add(&done.report);
            }
            Err(failed) => {
                let Error::Dif { block, mismatch, .. } = failed.error else {
                    return Err(explain(failed.error, window.start * long, &[source.watched()]));
                };
                tally.add(&failed.report);
                return Ok((Some(Mismatch::at(window.start + block, mismatch, format.block.bytes())), tally));
            }
        }
    }
    Ok((None, tally))
}

/// A field that is not what it should be.
#[derive(Clone, Copy, Debug)]
struct Mismatch {
    block: u64,
    /// Where the block begins.
    block_offset: u64,
    /// Where its field begins.
    field_offset: u64,
    what: DifMismatch,
}

impl Mismatch {
    /// In block `block` of a file whose blocks have `unit` bytes of data.
    fn at(block: u64, what: DifMismatch, unit: u64) -> Self {
        let block_offset = block * (unit + DIF_BYTES);
        Self { block, block_offset, field_offset: block_offset + unit, what }
    }

    /// The field as it is in the file.
    fn field(&self, source: &Source) -> Result<[u8; 8], Trouble> {
        let mut field = [0; 8];
        let read = source.file().read_exact_at(&mut field, self.field_offset);
        read.map_err(|error| Trouble::file(source.path(), error))?;
        Ok(field)
    }

    fn line(&self, source: &Source, [g0, g1, a0, a1, r0, r1, r2, r3]: &[u8; 8]) -> String {
        let Self { block, field_offset, what, .. } = self;
        format!(
            "{}: block {block}, field at byte {field_offset}: {what} does not match (guard {g0:02x}{g1:02x}, \
             application tag {a0:02x}{a1:02x}, reference tag {r0:02x}{r1:02x}{r2:02x}{r3:02x})",
            source.path().display()
        )
    }

    fn json(&self, field: &[u8; 8]) -> Value {
        let names = [
            (DifMismatch::GUARD, "guard"),
            (DifMismatch::APP_TAG, "application_tag"),
            (DifMismatch::REF_TAG, "reference_tag"),
            (DifMismatch::ALL_F, "all_ones"),
        ];
        let what = names.iter().filter(|(flag, _)| self.what.contains(*flag)).map(|(_, name)| *name);
        json!({
            "block": self.block,
            "block_offset": self.block_offset,
            "field_offset": self.field_offset,
            "what": what.collect::<Vec<_>>(),
            "field": field.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        })
    }

    fn trouble(&self, source: &Source) -> Trouble {
        let Self { block, field_offset: offset, what: mismatch, .. } = *self;
        Trouble::Field { path: source.path().to_owned(), offset, block, mismatch }
    }
}

fn fields(action: &str, source: &Source, blocks: u64, unit: u64) -> Value {
    json!({
        "action": action,
        "file": source.path().to_string_lossy(),
        "bytes": source.len(),
        "blocks": blocks,
        "block_bytes": unit,
    })
}

fn with_output(mut fields: Value, output: &Path) -> Value {
    fields["output"] = output.to_string_lossy().into();
    fields
}

#[cfg(test)]
mod tests {
    use svala::DifBlock;

    use super::*;

    #[test]
    fn windows_begin_at_pages() {
        for block in DifBlock::ALL {
            for unit in [block.bytes(), block.bytes_with_field()] {
                let blocks = blocks_of_window(block.bytes_with_field());
                assert!(blocks > 0 && (blocks * unit).is_multiple_of(4096), "{block:?}");
            }
        }
    }
}
