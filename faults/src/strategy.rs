//! What others do about faults, over a runtime that reports them and does nothing.
//!
//! UNSAFETY: submits operations on raw memory, and touches it.
#![expect(unsafe_code, reason = "raw submission and touching of memory that a `Case` owns")]

use svala::{Access, Error as Failure, Job, Operand, Runtime, Span, Value, VirtAddr, block_on};

use crate::counts::Counts;
use crate::memory::{populate, touch};
use crate::policy::PIECE_BYTES;
use crate::{Error, Policy};

/// LightDSA's look-ahead.
const LOOK_AHEAD_BYTES: u64 = 128 << 10;
/// Ranges up to this size the floor touches page by page; that is less than a system call.
const TOUCH_BYTES_MAX: u64 = 16 << 10;

/// Does one job under a policy.
///
/// # Safety
///
/// The job's memory is mapped with the rights it needs, and nobody else uses it until this returns.
pub(crate) unsafe fn perform(
    runtime: &Runtime,
    policy: Policy,
    job: &Job,
    counts: &mut Counts,
) -> Result<Value, Error> {
    counts.operations += 1;
    match policy {
        Policy::InlineTouch | Policy::OnePage | Policy::LookAhead => {
            let mut value = Value::None;
            for piece in pieces(job) {
                // SAFETY: a part of the job's memory, by the contract.
                value = joined(value, unsafe { by_hand(runtime, policy, piece, counts) }?, job, &piece);
                if matches!(value, Value::Difference(Some(_))) {
                    break;
                }
            }
            Ok(value)
        }
        _ => {
            if policy == Policy::Floor {
                // SAFETY: the job's memory, by the contract.
                unsafe { prepare_all(job, counts) }?;
            }
            // SAFETY: the contract is the same.
            let ended = block_on(unsafe { runtime.submit_raw(*job) });
            let (done, report) = ended.map_err(|failed| failed.error)?;
            counts.faults += report.faults.faults;
            counts.resubmissions += report.faults.resubmissions;
            counts.populate_calls += report.faults.resolutions;
            counts.pages_populated += report.faults.pages_populated;
            Ok(done.value)
        }
    }
}

/// Everything present, in the way that takes the CPU least.
///
/// # Safety
///
/// As [`perform`].
unsafe fn prepare_all(job: &Job, counts: &mut Counts) -> Result<(), Error> {
    for operand in job.operands().into_iter().flatten() {
        if operand.span.len <= TOUCH_BYTES_MAX {
            // SAFETY: an operand's memory, by the contract.
            counts.pages_touched += unsafe { touch(&operand) };
        } else {
            populate(&operand).map_err(Error::system("populating"))?;
            counts.populate_calls += 1;
        }
        counts.pages_populated += operand.span.page_count();
    }
    Ok(())
}

/// Does a piece: submits it, and at each fault touches and submits the rest.
///
/// # Safety
///
/// As [`perform`].
unsafe fn by_hand(
    runtime: &Runtime,
    policy: Policy,
    piece: Job,
    counts: &mut Counts,
) -> Result<Value, Error> {
    let pages: u64 = piece.operands().into_iter().flatten().map(|operand| operand.span.page_count()).sum();
    if policy == Policy::InlineTouch {
        for operand in piece.operands().into_iter().flatten() {
            // SAFETY: an operand's memory, by the contract.
            touched(unsafe { touch(&operand) }, counts);
        }
    }
    let (mut rest, mut faults) = (piece, 0);
    loop {
        // SAFETY: the contract is the same.
        match block_on(unsafe { runtime.submit_raw(rest) }) {
            Ok((done, _)) => return Ok(joined(Value::None, done.value, &piece, &rest)),
            Err(failed) => match failed.error {
                Failure::Fault { access, addr, done, .. } => {
                    faults += 1;
                    counts.faults += 1;
                    counts.resubmissions += 1;
                    // Pages may be taken away again meanwhile, but not for ever.
                    if faults > 2 * pages + 16 {
                        return Err(Error::Endless { policy, faults, pages });
                    }
                    rest = rest_of(&rest, done);
                    // SAFETY: the pages are those of an operand, by the contract.
                    unsafe { touch_for(policy, &rest, addr, access, counts) };
                }
                error => return Err(error.into()),
            },
        }
    }
}

