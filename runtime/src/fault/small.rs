//! Small ranges: what is populated in less time than it takes to hand it over and back.
//!
//! A few pages cost a few microseconds, and a hand-over between threads costs as much again. So small ranges are populated by a thread that is there already and can be held up: a queue's own, as far
//! as [`Queue::held_max`](crate::backend::Queue::held_max) allows, or one of a few helpers. Never by an executor's thread
//! or the completion thread: the range may wait for a disk or a fault handler after all, and nobody can tell beforehand.
//! What no helper has time for goes to the [`Resolver`](super::Resolver), whose threads are many.

use super::resolver::{Request, advice};
use super::threads::populate;
use crate::job::{OPERANDS_MAX, Operands};

/// Bytes of each operand at most: the first window of a transfer.
pub(crate) const SMALL_BYTES_MAX: u64 = super::WINDOW_BYTES_MIN;
/// Threads that are there for small ranges.
pub(crate) const HELPERS: u32 = 2;

/// All that a slot needs now, and it is little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    pub(crate) slot: u32,
    pub(crate) operands: Operands,
}

impl Small {
    /// These requests, if they are few and small. They are one slot's.
    pub(crate) fn of(requests: &[Request]) -> Option<Self> {
        let slot = requests.first()?.slot;
        let is_small = |request: &Request| request.operand.span.pages().len <= SMALL_BYTES_MAX;
        if requests.len() > OPERANDS_MAX || !requests.iter().all(is_small) {
            return None;
        }
        let mut operands = [None; OPERANDS_MAX];
        for (place, request) in operands.iter_mut().zip(requests) {
            *place = Some(request.operand);
        }
        Some(Self { slot, operands })
    }

    /// Makes all of it present, on this thread. 0, or the first thing `madvise` would not do.
    pub(crate) fn populate(&self) -> i32 {
        let each = self.operands.iter().flatten();
        let errnos = each.map(|operand| populate(operand.span.pages(), advice(operand.access)));
        errnos.fold(0, |first, errno| if first == 0 { errno } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Access, Span, VirtAddr};
    use crate::job::Operand;

    fn requests(lengths: &[u64]) -> Vec<Request> {
        let request = |len: &u64| Request {
            channel: 0,
            slot: 3,
            operand: Operand { span: Span::new(VirtAddr::new(0x7000_0000), *len), access: Access::Write },
        };
        lengths.iter().map(request).collect()
    }

    #[test]
    fn small_is_a_few_pages_of_each_operand() {
        let is_small = |lengths: &[u64]| Small::of(&requests(lengths)).is_some();
        assert!(is_small(&[1]) && is_small(&[SMALL_BYTES_MAX; OPERANDS_MAX]));
        assert!(
            !is_small(&[]) && !is_small(&[4096, SMALL_BYTES_MAX + 1]) && !is_small(&[1; OPERANDS_MAX + 1])
        );
    }

    #[test]
    fn what_is_not_mapped_is_an_error_and_the_rest_is_populated() {
        let map = memmap2::MmapMut::map_anon(4096).expect("maps");
        let mut requests = requests(&[4096, 4096]);
        requests[0].operand.span = Span::new(VirtAddr::new(0), 4096);
        requests[1].operand.span = Span::new(VirtAddr::of(map.as_ptr()), 4096);
        let small = Small::of(&requests).expect("small");
        assert_eq!(small.populate(), libc::ENOMEM);
        let mut operands = [None; OPERANDS_MAX];
        operands[0] = Some(requests[1].operand);
        assert_eq!(super::super::residency::Sampler::new().look(&operands).absent, 0);
    }
}
