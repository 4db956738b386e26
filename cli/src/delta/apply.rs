//! `svala delta apply`.
//!
//! Nothing of the delta is believed: its header and each record are checked before they are used, a difference outside
//! of its stretch is an error, and the whole is checked before it gets its name.

use std::os::unix::fs::FileExt;

use serde_json::json;
use svala::Error;
use svala_engine::Report;

use super::format::{CHECKED_BYTES, Flaw, HEADER_BYTES, Header, Kind, RECORD_BYTES, Record, STRETCH_BYTES};
use super::{STRETCHES_IN_FLIGHT, Stretch, crc32c_of, stretches, usize_of};
use crate::args::{Apply, Kind as CrcKind};
use crate::crc::crc_of_file;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::{Source, explain};
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, windows};

pub(crate) async fn run(session: &Session<'_>, args: &Apply) -> Result<Finding, Trouble> {
    let (old, delta) = (Source::open(&args.old)?, Source::open(&args.delta)?);
    let mut tally = Tally::default();
    let header = read_header(session, &delta).await?;
    check_old(session, &old, &header, &mut tally).await?;
    let manner = session.manner(old.mode());
    let mut output = Output::create(&args.output, manner, &[old.named(), delta.named()], &session.stop)?;
    output.reserve(header.new_len)?;
    apply(session, &old, &delta, &output, &header, &mut tally).await?;
    check_new(session, &delta, &output, &header, &mut tally).await?;
    old.watched().check()?;
    let sync = output.finish()?;
    let fields = json!({
        "action": "apply",
        "old": args.old.to_string_lossy(),
        "delta": args.delta.to_string_lossy(),
        "new": args.output.to_string_lossy(),
        "old_bytes": old.len(),
        "new_bytes": header.new_len,
        "delta_bytes": delta.len(),
        "old_crc32c": format!("{:08x}", header.old_crc32c),
        "new_crc32c": format!("{:08x}", header.new_crc32c),
    });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

fn flawed(delta: &Source, offset: u64, flaw: Flaw) -> Trouble {
    Trouble::Delta { path: delta.path().to_owned(), offset, flaw }
}

/// Fills `bytes` from `offset` of the delta on.
fn read(delta: &Source, bytes: &mut [u8], offset: u64) -> Result<(), Trouble> {
    let needed = offset + bytes.len() as u64;
    if needed > delta.len() {
        return Err(flawed(delta, delta.len(), Flaw::Truncated { bytes: delta.len(), needed }));
    }
    delta
        .file()
        .read_exact_at(bytes, offset)
        .map_err(|error| delta.watched().check().err().unwrap_or_else(|| Trouble::file(delta.path(), error)))
}

async fn read_header(session: &Session<'_>, delta: &Source) -> Result<Header, Trouble> {
    let mut bytes = [0; HEADER_BYTES];
    read(delta, &mut bytes, 0)?;
    let (_, crc32c, _) = crc32c_of(session, delta.path(), bytes[..HEADER_BYTES - 4].to_vec()).await?;
    let header = Header::read(&bytes, crc32c).map_err(|(offset, flaw)| flawed(delta, offset, flaw))?;
    // Before room is made for what cannot be there.
    let needed = least_bytes(header.new_len.div_ceil(STRETCH_BYTES));
    if delta.len() < needed {
        return Err(flawed(delta, delta.len(), Flaw::Truncated { bytes: delta.len(), needed }));
    }
    Ok(header)
}

/// Bytes of the shortest delta of so many records.
fn least_bytes(records: u64) -> u64 {
    records.saturating_mul(RECORD_BYTES as u64).saturating_add(HEADER_BYTES as u64)
}

/// That it is the file the delta was made of.
async fn check_old(
    session: &Session<'_>,
    old: &Source,
    header: &Header,
    tally: &mut Tally,
) -> Result<(), Trouble> {
    let crc = crc_of_file(session, old, CrcKind::Crc32c, tally).await?;
    if old.len() == header.old_len && crc == u64::from(header.old_crc32c) {
        return Ok(());
    }
    Err(Trouble::WrongOld {
        path: old.path().to_owned(),
        len: old.len(),
        crc32c: u32::try_from(crc).unwrap_or_default(),
        wanted_len: header.old_len,
        wanted_crc32c: header.old_crc32c,
    })
}

async fn apply(
    session: &Session<'_>,
    old: &Source,
    delta: &Source,
    output: &Output,
    header: &Header,
    tally: &mut Tally,
) -> Result<(), Trouble> {
    session.progress.begin(Some(header.new_len));
    let mut stretches = stretches(header.old_len, header.new_len);
    let mut pipeline = Pipeline::new(STRETCHES_IN_FLIGHT, &session.stop);
    let mut at = HEADER_BYTES as u64;
    loop {
        while !pipeline.is_full()
            && let Some(stretch) = stretches.next()
        {
            let work = Work { session, old, delta, output, at, stretch };
            let record = work.read_record()?;
            at += RECORD_BYTES as u64 + u64::from(record.0.bytes);
            pipeline.push(work.run(record));
        }
        let Some(applied) = pipeline.next().await? else { break };
        let (stretch_bytes, reports) = applied?;
        reports.iter().for_each(|report| tally.add(report));
        session.progress.advance(stretch_bytes);
    }
    match delta.len() - at {
        0 => Ok(()),
        bytes => Err(flawed(delta, at, Flaw::Surplus { bytes })),
    }
}

/// A stretch and its record.
struct Work<'a> {
    session: &'a Session<'a>,
    old: &'a Source,
    delta: &'a Source,
    output: &'a Output,
    /// Where in the delta the record begins.
    at: u64,
    stretch: Stretch,
}

