//! What is to be measured, and whether it makes sense.

use std::time::Duration;

use serde_json::{Value, json};
use svala::{DELTA_RANGE_BYTES_MAX, DifBlock};
use svala_engine::{Device, Operation};

use super::{columns, memory, miniblocks, numbers, streams};
use crate::args::{Against, Bench, Operations, Size};
use crate::error::Trouble;
use crate::report::device_name;

/// Most operations or batches under way at once.
const DEPTH_MAX: u32 = 1024;
/// Most members of a batch.
const BATCH_MAX: u32 = 1024;
/// Most bytes of one operation: as much as a descriptor can have.
const SIZE_MAX: u64 = 1 << 31;

const OPERATIONS: [Operation; 6] = [
    Operation::Copy,
    Operation::Fill,
    Operation::Compare,
    Operation::Crc32c,
    Operation::Deflate,
    Operation::Inflate,
];

/// One point: an operation, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) operation: Operation,
    /// Bytes of one operation; 0 for those on no memory.
    pub(super) size: usize,
    pub(super) depth: usize,
    /// Operations submitted together.
    pub(super) batch: usize,
}

impl Point {
    /// Most bytes that the buffers of one operation take, pages at their ends included.
    pub(super) fn footprint(&self) -> u64 {
        let buffers = match self.operation {
            Operation::Noop | Operation::Drain => 0,
            Operation::Fill | Operation::Fill16 | Operation::ComparePattern => 1,
            Operation::Crc32c | Operation::Crc64 => 1,
            Operation::CacheFlush | Operation::TranslationFetch | Operation::DifCheck => 1,
            Operation::Dualcast | Operation::CreateDelta | Operation::ApplyDelta | Operation::Deflate => 3,
            Operation::Inflate | Operation::Convert | Operation::Reduce => 3,
            Operation::GatherReduce | Operation::GatherCopy | Operation::ScatterCopy => 3,
            Operation::ReduceDualcast => 4,
            operation if columns::is_column(operation) || streams::is_stream(operation) => 3,
            operation if miniblocks::is_miniblocks(operation) => 3,
            _ => 2,
        };
        buffers * ((self.size as u64).next_multiple_of(4096) * 17 / 16 + 8192)
    }

    /// Bytes of all buffers.
    fn bytes(&self) -> u128 {
        u128::from(self.footprint()) * self.depth as u128 * self.batch as u128
    }
}

/// Every point, and the time for them.
pub(super) struct Plan {
    pub(super) queues: Vec<Device>,
    pub(super) operations: Vec<Operation>,
    sizes: Vec<u64>,
    depths: Vec<u32>,
    batches: Vec<u32>,
    pub(super) time: Duration,
    pub(super) total: Duration,
    pub(super) cold: bool,
    pub(super) against: Against,
}

impl Plan {
    /// What the command line asks for.
    pub(super) fn new(args: &Bench, device: &Device) -> Result<Self, Trouble> {
        let quick = args.quick;
        let sizes: Vec<u64> = args.size.iter().copied().map(Size::bytes).collect();
        let usual_sizes: &[u64] =
            if quick { &[4 << 10, 64 << 10] } else { &[4 << 10, 16 << 10, 64 << 10, 1 << 20] };
        let plan = Self {
            queues: or(unique(&args.queue), std::slice::from_ref(device)),
            operations: operations(&args.operation),
            sizes: or(unique(&sizes), usual_sizes),
            depths: or(unique(&args.depth), if quick { &[1, 16] } else { &[1, 8, 32] }),
            batches: or(unique(&args.batch), &[1]),
            time: args.time.unwrap_or(Duration::from_millis(if quick { 30 } else { 250 })),
            total: args.total.unwrap_or(Duration::from_secs(if quick { 10 } else { 300 })),
            cold: args.cold,
            against: args.against,
        };
        plan.check_numbers()?;
        Ok(plan)
    }

    fn check_numbers(&self) -> Result<(), Trouble> {
        let refused = |what: String| Err(Trouble::Bench(what));
        for depth in &self.depths {
            if !(1..=DEPTH_MAX).contains(depth) {
                return refused(format!("depth {depth}: 1 to {DEPTH_MAX}"));
            }
        }
        for batch in &self.batches {
            if !(1..=BATCH_MAX).contains(batch) {
                return refused(format!("batch {batch}: 1 to {BATCH_MAX}"));
            }
        }
        for size in &self.sizes {
            if !(1..=SIZE_MAX).contains(size) {
                return refused(format!("size {size}: 1 to {SIZE_MAX} bytes"));
            }
        }
        Ok(())
    }

