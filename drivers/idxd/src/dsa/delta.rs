//! Delta records in several descriptors: what a device does not know of the parts before.
//!
//! *Making one.* Each descriptor counts the words of its entries from its own sources, so entries of later parts are
//! moved up ([`CreateDelta::rebase`]) to count from those of the job; they are written where the entries before end.
//! A descriptor must have room for 80 bytes (DSA §8.3.8). Where less is left of the job's, the record goes to the
//! flight's own memory, and what fits is copied: so a job is refused for want of room only if its record does not fit.
//!
//! *Applying one.* Words are counted from the destination, which therefore stays the same in all parts; that the words
//! increase from one part to the next is checked here, as the device sees one part only. A destination that is longer
//! than a transfer may be is written window by window: the entries of a window are copied to the flight's own memory,
//! counted from the window.

use std::sync::atomic::{AtomicU8, Ordering};

use idxd_spec::{ApplyDelta, Completion, CreateDelta, Descriptor, DstAddr, SrcAddr};
use svala::backend::Failure;
use svala::{DELTA_ENTRY_BYTES, DELTA_RANGE_BYTES_MAX, Job, Span, VirtAddr};

use super::memory;

/// Room for which a descriptor must ask.
const ROOM_BYTES_MIN: u64 = CreateDelta::DELTA_SIZE_MIN as u64;
/// The same as a length.
const ROOM_LEN_MIN: usize = CreateDelta::DELTA_SIZE_MIN as usize;
/// Bytes of an entry as a length.
const ENTRY_LEN: usize = CreateDelta::ENTRY_SIZE as usize;
/// Bytes of a record that are looked at together, whole entries.
const CHUNK_LEN: usize = 409 * ENTRY_LEN;
/// Bytes of a word.
const WORD_BYTES: u64 = 8;

/// A flight's own memory for records. A device writes it, so nobody has a reference to plain bytes of it.
#[derive(Debug)]
pub(super) struct Scratch(Box<[AtomicU8]>);

impl Scratch {
    /// What a queue with this maximum needs.
    pub(super) fn new(transfer_bytes_max: u64) -> Self {
        let len = if transfer_bytes_max < DELTA_RANGE_BYTES_MAX { CHUNK_LEN } else { ROOM_LEN_MIN };
        Self((0..len).map(|_| AtomicU8::new(0)).collect())
    }

    fn addr(&self) -> u64 {
        VirtAddr::of(self.0.as_ptr()).get()
    }

