//! One operation, or a batch of them, on buffers that come back.

use bytes::BytesMut;
use svala::{Batch, Check, Crc, DeflateOptions, Deflated, Done, Inflated, Lent, Value};
use svala_engine::{Completed, Engine, Error, Failed, Operation, Report};

use super::columns;
use super::miniblocks;
use super::numbers;
use super::setup::{Buffers, COMPARED, DESTINATION, FORMAT, PATTERN, PATTERN16, SOURCE};
use super::streams;

/// What is submitted at once.
pub(super) enum Work {
    /// An operation.
    One(Buffers),
    /// A batch of them.
    Many(Members),
}

/// The members of a batch, and the batch, which is made once.
pub(super) struct Members {
    pub(super) batch: Batch<BytesMut, BytesMut>,
    pub(super) buffers: Vec<Buffers>,
}

/// Does the work.
pub(super) async fn run(engine: &Engine, operation: Operation, work: Work) -> Result<(Work, Report), Error> {
    match work {
        Work::One(buffers) => {
            let (buffers, _, report) = perform(engine, operation, buffers).await?;
            Ok((Work::One(buffers), report))
        }
        Work::Many(members) => {
            let (members, report) = run_batch(engine, operation, members).await?;
            Ok((Work::Many(members), report))
        }
    }
}

/// What an operation was lent as buffers again.
pub(super) type Performed = Result<(Buffers, Value, Report), Error>;

pub(super) fn performed<V, B>(
    outcome: Result<Completed<V, B>, Failed<B>>,
    value: impl FnOnce(V) -> Value,
    back: impl FnOnce(B) -> Buffers,
) -> Performed {
    let done = outcome?;
    Ok((back(done.buffers), value(done.value), done.report))
}

pub(super) fn deflated(made: Deflated) -> Value {
    Value::Deflate { written: made.written, check: made.check }
}

pub(super) fn inflated(made: Inflated) -> Value {
    Value::Inflate { read: made.read, written: made.written, check: made.check }
}

/// Does one operation; says what it found.
pub(super) async fn perform(engine: &Engine, operation: Operation, buffers: Buffers) -> Performed {
    if numbers::is_numeric(operation) {
        return numbers::perform(engine, operation, buffers).await;
    }
    if columns::is_column(operation) {
        return columns::perform(engine, operation, buffers).await;
    }
    if streams::is_stream(operation) {
        return streams::perform(engine, operation, buffers).await;
    }
    if miniblocks::is_miniblocks(operation) {
        return miniblocks::perform(engine, operation, buffers).await;
    }
    let Buffers { a, b, c, .. } = buffers;
    let nothing = |()| Value::None;
    let source = |a| Buffers { a, ..Buffers::default() };
    let target = |b| Buffers { b, ..Buffers::default() };
    let pair = |(a, b)| Buffers { a, b, ..Buffers::default() };
    let three = |(a, b, c)| Buffers { a, b, c, ..Buffers::default() };
    let tags = |next: svala::DifNext| Value::Tags { source: next.source, destination: next.destination };
    match operation {
        Operation::Noop => performed(engine.noop().await, nothing, |()| Buffers::default()),
        Operation::Drain => performed(engine.drain().await, nothing, |()| Buffers::default()),
        Operation::Copy => performed(engine.copy(a, b).await, nothing, pair),
        Operation::Dualcast => performed(engine.dualcast(a, b, c).await, nothing, three),
        Operation::Fill => performed(engine.fill(b, PATTERN).await, nothing, target),
        Operation::Fill16 => performed(engine.fill16(b, PATTERN16).await, nothing, target),
        Operation::Compare => performed(engine.compare(a, b).await, Value::Difference, pair),
        Operation::ComparePattern => {
            performed(engine.compare_pattern(a, COMPARED).await, Value::Difference, source)
        }
        Operation::CreateDelta => {
            let made = engine.create_delta(a, b, c).await;
            performed(made, |record| Value::Delta { written: record.written }, three)
        }
        Operation::ApplyDelta => performed(engine.apply_delta(a, b).await, nothing, pair),
        Operation::Crc32c => performed(engine.crc(a, Crc::CRC32C, 0).await, Value::Crc, source),
        Operation::Crc64 => performed(engine.crc(a, Crc::CRC64, 0).await, Value::Crc, source),
        Operation::CopyCrc32c => performed(engine.copy_crc(a, b, Crc::CRC32C, 0).await, Value::Crc, pair),
        Operation::CopyCrc64 => performed(engine.copy_crc(a, b, Crc::CRC64, 0).await, Value::Crc, pair),
        Operation::DifCheck => performed(engine.dif_check(a, FORMAT, SOURCE).await, tags, source),
        Operation::DifInsert => performed(engine.dif_insert(a, b, FORMAT, DESTINATION).await, tags, pair),
        Operation::DifStrip => performed(engine.dif_strip(a, b, FORMAT, SOURCE).await, tags, pair),
        Operation::DifUpdate => {
            performed(engine.dif_update(a, b, FORMAT, SOURCE, DESTINATION).await, tags, pair)
        }
        Operation::DixGenerate => performed(engine.dix_generate(a, b, FORMAT, DESTINATION).await, tags, pair),
        Operation::CacheFlush => performed(engine.cache_flush(a).await, nothing, source),
        Operation::TranslationFetch => performed(engine.translation_fetch(a).await, nothing, source),
        Operation::Deflate => {
            let made = engine.deflate(a, b, DeflateOptions::default()).await;
            performed(made, deflated, pair)
        }
        Operation::Inflate => performed(engine.inflate(a, b, Check::None).await, inflated, pair),
        // One that this program does not know yet.
        other => Err(Error::Unsupported { operation: other }),
    }
}