impl Work<'_> {
    /// What the record begins with, and its checksum.
    fn read_record(&self) -> Result<(Record, u32), Trouble> {
        let mut bytes = [0; RECORD_BYTES];
        read(self.delta, &mut bytes, self.at)?;
        let rest = self.stretch.rest();
        Record::read(&bytes, self.stretch.bytes(), rest.end - rest.start)
            .map_err(|flaw| flawed(self.delta, self.at, flaw))
    }

    /// Makes the stretch.
    async fn run(self, (record, wanted): (Record, u32)) -> Result<(u64, Vec<Report>), Trouble> {
        let mut reports = Vec::new();
        let mut checked = record.to_bytes().to_vec();
        checked.resize(CHECKED_BYTES + record.bytes as usize, 0);
        read(self.delta, &mut checked[CHECKED_BYTES..], self.at + RECORD_BYTES as u64)?;
        let (mut inside, found, report) = crc32c_of(self.session, self.delta.path(), checked).await?;
        reports.push(report);
        if found != wanted {
            return Err(flawed(self.delta, self.at, Flaw::Checksum { found, wanted }));
        }
        inside.drain(..CHECKED_BYTES);
        let rest = match record.kind {
            Kind::Whole => self.stretch.new.clone(),
            Kind::Differences => self.stretch.rest(),
        };
        let rest_at = inside.len() - usize_of(rest.end - rest.start);
        let written = self.output.file().write_all_at(&inside[rest_at..], rest.start);
        written.map_err(|error| Trouble::doing("writing: ", self.output.path(), error))?;
        if record.kind == Kind::Differences && !self.stretch.compared.is_empty() {
            inside.truncate(rest_at);
            self.change(inside, &mut reports).await?;
        }
        Ok((self.stretch.bytes(), reports))
    }

    /// Copies what is compared, and changes it.
    async fn change(&self, differences: Vec<u8>, reports: &mut Vec<Report>) -> Result<(), Trouble> {
        let Self { session, old, delta, output, at, stretch } = self;
        let (from, to) = (old.map(&stretch.compared)?, output.map(&stretch.compared)?);
        let files = [old.watched(), output.watched()];
        let copied = session.engine.copy(from, to).await;
        let copied = copied.map_err(|failed| explain(failed.error, stretch.new.start, &files))?;
        reports.push(copied.report);
        match session.engine.apply_delta(differences, copied.buffers.1).await {
            Ok(done) => {
                reports.push(done.report);
                Ok(())
            }
            Err(failed) => Err(match failed.error {
                Error::Corrupt { offset, .. } => {
                    flawed(delta, at + RECORD_BYTES as u64 + offset, Flaw::Difference)
                }
                error => explain(error, stretch.new.start, &files),
            }),
        }
    }
}

/// That what was made is what the delta was made of.
async fn check_new(
    session: &Session<'_>,
    delta: &Source,
    output: &Output,
    header: &Header,
    tally: &mut Tally,
) -> Result<(), Trouble> {
    let mut found = 0;
    let mut pipeline = Pipeline::new(1, &session.stop);
    for window in windows(header.new_len, WINDOW_BYTES) {
        pipeline.push(session.engine.crc32c(output.map(&window)?, found));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        let done = outcome.map_err(|failed| explain(failed.error, window.start, &[output.watched()]))?;
        found = done.value;
        tally.add(&done.report);
    }
    let wanted = header.new_crc32c;
    if found == wanted { Ok(()) } else { Err(flawed(delta, 36, Flaw::Result { found, wanted })) }
}
