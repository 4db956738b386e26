//! One lane of the scripted device: does the work, up to where it is to fault.
//!
//! UNSAFETY: reads and writes the memory of jobs, as a device would.
#![expect(unsafe_code, reason = "a device works on raw addresses")]

use svala::backend::{Failure, LaneFault};
use svala::{Access, Done, Job, Operand, Value};

use super::memory::residency;
use super::queue::{End, Faulting, Plan};

/// What a lane is about.
#[derive(Debug)]
pub enum State {
    /// The device is to work on it.
    Ready,
    /// It faulted; true once the runtime has been told.
    Faulted(LaneFault, bool),
    Over(Result<Done, Failure>),
}

#[derive(Debug)]
pub struct Lane {
    pub index: u16,
    pub job: Job,
    pub state: State,
    /// Bytes done.
    pub offset: u64,
    faulting: Faulting,
    end: End,
    crc: u32,
}

const PAGE: u64 = 4096;
/// Pages whose presence is asked about at once.
const LOOK: usize = 256;

impl Lane {
    pub fn new(index: u16, job: Job, plan: Plan) -> Self {
        let crc = if let Job::Crc { seed, .. } = job { !low_half(seed) } else { 0 };
        Self { index, job, state: State::Ready, offset: 0, faulting: plan.faulting, end: plan.end, crc }
    }

    pub const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Works until the end or the next fault. `others`: bytes other lanes have done.
    pub fn run(&mut self, others: u64) {
        let len = self.job.bytes();
        let mut difference = None;
        while self.offset < len {
            let (stop, fault) = self.next_stop(len);
            difference = self.work(stop);
            if difference.is_some() {
                break;
            }
            if let Some((operand, restarts)) = fault {
                return self.fault(operand, restarts, others);
            }
        }
        self.state = State::Over(match self.end {
            End::Well => Ok(self.done(difference)),
            End::Value(value) => Ok(Done { bytes: len, value }),
            End::Failed(failure) => Err(failure),
        });
    }

    fn done(&self, difference: Option<u64>) -> Done {
        let value = match self.job {
            Job::Compare { .. } => Value::Difference(difference),
            Job::Crc { .. } => Value::Crc((!self.crc).into()),
            _ => Value::None,
        };
        Done { bytes: difference.unwrap_or_else(|| self.job.bytes()), value }
    }

    fn fault(&mut self, operand: Operand, restarts: bool, others: u64) {
        let addr = operand.span.part(self.offset, 1).addr.page();
        let status = if operand.access == Access::Write { 0x84 } else { 0x04 };
        if restarts {
            self.offset = 0;
            self.crc = if let Job::Crc { seed, .. } = self.job { !low_half(seed) } else { 0 };
        }
        let rest = self.job.operands().map(|operand| {
            operand.map(|operand| Operand { span: operand.span.part(self.offset, u64::MAX), ..operand })
        });
        let done_bytes = others + self.offset;
        let (lane, unbroken_bytes) = (self.index, self.offset);
        let access = operand.access;
        let fault = LaneFault { lane, access, addr, done_bytes, unbroken_bytes, status, rest, restarts };
        self.state = State::Faulted(fault, false);
    }

    /// How far to go now, and the operand to fault on there.
    fn next_stop(&mut self, len: u64) -> (u64, Option<(Operand, bool)>) {
        let operands = self.job.operands();
        let last = || operands.iter().flatten().next_back().copied().expect("a job has an operand");
        match &mut self.faulting {
            Faulting::No => (len, None),
            Faulting::Cold { restarts } => {
                let restarts = *restarts;
                let (stop, operand) = self.first_absent(len);
                (stop, operand.map(|operand| (operand, restarts)))
            }
            Faulting::At { offsets, restarts } => match offsets.first().copied() {
                Some(at) if at < len => {
                    offsets.remove(0);
                    (at.max(self.offset), Some((last(), *restarts)))
                }
                _ => (len, None),
            },
            Faulting::Stuck { at } => ((*at).max(self.offset), Some((last(), false))),
        }
    }

    /// The first page from here on that is not present in one of the operands.
    fn first_absent(&self, len: u64) -> (u64, Option<Operand>) {
        let mut found = (self.offset.saturating_add((LOOK as u64 - 1) * PAGE).min(len), None);
        for operand in self.job.operands().into_iter().flatten() {
            let from = operand.span.part(self.offset, found.0 - self.offset);
            let mut pages = [0; LOOK];
            let pages = &mut pages[..usize::try_from(from.page_count()).expect("few pages")];
            if !residency(from.addr, pages) {
                // Not mapped, or only in part: one by one.
                for (index, page) in pages.iter_mut().enumerate() {
                    let addr = from.addr.page().add(index as u64 * PAGE);
                    let mut one = [0];
                    *page = u8::from(residency(addr, &mut one)) & one[0];
                }
            }
            if let Some(absent) = pages.iter().position(|page| page & 1 == 0) {
                let addr = from.addr.page().add(absent as u64 * PAGE).get();
                let offset = addr.saturating_sub(operand.span.addr.get()).max(self.offset);
                if offset < found.0 || found.1.is_none() {
                    found = (offset, Some(operand));
                }
            }
        }
        found
    }

    /// Does the bytes up to `stop`. For a comparison: the first difference.
    fn work(&mut self, stop: u64) -> Option<u64> {
        let len = usize::try_from(stop - self.offset).expect("64-bit");
        let at = |addr: svala::VirtAddr| {
            let addr = usize::try_from(addr.add(self.offset).get()).expect("64-bit");
            std::ptr::with_exposed_provenance_mut::<u8>(addr)
        };
        match self.job {
            Job::Copy { src, dst, .. } => {
                // SAFETY: the job's memory is lent to the device, and its pages are present or ordinary.
                unsafe { std::ptr::copy(at(src), at(dst), len) };
            }
            Job::Fill { dst, pattern, .. } => {
                let bytes = pattern.to_le_bytes();
                for i in 0..len {
                    let byte = bytes[usize::try_from(self.offset % 8).expect("small").wrapping_add(i) % 8];
                    // SAFETY: in bounds of what is lent.
                    let place = unsafe { at(dst).add(i) };
                    // SAFETY: as above.
                    unsafe { place.write(byte) };
                }
            }
            Job::Compare { a, b, .. } => {
                // SAFETY: lent for reading.
                let a = unsafe { std::slice::from_raw_parts(at(a), len) };
                // SAFETY: as above.
                let b = unsafe { std::slice::from_raw_parts(at(b), len) };
                if let Some(first) = a.iter().zip(b).position(|(a, b)| a != b) {
                    return Some(self.offset + first as u64);
                }
            }
            Job::Crc { src, .. } => {
                // SAFETY: lent for reading.
                let src = unsafe { std::slice::from_raw_parts(at(src), len) };
                self.crc = !super::crc32c(!self.crc, src);
            }
            _ => unreachable!("the scripted queue does not offer compression"),
        }
        self.offset = stop;
        None
    }
}

/// The 32 bits a CRC-32C has.
fn low_half(seed: u64) -> u32 {
    u32::try_from(seed & u64::from(u32::MAX)).expect("32 bits")
}
