//! What to submit after a partial completion.
//!
//! A device that meets a missing page, and may not wait for it, stops and says how far it came. Once the page is there
//! the rest is another descriptor; which one differs by operation, and this module knows it. It touches no memory and
//! believes nothing: what a record claims is checked against what was asked for.
//!
//! The hard ones: a copy that ran backwards keeps its addresses and loses its tail; a pattern goes on where it stopped;
//! a CRC goes on from the partial one; the exceptions of numbers are those of each part; the entries of a resumed delta record count from the moved source, see
//! [`CreateDelta::rebase`](crate::CreateDelta::rebase).

mod delta;
mod dif;
mod numeric;
mod scatter_gather;

use core::fmt;

use crate::{Completion, Descriptor, GenCap, Opcode, Status};

/// What is left to do after a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Submit this. It has the flags of the original, a fence too: clear [`Flags::FENCE`](crate::Flags::FENCE) to submit
    /// it outside a batch.
    Rest(Descriptor),
    /// Nothing was kept. Submit the same descriptor again.
    Whole,
    /// Nothing is left to do.
    Finished,
    /// The record leaves no way to go on.
    Impossible(Reason),
}

/// Why an operation cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The status is still 0: the device has not written the record.
    NotComplete,
    /// The status is an error and not a page fault. For a batch, that may mean that some of its descriptors failed:
    /// they have their own records.
    NotAFault(Status),
    /// There is no rule for this operation.
    Operation(Opcode),
    /// More was completed than was asked for, in bytes or, for a batch, descriptors.
    Completed {
        /// What the record says.
        completed: u32,
        /// What the descriptor says.
        asked: u32,
    },
    /// The result is not one that a partial completion of this operation has.
    Result(u8),
    /// The size of the delta record is no multiple of an entry, or more than there was room for, or does not fit the
    /// result.
    DeltaSize(u32),
    /// The room left for the delta record is below [`CreateDelta::DELTA_SIZE_MIN`](crate::CreateDelta::DELTA_SIZE_MIN), in bytes.
    DeltaRoom(u32),
    /// A number of bytes that does not end where a block, an entry or a word does.
    Granularity(u32),
    /// The data types, in the byte a descriptor has for them, are not both known, or there is nothing in a block.
    DataType(u8),
    /// The bytes done do not end in the block behind the entries of the list that are done.
    SglCompleted {
        /// Entries the record says are done.
        entries: u16,
        /// Bytes the record says are done.
        bytes: u32,
    },
    /// The fault address is behind the region of a translation fetch.
    FaultAddr(u64),
    /// One descriptor of a batch is left, at this address, and the device takes no batch of one: submit it by itself.
    LastOfBatch(u64),
}

/// The rest of `descriptor` after `done`, on a device that may lack the features [`resume_on`] asks about.
///
/// What the caller still adds up: where a comparison found a difference, which the rest reports from its own start, and
/// the results of the parts of a create delta operation (1 if any part has 1; its entries need [`CreateDelta::rebase`](crate::CreateDelta::rebase)).
#[must_use]
pub fn resume(descriptor: &Descriptor, done: &Completion) -> Resume {
    resume_on(descriptor, done, GenCap(0))
}

/// As [`resume`], on a device with these capabilities: whether a batch keeps its error flag and may have one descriptor,
/// and whether a fault address can be masked.
#[must_use]
pub fn resume_on(descriptor: &Descriptor, done: &Completion, gencap: GenCap) -> Resume {
    let rest = match (done.status().without_write(), descriptor.opcode()) {
        (Status::SUCCESS | Status::SUCCESS_PREDICATE_FALSE, _) => return Resume::Finished,
        (Status::BATCH_PAGE_FAULT, Opcode::BATCH) => batch(descriptor, done, gencap),
        (Status::READBACK_PAGE_FAULT, Opcode::DRAIN) => return Resume::Whole,
        (Status::PAGE_FAULT | Status::PAGE_REQUEST_INVALID, _) => after_fault(descriptor, done, gencap),
        (Status::NONE, _) => Err(Reason::NotComplete.into()),
        _ => Err(Reason::NotAFault(done.status()).into()),
    };
    match rest {
        Ok(rest) => Resume::Rest(rest),
        Err(without_rest) => without_rest,
    }
}