    fn set(&self, bytes: &[u8]) {
        for (to, from) in self.0.iter().zip(bytes) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    /// What a device that is done has left. (Its record was loaded with acquire.)
    fn copy_to(&self, bytes: &mut [u8]) {
        for (from, to) in self.0.iter().zip(bytes) {
            *to = from.load(Ordering::Relaxed);
        }
    }
}

/// The descriptor that goes on where the job is, up to `end`; and the bytes of the sources it takes.
pub(super) fn create(
    job: &Job,
    from: Progress,
    end: u64,
    len_max: u64,
    scratch: &Scratch,
) -> Result<(Descriptor, u64), Failure> {
    let Job::CreateDelta { a, b, len, delta } = *job else { return Err(Failure::Unsupported) };
    let Progress { offset, written } = from;
    let room_max = whole_entries(len_max);
    if len > DELTA_RANGE_BYTES_MAX || room_max < ROOM_BYTES_MIN {
        return Err(Failure::Unsupported);
    }
    let part = end.saturating_sub(offset).min(len_max - len_max % WORD_BYTES);
    let left = room_left(delta, written);
    let (delta_addr, room) = if left < ROOM_BYTES_MIN {
        (scratch.addr(), ROOM_BYTES_MIN)
    } else {
        (delta.addr.add(written).get(), left.min(room_max))
    };
    let descriptor = Descriptor::create_delta(CreateDelta {
        src1_addr: SrcAddr(a.add(offset).get()),
        src2_addr: SrcAddr(b.add(offset).get()),
        xfer_size: size(part)?,
        delta_addr: DstAddr(delta_addr),
        delta_size_max: size(room)?,
    });
    Ok((descriptor, part))
}

/// What a descriptor that ended well has come to: bytes of the sources that are compared, and of the job's record.
///
/// # Errors
///
/// [`Failure::OutputFull`] when the job's own room is exceeded, and what makes no sense.
pub(super) fn created(
    job: &Job,
    descriptor: &Descriptor,
    done: &Completion,
    from: Progress,
    scratch: &Scratch,
) -> Result<Progress, Failure> {
    let Job::CreateDelta { delta, .. } = *job else { return Err(Failure::Unsupported) };
    let (size, room) = (done.delta_rec_size(), descriptor.delta_size_max());
    let nonsense = |what| Failure::Nonsense { what, record: super::outcome::head(done) };
    if size > room || !size.is_multiple_of(CreateDelta::ENTRY_SIZE) {
        return Err(nonsense("delta record of more than its room, or of broken entries"));
    }
    let compared = match done.result() {
        0 if size == 0 => descriptor.xfer_size(),
        1 if size != 0 => descriptor.xfer_size(),
        // The room of this descriptor was the job's, so the job's is too small. Otherwise it was what a transfer may
        // have, and another descriptor goes on.
        2 if u64::from(room) >= room_left(delta, from.written) => {
            return Err(Failure::OutputFull { bytes_max: delta.len });
        }
        2 => done.bytes_completed(),
        _ => return Err(nonsense("size of a delta record that its result does not have")),
    };
    let is_possible = compared != 0
        && compared <= descriptor.xfer_size()
        && compared.is_multiple_of(8)
        && size / CreateDelta::ENTRY_SIZE <= compared / 8;
    if !is_possible {
        return Err(nonsense("delta record of more than was compared"));
    }
    keep(job, descriptor, from, size, done, scratch)
        .map(|written| Progress { offset: from.offset + u64::from(compared), written })
}

/// How far a job is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Bytes of the sources.
    pub(super) offset: u64,
    /// Bytes of the record.
    pub(super) written: u64,
}

/// Takes in `size` bytes of entries that a descriptor wrote: they are moved up, and to where they belong. The answer is
/// the bytes of the job's record then.
pub(super) fn keep(
    job: &Job,
    descriptor: &Descriptor,
    from: Progress,
    size: u32,
    done: &Completion,
    scratch: &Scratch,
) -> Result<u64, Failure> {
    let Job::CreateDelta { delta, .. } = *job else { return Err(Failure::Unsupported) };
    let (Progress { offset, written }, size) = (from, u64::from(size));
    let is_in_scratch = descriptor.delta_addr() == scratch.addr();
    if is_in_scratch && size > room_left(delta, written) {
        return Err(Failure::OutputFull { bytes_max: delta.len });
    }
    if size == 0 || offset == 0 && !is_in_scratch {
        return Ok(written + size);
    }
    let moved_up = u32::try_from(offset).map_err(|_| Failure::Unsupported)?;
    let mut chunk = [0; CHUNK_LEN];
    let mut at = 0;
    while at < size {
        let len = (size - at).min(CHUNK_LEN as u64);
        let entries = &mut chunk[..usize::try_from(len).unwrap_or(CHUNK_LEN)];
        let place = delta.addr.add(written + at);
        if is_in_scratch {
            scratch.copy_to(entries);
        } else {
            memory::read(place, entries)?;
        }
        if !CreateDelta::rebase(entries, moved_up) {
            let what = "delta entry outside the range";
            return Err(Failure::Nonsense { what, record: super::outcome::head(done) });
        }
        memory::write(place, entries)?;
        at += len;
    }
    Ok(written + size)
}