    /// That half of the memory there is is enough for the largest point.
    pub(super) fn check_memory(&self) -> Result<(), Trouble> {
        let Some(available) = memory::available_bytes() else { return Ok(()) };
        let points = self.operations.iter().flat_map(|operation| self.points(*operation));
        let Some(largest) = points.max_by_key(Point::bytes) else { return Ok(()) };
        let bytes = largest.bytes();
        if bytes <= u128::from(available / 2) {
            return Ok(());
        }
        let Point { operation, size, depth, batch } = largest;
        Err(Trouble::Bench(format!(
            "{operation} of {size} bytes, depth {depth}, batch {batch}: {bytes} bytes of buffers, more than half of the \
             {available} bytes of memory there are"
        )))
    }

    /// What was asked for, for programs.
    pub(super) fn fields(&self) -> Value {
        json!({
            "queues": self.queues.iter().map(device_name).collect::<Vec<_>>(),
            "operations": self.operations,
            "sizes": self.sizes,
            "depths": self.depths,
            "batches": self.batches,
            "seconds_per_point": self.time.as_secs_f64(),
            "seconds_in_total": self.total.as_secs_f64(),
            "cold": self.cold,
            "against": match self.against {
                Against::Cpu => "cpu",
                Against::None => "none",
            },
        })
    }

    /// The points of an operation.
    pub(super) fn points(&self, operation: Operation) -> Vec<Point> {
        let bare = matches!(operation, Operation::Noop | Operation::Drain);
        let sizes = if bare { vec![0] } else { self.sizes.clone() };
        let mut points = Vec::new();
        for size in sizes {
            for depth in &self.depths {
                for batch in &self.batches {
                    let (depth, batch) = (*depth as usize, *batch as usize);
                    points.push(Point {
                        operation,
                        size: usize::try_from(size).unwrap_or(usize::MAX),
                        depth,
                        batch,
                    });
                }
            }
        }
        points
    }
}

/// Why no queue can do the point. None if one may.
pub(super) fn unfit(point: &Point) -> Option<String> {
    let size = point.size as u64;
    let block = DifBlock::B512.bytes();
    match point.operation {
        Operation::CreateDelta | Operation::ApplyDelta if size > DELTA_RANGE_BYTES_MAX => {
            Some(format!("a delta is of at most {DELTA_RANGE_BYTES_MAX} bytes"))
        }
        Operation::CreateDelta | Operation::ApplyDelta if !size.is_multiple_of(8) => {
            Some("a delta is of whole words of 8 bytes".into())
        }
        Operation::DifCheck
        | Operation::DifInsert
        | Operation::DifStrip
        | Operation::DifUpdate
        | Operation::DixGenerate
            if !size.is_multiple_of(block) =>
        {
            Some(format!("not whole blocks of {block} bytes"))
        }
        operation if numbers::is_numeric(operation) && !point.size.is_multiple_of(numbers::BLOCK_BYTES) => {
            Some(format!("not whole blocks of {} bytes", numbers::BLOCK_BYTES))
        }
        operation if !point.size.is_multiple_of(columns::unit(operation)) => {
            Some(format!("not whole words of {} bytes", columns::unit(operation)))
        }
        operation if point.size < streams::bytes_min(operation) => {
            Some(format!("less than a block of {} bytes", streams::bytes_min(operation)))
        }
        operation if point.batch > 1 && !batches(operation) => Some("not in batches".into()),
        _ => None,
    }
}

/// What the runtime takes in a batch.
fn batches(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Copy
            | Operation::Dualcast
            | Operation::Fill
            | Operation::Fill16
            | Operation::Compare
            | Operation::ComparePattern
            | Operation::Crc32c
            | Operation::Crc64
            | Operation::CopyCrc32c
            | Operation::CopyCrc64
    )
}

fn operations(asked: &[Operations]) -> Vec<Operation> {
    if asked.contains(&Operations::All) {
        return Operation::ALL.to_vec();
    }
    let one = asked.iter().filter_map(|asked| match asked {
        Operations::One(operation) => Some(*operation),
        Operations::All => None,
    });
    or(unique(&one.collect::<Vec<_>>()), &OPERATIONS)
}

/// Each of them once, in their order.
fn unique<T: PartialEq + Clone>(asked: &[T]) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    for one in asked {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
    all
}

fn or<T: Clone>(asked: Vec<T>, usual: &[T]) -> Vec<T> {
    if asked.is_empty() { usual.to_vec() } else { asked }
}