/// Touches what a policy touches for a fault on `addr`.
///
/// # Safety
///
/// As [`perform`].
unsafe fn touch_for(policy: Policy, rest: &Job, addr: VirtAddr, access: Access, counts: &mut Counts) {
    let is_fault_in = |operand: &Operand| operand.access == access && operand.span.touches_page_of(addr);
    let faulting = rest.operands().into_iter().flatten().find(is_fault_in);
    let Some(faulting) = faulting else { return };
    if policy != Policy::LookAhead {
        let span = Span::new(addr.page(), 1);
        // SAFETY: a page of an operand, by the contract.
        return touched(unsafe { touch(&Operand { span, access }) }, counts);
    }
    // Both sides of what advances together.
    let offset = addr.page().get().saturating_sub(faulting.span.addr.get());
    for operand in rest.operands().into_iter().flatten() {
        if operand == faulting || rest.in_step() {
            let span = operand.span.part(offset, LOOK_AHEAD_BYTES);
            // SAFETY: a part of an operand's memory, by the contract.
            touched(unsafe { touch(&Operand { span, access: operand.access }) }, counts);
        }
    }
}

fn touched(pages: u64, counts: &mut Counts) {
    counts.pages_touched += pages;
    counts.pages_populated += pages;
}

/// A job in pieces of one descriptor.
fn pieces(job: &Job) -> impl Iterator<Item = Job> {
    let job = *job;
    let bytes =
        if matches!(job, Job::Copy { .. } | Job::Compare { .. }) { PIECE_BYTES.into() } else { u64::MAX };
    (0..job.bytes().div_ceil(bytes)).map(move |at| part_of(&job, at * bytes, bytes))
}

/// What is left after `done` bytes. Of what keeps nothing of a partial run, all.
fn rest_of(job: &Job, done: u64) -> Job {
    part_of(job, done, u64::MAX)
}

fn part_of(job: &Job, from: u64, bytes_max: u64) -> Job {
    match *job {
        Job::Copy { src, dst, len } => {
            Job::Copy { src: src.add(from), dst: dst.add(from), len: (len - from.min(len)).min(bytes_max) }
        }
        Job::Compare { a, b, len } => {
            Job::Compare { a: a.add(from), b: b.add(from), len: (len - from.min(len)).min(bytes_max) }
        }
        whole => whole,
    }
}

/// The value of a job after another part of it.
fn joined(before: Value, value: Value, whole: &Job, part: &Job) -> Value {
    match (value, whole, part) {
        (Value::Difference(Some(at)), Job::Compare { a: first, .. }, Job::Compare { a, .. }) => {
            Value::Difference(Some(at + a.get() - first.get()))
        }
        (Value::None, ..) => before,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_job() {
        let (src, dst) = (VirtAddr::new(0x1000), VirtAddr::new(0x9000_0000));
        let job = Job::Copy { src, dst, len: 5 << 20 };
        let lengths: Vec<u64> = pieces(&job).map(|piece| piece.bytes()).collect();
        assert_eq!(lengths, [2 << 20, 2 << 20, 1 << 20]);
        let last = pieces(&job).last().unwrap();
        assert_eq!(last, Job::Copy { src: src.add(4 << 20), dst: dst.add(4 << 20), len: 1 << 20 });
        assert_eq!(
            rest_of(&job, 4096),
            Job::Copy { src: src.add(4096), dst: dst.add(4096), len: (5 << 20) - 4096 }
        );
    }

    #[test]
    fn a_difference_counts_from_the_start_of_the_job() {
        let (a, b) = (VirtAddr::new(0x1000), VirtAddr::new(0x9000_0000));
        let whole = Job::Compare { a, b, len: 100 };
        let part = Job::Compare { a: a.add(40), b: b.add(40), len: 60 };
        let joined = joined(Value::None, Value::Difference(Some(5)), &whole, &part);
        assert_eq!(joined, Value::Difference(Some(45)));
    }
}
