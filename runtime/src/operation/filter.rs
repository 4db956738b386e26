//! Filters over columns, zero compression, CRCs of any polynomial: what an IAA has beside compression.

use std::future::Future;
use std::ops::RangeInclusive;

use super::{Completed, Extract, Outcome, Room};
use crate::ask::filter as ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::cipher::Cipher;
use crate::column::{BitVec, Column, Predicate};
use crate::crc::AnyCrc;
use crate::error::{Error, Failed};
use crate::filter::{Aggregates, Filter, FilterKind, FilterOptions, OutputWidth};
use crate::job::{Value, ZeroWord};
use crate::path::{Path, Reason};
use crate::report::Report;
use crate::runtime::Runtime;

/// What a filter did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// Elements of output; 0 if there was no room for any.
    pub elements: u32,
    /// Bytes they take.
    pub written: u64,
    /// Of the output as it was before it became indices or wider elements.
    pub aggregates: Aggregates,
}

/// Elements and aggregates, as the queue says them.
struct Found {
    elements: u32,
    aggregates: Aggregates,
}

impl Extract for Found {
    fn extract(value: Value) -> Option<Self> {
        let Value::Filter { elements, aggregates } = value else { return None };
        Some(Self { elements, aggregates })
    }
}

/// Bytes of output.
pub(super) struct Written(pub(super) u64);

impl Extract for Written {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Written(bytes) = value { Some(Self(bytes)) } else { None }
    }
}

/// The mask and the values of filters that have no second input.
const NO_SECOND: Vec<u8> = Vec::new();

impl Runtime {
    /// A column, to ask something of:
    /// `runtime.column(column).scan(Predicate::between(10, 20)).await`.
    pub const fn column<B: IoBuf>(&self, column: Column<B>) -> ColumnQuery<'_, B> {
        ColumnQuery { runtime: self, column }
    }

    /// Runs `filter`, made by [`Column::filter`], on a column into `dst`: what the methods of [`ColumnQuery`] stand on. A
    /// `dst` of no bytes asks for aggregates only. A `second` input that the filter does not use may be empty.
    ///
    /// An IAA takes columns of any length; one it cannot cut ([`Filter::splits`], [`Filter::splits_at_blocks`]), and that is
    /// longer than one of its transfers, is the CPU's, as is a deflated one it cannot expand. An encrypted column is one message,
    /// and with GCM `dst` is filled with zeros after a failure.
    ///
    /// # Errors
    ///
    /// [`Error::Column`] for widths, counts and lengths that do not fit together and for a stream that is not what it
    /// should be, [`Error::OutputFull`], otherwise as [`Runtime::copy`]. Source: IAA §3.8.
    pub async fn filter<B: IoBuf, S: IoBuf, D: IoBufMut>(
        &self,
        column: Column<B>,
        second: S,
        dst: D,
        filter: Filter,
    ) -> Outcome<Filtered, (Column<B>, S, D)> {
        let mode = column.cipher().map(Cipher::mode);
        let buffers = (column, second, dst);
        if filter.is_of_nothing() {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            let value = Filtered { elements: 0, written: 0, aggregates: Aggregates::EMPTY };
            return Ok(Completed { value, report, buffers });
        }
        let ask =
            move |(column, second, dst): &mut (Column<B>, S, D)| ask::filter(column, second, dst, filter);
        let found: Outcome<Found, _> = match self.run(buffers, ask, Room::Wait).await {
            Err(Failed { error: Error::Stream { .. }, buffers: Some(buffers), .. })
                if self.software().is_some() =>
            {
                self.run_on_cpu(buffers, ask, Room::Wait, Reason::Stream).await
            }
            first => first,
        };
        match (found, mode) {
            (Ok(done), _) => Ok(done.map(|Found { elements, aggregates }| Filtered {
                elements,
                written: filter.written_bytes(elements),
                aggregates,
            })),
            (Err(failed), Some(mode)) => {
                let failed = failed.map_buffers(|(column, second, dst)| ((column, second), dst));
                let failed = self.without_plaintext(mode, failed).await;
                Err(failed.map_buffers(|((column, second), dst)| (column, second, dst)))
            }
            (Err(failed), None) => Err(failed),
        }
    }

    /// Leaves out the words of `src` that are zero: each 128 bytes become a bit for each word and the words that are not
    /// zero. Answers the bytes of output.
    ///
    /// # Errors
    ///
    /// [`Error::Units`] for broken words, [`Error::OutputFull`], otherwise as [`Runtime::copy`]. Source: the public software
    /// models; IAA reserves it.
    pub fn zero_compress<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        word: ZeroWord,
    ) -> impl Future<Output = Outcome<u64, (S, D)>> + Send {
        let ask = move |(src, dst): &mut (S, D)| ask::zero_compress(src, dst, word);
        let written = self.run((src, dst), ask, Room::Wait);
        async move { written.await.map(|done: Completed<Written, _>| done.map(|Written(bytes)| bytes)) }
    }

    /// What [`Runtime::zero_compress`] was given. Answers the bytes of output.
    ///
    /// # Errors
    ///
    /// [`Error::Units`] for broken words, [`Error::Corrupt`] for a stream that ends within a block's bits,
    /// [`Error::OutputFull`], otherwise as [`Runtime::copy`].
    pub fn zero_decompress<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        word: ZeroWord,
    ) -> impl Future<Output = Outcome<u64, (S, D)>> + Send {
        let ask = move |(src, dst): &mut (S, D)| ask::zero_decompress(src, dst, word);
        let written = self.run((src, dst), ask, Room::Wait);
        async move { written.await.map(|done: Completed<Written, _>| done.map(|Written(bytes)| bytes)) }
    }

    /// A CRC of any polynomial of up to 64 bits. More bytes than one transfer of an IAA are the CPU's.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: IAA §3.10.3.
    pub fn crc_any<S: IoBuf>(
        &self,
        src: S,
        crc: AnyCrc,
    ) -> impl Future<Output = Outcome<u64, S>> + Send + Unpin {
        self.run(src, move |src| ask::crc_any(src, crc), Room::Wait)
    }
}

