//! One descriptor for one stretch of a job.

use idxd_spec::{Descriptor, DstAddr, SrcAddr};
use svala::{Crc, Job, Operand, Operands, Span, VirtAddr};

/// In which order the parts of a job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Any.
    Parallel,
    /// One after the other: a later part needs the result of an earlier one, or overwrites its source.
    Forward,
    /// The same from the end.
    Backward,
}

impl Order {
    pub(super) fn of(job: &Job) -> Self {
        match *job {
            Job::Copy { src, dst, len } if Span::new(src, len).overlaps(Span::new(dst, len)) => {
                if dst > src {
                    Self::Backward
                } else {
                    Self::Forward
                }
            }
            Job::Crc { .. } => Self::Forward,
            _ => Self::Parallel,
        }
    }
}

/// The descriptor for `len` bytes of `job` from `offset` on. None for what a DSA does not do.
pub(super) fn descriptor(job: &Job, offset: u64, len: u64, seed: u32) -> Option<Descriptor> {
    let size = u32::try_from(len).ok()?;
    let from = |addr: VirtAddr| SrcAddr(addr.add(offset).get());
    let to = |addr: VirtAddr| DstAddr(addr.add(offset).get());
    Some(match *job {
        Job::Copy { src, dst, .. } => Descriptor::memmove(from(src), to(dst), size),
        // Parts are whole words long, so each begins at the pattern's first byte.
        Job::Fill { dst, pattern, .. } => Descriptor::fill(pattern, to(dst), size),
        Job::Compare { a, b, .. } => Descriptor::compare(from(a), from(b), size),
        Job::Crc { src, crc, .. } if crc == Crc::CRC32C => Descriptor::crc(from(src), size, seed),
        _ => return None,
    })
}

/// The CRC a job begins with.
pub(super) const fn seed(job: &Job) -> u32 {
    match *job {
        #[expect(clippy::cast_possible_truncation, reason = "a CRC-32C has 32 bits")]
        Job::Crc { seed, .. } => seed as u32,
        _ => 0,
    }
}

/// What the rest of a descriptor still touches, given the job it is part of.
pub(super) fn rest_of(job: &Job, rest: &Descriptor) -> Operands {
    let len = u64::from(rest.xfer_size());
    let (src, dst) = (VirtAddr::new(rest.src_addr()), VirtAddr::new(rest.dst_addr()));
    let shapes = job.operands();
    let addrs = match *job {
        Job::Copy { .. } => [src, dst],
        Job::Fill { .. } => [dst, dst],
        Job::Compare { .. } => [src, VirtAddr::new(rest.src2_addr())],
        _ => [src, src],
    };
    let mut operands = shapes;
    for (operand, addr) in operands.iter_mut().zip(addrs) {
        *operand = operand.map(|operand| Operand { span: Span::new(addr, len), ..operand });
    }
    operands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_copies_run_away_from_what_they_overwrite() {
        let copy = |src, dst| Job::Copy { src: VirtAddr::new(src), dst: VirtAddr::new(dst), len: 100 };
        assert_eq!(Order::of(&copy(1000, 1050)), Order::Backward);
        assert_eq!(Order::of(&copy(1050, 1000)), Order::Forward);
        assert_eq!(Order::of(&copy(1000, 1100)), Order::Parallel);
    }
}