/// Does a batch. The first member's error is the batch's.
async fn run_batch(
    engine: &Engine,
    operation: Operation,
    members: Members,
) -> Result<(Members, Report), Error> {
    let Members { mut batch, mut buffers } = members;
    for member in buffers.drain(..) {
        add(&mut batch, operation, member)?;
    }
    let done = engine.run_batch(batch).await?;
    let mut batch = done.buffers;
    for member in batch.drain() {
        let Done { .. } = member.result?;
        buffers.push(match member.lent {
            Lent::Copy(a, b) => Buffers { a, b, ..Buffers::default() },
            Lent::Compare(a, b) => Buffers { a, b, ..Buffers::default() },
            Lent::Dualcast(a, b, c) => Buffers { a, b, c, ..Buffers::default() },
            Lent::Fill(b) => Buffers { b, ..Buffers::default() },
            Lent::Read(a) => Buffers { a, ..Buffers::default() },
        });
    }
    Ok((Members { batch, buffers }, done.report))
}

/// Adds a member.
fn add(batch: &mut Batch<BytesMut, BytesMut>, operation: Operation, member: Buffers) -> Result<(), Error> {
    let Buffers { a, b, c, .. } = member;
    match operation {
        Operation::Copy => Ok(batch.copy(a, b)?),
        Operation::Dualcast => Ok(batch.dualcast(a, b, c)?),
        Operation::Fill => Ok(batch.fill(b, PATTERN)?),
        Operation::Fill16 => Ok(batch.fill16(b, PATTERN16)?),
        Operation::Compare => Ok(batch.compare(a, b)?),
        Operation::ComparePattern => Ok(batch.compare_pattern(a, COMPARED)?),
        Operation::Crc32c => Ok(batch.crc(a, Crc::CRC32C, 0)?),
        Operation::Crc64 => Ok(batch.crc(a, Crc::CRC64, 0)?),
        Operation::CopyCrc32c => Ok(batch.copy_crc(a, b, Crc::CRC32C, 0)?),
        Operation::CopyCrc64 => Ok(batch.copy_crc(a, b, Crc::CRC64, 0)?),
        other => Err(Error::Unsupported { operation: other }),
    }
}