impl<B> Column<B> {
    /// A filter of this column, for [`Runtime::filter`].
    pub fn filter(&self, kind: FilterKind) -> Filter {
        ask::of_column(kind, self)
    }
}

/// A column and a runtime. Each method asks one thing, and gives the column back with the answer or the error.
pub struct ColumnQuery<'r, B> {
    runtime: &'r Runtime,
    column: Column<B>,
}

impl<B: IoBuf> ColumnQuery<'_, B> {
    /// For which elements `predicate` holds.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`]. Source: IAA §3.10.4.
    pub async fn scan(self, predicate: Predicate) -> Outcome<BitVec, Column<B>> {
        let filter = self.scanning(predicate);
        let room = room_of(filter.count().div_ceil(8).into());
        let found = self.run(NO_SECOND, room, filter).await?;
        Ok(to_bits(found))
    }

    /// For how many elements `predicate` holds: nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`].
    pub async fn count(self, predicate: Predicate) -> Outcome<u32, Column<B>> {
        let filter = self.scanning(predicate);
        let found = self.run(NO_SECOND, Vec::new(), filter).await?;
        Ok(drop_rest(found.map(|done| done.aggregates.sum)))
    }

    /// Indices of the elements for which `predicate` holds. They are counted first, so that there is room for as many.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`].
    pub async fn indices(self, predicate: Predicate) -> Outcome<Vec<u32>, Column<B>> {
        let runtime = self.runtime;
        let filter = self.scanning(predicate);
        let counted = self.count(predicate).await?;
        if counted.value == 0 {
            return Ok(counted.map(|_| Vec::new()));
        }
        let this = ColumnQuery { runtime, column: counted.buffers };
        let found = this.run(
            NO_SECOND,
            room_of(u64::from(counted.value) * 4),
            filter.with_output(OutputWidth::Bits32),
        );
        Ok(to_words(found.await?))
    }

    /// The elements with these indices, as double words. What is beyond the end is left out.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`]. Source: IAA §3.10.5.
    pub async fn extract(self, indices: RangeInclusive<u32>) -> Outcome<Vec<u32>, Column<B>> {
        let (first, last) = (*indices.start(), (*indices.end()).min(self.column.count.saturating_sub(1)));
        let wanted = (u64::from(last) + 1).saturating_sub(first.into());
        let filter = self.column.filter(FilterKind::Extract).with_parameters(first, last);
        self.words(NO_SECOND, wanted, filter).await
    }

    /// Least, greatest and sum modulo 2^32 of the elements; for elements of one bit, index of the first one, of the last,
    /// and how many there are. Nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`]. Source: IAA §3.8.3.
    pub async fn aggregates(self) -> Outcome<Aggregates, Column<B>> {
        let filter = self.column.filter(FilterKind::Extract).with_parameters(0, u32::MAX);
        let found = self.run(NO_SECOND, Vec::new(), filter).await?;
        Ok(drop_rest(found.map(|done| done.aggregates)))
    }

    /// The elements whose bit in `mask` is 1, as double words.
    ///
    /// # Errors
    ///
    /// [`ColumnFault::SecondTooShort`](crate::ColumnFault::SecondTooShort) for a mask with fewer bits than the column has
    /// elements, otherwise as [`Runtime::filter`]. Source: IAA §3.10.6.
    pub async fn select(self, mask: &BitVec) -> Outcome<Vec<u32>, Column<B>> {
        let filter = self.column.filter(FilterKind::Select);
        if mask.count_ones() == 0 && mask.len() >= self.column.count {
            return self.nothing();
        }
        self.words(mask.as_bytes().to_vec(), mask.count_ones().into(), filter).await
    }

    /// For each bit of `mask` the next element where it is 1, and 0 where it is 0, as double words.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`]. Source: IAA §3.10.7.
    pub async fn expand(self, mask: &BitVec) -> Outcome<Vec<u32>, Column<B>> {
        let filter = self.column.filter(FilterKind::Expand).with_count(mask.len());
        self.words(mask.as_bytes().to_vec(), mask.len().into(), filter).await
    }

    /// Which elements are in `set`: it has a bit for each value an element can have.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`]. Source: the public software models; IAA reserves it.
    pub async fn is_in(self, set: &BitVec) -> Outcome<BitVec, Column<B>> {
        let filter = self.column.filter(FilterKind::SetMembership);
        let room = room_of(filter.count().div_ceil(8).into());
        let found = self.run(set.as_bytes().to_vec(), room, filter).await?;
        Ok(to_bits(found))
    }

    /// Which values occur: a bit for each value an element can have. Of elements of more than 16 bits the low ones are not
    /// looked at.
    ///
    /// # Errors
    ///
    /// As [`Runtime::filter`]. Source: the public software models; IAA reserves it.
    pub async fn unique(self) -> Outcome<BitVec, Column<B>> {
        let dropped = self.column.width.saturating_sub(16);
        let filter = self.column.filter(FilterKind::FindUnique).with_parameters(dropped.into(), 0);
        let left = u32::from(self.column.width.clamp(1, 16));
        let found = self.run(NO_SECOND, room_of((1_u64 << left).div_ceil(8)), filter).await?;
        Ok(to_bits(found))
    }

    /// Elements of `values` as often as this column of run lengths says, `total` in all, as double words.
    ///
    /// # Errors
    ///
    /// [`Error::OutputFull`] for more than `total`, otherwise as [`Runtime::filter`]. Source: the public software models;
    /// IAA reserves it.
    pub async fn burst(self, values: Column<Vec<u8>>, total: u32) -> Outcome<Vec<u32>, Column<B>> {
        let mut filter = self.column.filter(FilterKind::RleBurst).with_parameters(values.width.into(), 0);
        if values.packing == crate::filter::Packing::Big {
            filter = filter.with_options(FilterOptions::SECOND_BIG_ENDIAN);
        }
        self.words(values.into_inner(), total.max(1).into(), filter).await
    }

    fn scanning(&self, predicate: Predicate) -> Filter {
        let (low, high, outside) = predicate.range(self.column.width);
        let filter = self.column.filter(FilterKind::Scan).with_parameters(low, high);
        if outside { filter.with_options(FilterOptions::INVERT) } else { filter }
    }

    fn nothing<T>(self) -> Outcome<Vec<T>, Column<B>> {
        let report = Report::new(Path::Software { reason: Reason::Empty });
        Ok(Completed { value: Vec::new(), report, buffers: self.column })
    }

    async fn run(self, second: Vec<u8>, room: Vec<u8>, filter: Filter) -> Answer<B> {
        let found = self.runtime.filter(self.column, second, room, filter).await;
        found.map_err(|failed| failed.map_buffers(|(column, _, _)| column))
    }

    /// The output as double words, at most so many. Bits come as bits: not every device can write them wider.
    async fn words(self, second: Vec<u8>, elements_max: u64, filter: Filter) -> Outcome<Vec<u32>, Column<B>> {
        if filter.nominal_width() == 1 {
            let found = self.run(second, room_of(elements_max.div_ceil(8)), filter).await?;
            return Ok(to_bits(found).map(|bits| (0..bits.len()).map(|at| bits.get(at).into()).collect()));
        }
        let filter = filter.with_output(OutputWidth::Bits32);
        Ok(to_words(self.run(second, room_of(elements_max * 4), filter).await?))
    }
}