/// The rest, or a [`Resume`] that is not [`Rest`](Resume::Rest).
type Rest = Result<Descriptor, Resume>;

impl From<Reason> for Resume {
    fn from(reason: Reason) -> Self {
        Self::Impossible(reason)
    }
}

fn after_fault(descriptor: &Descriptor, done: &Completion, gencap: GenCap) -> Rest {
    match descriptor.opcode() {
        Opcode::MEMMOVE => memmove(descriptor, done),
        Opcode::INTER_DOMAIN_COPY => {
            let bytes = kept(descriptor, done)?;
            Ok(descriptor.src_up(bytes.into()).dst_up(bytes.into()).size_shrunk(bytes))
        }
        Opcode::FILL | Opcode::INTER_DOMAIN_FILL => {
            let bytes = kept(descriptor, done)?;
            Ok(descriptor.pattern_turned(bytes).dst_up(bytes.into()).size_shrunk(bytes))
        }
        Opcode::COMPARE | Opcode::INTER_DOMAIN_COMPARE => {
            let bytes = kept_equal(descriptor, done)?;
            Ok(descriptor.src_up(bytes.into()).dst_up(bytes.into()).size_shrunk(bytes))
        }
        Opcode::COMPARE_PATTERN | Opcode::INTER_DOMAIN_COMPARE_PATTERN => {
            let bytes = kept_equal(descriptor, done)?;
            Ok(descriptor.src_up(bytes.into()).compare_pattern_turned(bytes).size_shrunk(bytes))
        }
        Opcode::CREATE_DELTA => delta::create_delta(descriptor, done),
        Opcode::APPLY_DELTA => delta::apply_delta(descriptor, done),
        Opcode::DUALCAST => {
            let bytes = kept(descriptor, done)?;
            let moved = descriptor.src_up(bytes.into()).dst_up(bytes.into()).dst2_up(bytes.into());
            Ok(moved.size_shrunk(bytes))
        }
        Opcode::CRC => {
            let bytes = kept(descriptor, done)?;
            Ok(descriptor.crc_continued(done.crc_val()).src_up(bytes.into()).size_shrunk(bytes))
        }
        Opcode::COPY_CRC => {
            let bytes = kept(descriptor, done)?;
            let moved = descriptor.crc_continued(done.crc_val()).src_up(bytes.into()).dst_up(bytes.into());
            Ok(moved.size_shrunk(bytes))
        }
        Opcode::DIF_CHECK
        | Opcode::DIF_INSERT
        | Opcode::DIF_STRIP
        | Opcode::DIF_UPDATE
        | Opcode::DIX_GENERATE => dif::dif(descriptor, done),
        Opcode::CACHE_FLUSH => {
            let bytes = kept(descriptor, done)?;
            Ok(descriptor.dst_up(bytes.into()).size_shrunk(bytes))
        }
        Opcode::TRANSLATION_FETCH => translation_fetch(descriptor, done, gencap),
        Opcode::TYPE_CONVERSION | Opcode::REDUCE | Opcode::REDUCE_DUALCAST => {
            numeric::numeric(descriptor, done)
        }
        Opcode::GATHER_COPY | Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => {
            scatter_gather::scatter_gather(descriptor, done)
        }
        // It always starts again (DSA §8.3.22).
        Opcode::GATHER_REDUCE => Err(Resume::Whole),
        opcode => Err(Reason::Operation(opcode).into()),
    }
}

/// How much of `asked` was completed, if that leaves something both kept and to do.
fn part(completed: u32, asked: u32) -> Result<u32, Resume> {
    match completed {
        0 => Err(Resume::Whole),
        all if all == asked => Err(Resume::Finished),
        more if more > asked => Err(Reason::Completed { completed, asked }.into()),
        some => Ok(some),
    }
}