/// The descriptor that goes on at `offset` of the record, and the bytes of the record it takes.
///
/// # Errors
///
/// [`Failure::Corrupt`] for an entry that is not in order, or outside a destination that is written in windows.
pub(super) fn apply(
    job: &Job,
    offset: u64,
    len_max: u64,
    scratch: &Scratch,
) -> Result<(Descriptor, u64), Failure> {
    let Job::ApplyDelta { delta, dst, len } = *job else { return Err(Failure::Unsupported) };
    in_order_at(job, offset)?;
    if len == 0 {
        return Err(Failure::Corrupt { offset });
    }
    // Entries do not reach further.
    let range = len.min(DELTA_RANGE_BYTES_MAX);
    if range > len_max {
        return apply_window(delta, offset, Span::new(dst, range), len_max, scratch);
    }
    let part = delta.len.saturating_sub(offset).min(whole_entries(len_max));
    let descriptor = Descriptor::apply_delta(ApplyDelta {
        delta_addr: SrcAddr(delta.addr.add(offset).get()),
        delta_size: size(part)?,
        dst_addr: DstAddr(dst.get()),
        xfer_size: size(range)?,
    });
    Ok((descriptor, part))
}

/// [`apply`] for a destination of more than a transfer: as many of the next entries as are in one window, which begins
/// with the first of them. An entry that is wrong ends the window, and is found to be wrong when the next one begins.
fn apply_window(
    delta: Span,
    offset: u64,
    dst: Span,
    len_max: u64,
    scratch: &Scratch,
) -> Result<(Descriptor, u64), Failure> {
    let mut chunk = [0; CHUNK_LEN];
    let left = whole_entries(delta.len.saturating_sub(offset)).min(scratch.0.len() as u64);
    let entries = &mut chunk[..usize::try_from(left).unwrap_or(0).min(CHUNK_LEN)];
    memory::read(delta.addr.add(offset), entries)?;
    let Some(first) = entries.first_chunk::<2>().map(|word| u16::from_le_bytes(*word)) else {
        return Err(Failure::Corrupt { offset });
    };
    let start = u64::from(first) * WORD_BYTES;
    let window = dst.part(start, len_max - len_max % WORD_BYTES);
    let (mut count, mut next) = (0, first);
    for entry in entries.chunks_exact_mut(ENTRY_LEN) {
        let word = u16::from_le_bytes([entry[0], entry[1]]);
        let Some(into) = word.checked_sub(first).filter(|_| word >= next) else { break };
        if (u64::from(into) + 1) * WORD_BYTES > window.len {
            break;
        }
        entry[..2].copy_from_slice(&into.to_le_bytes());
        count += ENTRY_LEN;
        let Some(after) = word.checked_add(1) else { break };
        next = after;
    }
    if count == 0 {
        return Err(Failure::Corrupt { offset });
    }
    scratch.set(&entries[..count]);
    let descriptor = Descriptor::apply_delta(ApplyDelta {
        delta_addr: SrcAddr(scratch.addr()),
        delta_size: size(count as u64)?,
        dst_addr: DstAddr(window.addr.get()),
        xfer_size: size(window.len)?,
    });
    Ok((descriptor, count as u64))
}

/// Whether the entry at `offset` of a record comes behind the one before it, which another descriptor had.
pub(super) fn in_order_at(job: &Job, offset: u64) -> Result<(), Failure> {
    let Job::ApplyDelta { delta, .. } = *job else { return Ok(()) };
    if offset < DELTA_ENTRY_BYTES || offset + DELTA_ENTRY_BYTES > delta.len {
        return Ok(());
    }
    let mut bytes = [0; ENTRY_LEN + 2];
    memory::read(delta.addr.add(offset - DELTA_ENTRY_BYTES), &mut bytes)?;
    let before = u16::from_le_bytes([bytes[0], bytes[1]]);
    let here = u16::from_le_bytes([bytes[ENTRY_LEN], bytes[ENTRY_LEN + 1]]);
    if here > before { Ok(()) } else { Err(Failure::Corrupt { offset }) }
}

/// Bytes of whole entries that still fit.
fn room_left(delta: Span, written: u64) -> u64 {
    whole_entries(delta.len.saturating_sub(written))
}

const fn whole_entries(bytes: u64) -> u64 {
    bytes - bytes % DELTA_ENTRY_BYTES
}

fn size(bytes: u64) -> Result<u32, Failure> {
    u32::try_from(bytes).map_err(|_| Failure::Unsupported)
}