/// A column, its second input and the room for what is found.
type Owned<B> = (Column<B>, Vec<u8>, Vec<u8>);

/// What a filter with owned room ends in: a failure has the column only.
type Answer<B> = Result<Completed<Filtered, Owned<B>>, Failed<Column<B>>>;

fn room_of(bytes: u64) -> Vec<u8> {
    vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)]
}

fn drop_rest<V, B>(done: Completed<V, Owned<B>>) -> Completed<V, Column<B>> {
    Completed { value: done.value, report: done.report, buffers: done.buffers.0 }
}

fn to_words<B>(done: Completed<Filtered, Owned<B>>) -> Completed<Vec<u32>, Column<B>> {
    let Completed { value, report, buffers: (column, _, bytes) } = done;
    let written = usize::try_from(value.written).unwrap_or(usize::MAX).min(bytes.len());
    let words = bytes[..written].as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    Completed { value: words.collect(), report, buffers: column }
}

fn to_bits<B>(done: Completed<Filtered, Owned<B>>) -> Completed<BitVec, Column<B>> {
    let Completed { value, report, buffers: (column, _, bytes) } = done;
    let Aggregates { min, max, sum } = value.aggregates;
    let ends = (sum > 0).then_some((min, max));
    Completed { value: BitVec::counted(bytes, value.elements, sum, ends), report, buffers: column }
}
