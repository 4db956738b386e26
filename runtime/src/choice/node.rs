//! On which memory node a buffer is.
//!
//! `move_pages(2)` without target nodes only tells where a page is. It is a system call, so its answers are kept, for
//! stretches of 2 MiB, and asked for again after a while, because pages move; and small jobs never ask. What is not in
//! memory yet is on no node: the first touch will decide.
//!
//! UNSAFETY: a system call that reads one address and writes one word, both ours.
#![expect(unsafe_code, reason = "move_pages has no safe wrapper")]

use crate::address::{PAGE_BYTES, VirtAddr};
use crate::sync::{AtomicU64, Ordering};

/// Bytes of memory that are taken to be on one node: a huge page.
const STRETCH_SHIFT: u32 = 21;
/// Answers that are kept.
const ENTRIES: usize = 256;
/// Times an answer is used before the kernel is asked again.
const USES_MAX: u64 = 1 << 12;
/// Jobs smaller than this do not ask: the question costs as much as some 16 KiB of copying.
const ASK_BYTES_MIN: u64 = 64 << 10;

/// Nodes of buffers, as far as they are known.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// Stretch in bits 63:28, uses in 27:16, node in 15:0. All ones: nothing.
    entries: Box<[AtomicU64]>,
}

impl Nodes {
    pub(crate) fn new() -> Self {
        Self { entries: (0..ENTRIES).map(|_| AtomicU64::new(u64::MAX)).collect() }
    }

    /// The node of the memory at `addr`, for a job of this many bytes.
    pub(crate) fn of(&self, addr: VirtAddr, bytes: u64) -> Option<u16> {
        self.of_with(addr, bytes, ask)
    }

    fn of_with(&self, addr: VirtAddr, bytes: u64, ask: impl FnOnce(VirtAddr) -> Option<u16>) -> Option<u16> {
        let stretch = addr.get() >> STRETCH_SHIFT;
        let entry = self.entries.get(usize::try_from(stretch).ok()? % ENTRIES)?;
        let known = entry.load(Ordering::Relaxed);
        let uses = known >> 16 & (USES_MAX - 1);
        if known >> 28 == stretch && uses + 1 < USES_MAX {
            // Lost when another thread counts at the same time: the answer is used once more.
            entry.store(known + (1 << 16), Ordering::Relaxed);
            #[expect(clippy::cast_possible_truncation, reason = "the node is in the low 16 bits")]
            return Some(known as u16);
        }
        if bytes < ASK_BYTES_MIN {
            return None;
        }
        let node = ask(addr)?;
        entry.store(stretch << 28 | u64::from(node), Ordering::Relaxed);
        Some(node)
    }
}

/// Asks the kernel.
fn ask(addr: VirtAddr) -> Option<u16> {
    let page = usize::try_from(addr.get() & !(PAGE_BYTES - 1)).ok()?;
    let page = std::ptr::without_provenance::<libc::c_void>(page);
    let mut status: libc::c_int = -libc::ENOENT;
    // SAFETY: without target nodes nothing is moved; one address is read from `page` and one word written to `status`,
    // both alive; process 0 is this one.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            1_usize,
            &raw const page,
            std::ptr::null::<libc::c_int>(),
            &raw mut status,
            0,
        )
    };
    if answer == 0 { u16::try_from(status).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `/sys/devices/system/node` has it; a machine without it has one node, number 0.
    fn node_is_there(node: u16) -> bool {
        let nodes = std::path::Path::new("/sys/devices/system/node");
        if nodes.exists() { nodes.join(format!("node{node}")).exists() } else { node == 0 }
    }

    #[test]
    fn memory_that_was_touched_is_on_a_node_of_this_machine() {
        let bytes = vec![1_u8; 1 << 20];
        match ask(VirtAddr::of(bytes.as_ptr())) {
            Some(node) => assert!(node_is_there(node), "node {node}"),
            // A kernel without NUMA, or one that does not let us ask.
            None => assert!(!std::path::Path::new("/sys/devices/system/node/node1").exists()),
        }
    }

    #[test]
    fn what_is_not_mapped_is_on_no_node() {
        assert_eq!(ask(VirtAddr::new(PAGE_BYTES)), None);
    }

    #[test]
    fn an_answer_is_used_for_its_stretch_and_asked_for_again_after_a_while() {
        let nodes = Nodes::new();
        let mut asked = 0;
        let mut of = |addr: u64, bytes: u64, node: u16| {
            nodes.of_with(VirtAddr::new(addr), bytes, |_| {
                asked += 1;
                Some(node)
            })
        };
        let here = 0x7f00_0000_0000;
        assert_eq!(of(here, 4096, 3), None, "too small to ask");
        assert_eq!(of(here, 1 << 20, 3), Some(3));
        assert_eq!(of(here + 5000, 64, 4), Some(3), "known");
        assert_eq!(of(here + (2 << 20), 1 << 20, 5), Some(5), "another stretch");
        for _ in 0..USES_MAX {
            of(here, 1 << 20, 6);
        }
        assert_eq!(of(here, 64, 7), Some(6));
        assert_eq!(asked, 3);
    }

    #[test]
    fn stretches_that_share_a_place_are_told_apart() {
        let nodes = Nodes::new();
        let far = 0x7000_0000_0000_u64;
        let other = far + ((ENTRIES as u64) << STRETCH_SHIFT);
        assert_eq!(nodes.of_with(VirtAddr::new(far), 1 << 20, |_| Some(1)), Some(1));
        assert_eq!(nodes.of_with(VirtAddr::new(other), 64, |_| Some(2)), None);
        assert_eq!(nodes.of_with(VirtAddr::new(other), 1 << 20, |_| Some(2)), Some(2));
    }
}