/// As [`part`], of an amount that may be more than a record can count.
fn kept_of(completed: u32, asked: u64) -> Result<u32, Resume> {
    match u32::try_from(asked) {
        Ok(asked) => part(completed, asked),
        Err(_) if completed == 0 => Err(Resume::Whole),
        Err(_) => Ok(completed),
    }
}

fn kept(descriptor: &Descriptor, done: &Completion) -> Result<u32, Resume> {
    part(done.bytes_completed(), descriptor.xfer_size())
}

/// As [`kept`], for a comparison: a difference would have been reported instead of the fault.
fn kept_equal(descriptor: &Descriptor, done: &Completion) -> Result<u32, Resume> {
    match done.result() {
        0 => kept(descriptor, done),
        result => Err(Reason::Result(result).into()),
    }
}

fn memmove(descriptor: &Descriptor, done: &Completion) -> Rest {
    let bytes = kept(descriptor, done)?;
    let shorter = descriptor.size_shrunk(bytes);
    match done.result() {
        0 => Ok(shorter.src_up(bytes.into()).dst_up(bytes.into())),
        1 => Ok(shorter),
        result => Err(Reason::Result(result).into()),
    }
}

/// Bytes completed mean nothing here (DSA §8.3.11), so it goes on at the address that faulted, which may be rounded
/// down to before the region.
fn translation_fetch(descriptor: &Descriptor, done: &Completion, gencap: GenCap) -> Rest {
    let is_masked = gencap.fault_info() && done.fault_info().is_masked();
    let Some(offset) = done.fault_addr().checked_sub(descriptor.src_addr()).filter(|_| !is_masked) else {
        return Err(Resume::Whole);
    };
    match u32::try_from(offset) {
        Ok(0) => Err(Resume::Whole),
        Ok(bytes) if bytes < descriptor.xfer_size() => Ok(descriptor.src_up(bytes.into()).size_shrunk(bytes)),
        _ => Err(Reason::FaultAddr(done.fault_addr()).into()),
    }
}

fn batch(descriptor: &Descriptor, done: &Completion, gencap: GenCap) -> Rest {
    let count = part(done.descs_completed(), descriptor.desc_count())?;
    let bytes = u64::from(count) * Descriptor::SIZE as u64;
    let rest = descriptor.src_up(bytes).size_shrunk(count);
    if rest.desc_count() == 1 && !gencap.batch_of_one() {
        return Err(Reason::LastOfBatch(rest.desc_list_addr()).into());
    }
    match (gencap.batch_continuation(), done.result()) {
        (false, _) | (true, 0) => Ok(rest),
        (true, 1) => Ok(rest.with_flags(crate::Flags::BATCH_ERROR)),
        (true, result) => Err(Reason::Result(result).into()),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotComplete => f.write_str("completion record not written"),
            Self::NotAFault(status) => write!(f, "{status} (status {:#04x})", status.0),
            Self::Operation(opcode) => write!(f, "{opcode} cannot be resumed"),
            Self::Completed { completed, asked } => write!(f, "record says {completed} done of {asked}"),
            Self::Result(result) => write!(f, "record has result {result}"),
            Self::DeltaSize(size) => write!(f, "record says {size} bytes of delta record"),
            Self::DeltaRoom(room) => write!(f, "{room} bytes left for the delta record"),
            Self::Granularity(bytes) => write!(f, "record says {bytes} bytes done, inside a unit"),
            Self::DataType(types) => write!(f, "data types {types:#04x} have no size"),
            Self::SglCompleted { entries, bytes } => {
                write!(f, "record says {entries} entries and {bytes} bytes done, which do not go together")
            }
            Self::FaultAddr(addr) => write!(f, "fault at {addr:#x}, behind the region"),
            Self::LastOfBatch(addr) => write!(f, "one descriptor of the batch left, at {addr:#x}"),
        }
    }
}

impl core::error::Error for Reason {}
