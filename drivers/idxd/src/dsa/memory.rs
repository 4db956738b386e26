//! A look by the CPU into a job's memory, for the little that a device leaves to its driver: offsets in delta records.
//!
//! Through system calls, which answer with an error where a load would end the process: the file behind a map may have
//! been truncated meanwhile, and of a raw submission nobody has looked at the addresses. They bring in what is absent.
//!
//! UNSAFETY: reads and writes memory of this process by address.
#![expect(unsafe_code, reason = "system calls on addresses of a job")]

use svala::backend::Failure;
use svala::{Access, VirtAddr};

/// Whether the kernel lets this process look at its own memory so: one may be built without (`CONFIG_CROSS_MEMORY_ATTACH`), and
/// a seccomp filter may refuse it.
pub(super) fn is_possible() -> bool {
    let (here, mut there) = (1_u8, [0]);
    read(VirtAddr::of(&raw const here), &mut there).is_ok() && there == [here]
}

/// Reads all of `bytes` from `addr`.
pub(super) fn read(addr: VirtAddr, bytes: &mut [u8]) -> Result<(), Failure> {
    let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let there = libc::iovec { iov_base: addr.as_ptr::<libc::c_void>().cast_mut(), iov_len: bytes.len() };
    // SAFETY: takes no arguments and cannot fail.
    let us = unsafe { libc::getpid() };
    // SAFETY: `here` is all of `bytes`, borrowed for writing; the kernel checks `there` itself and only reads it.
    let read = unsafe { libc::process_vm_readv(us, &raw const here, 1, &raw const there, 1, 0) };
    whole(read, bytes.len(), addr, Access::Read)
}

/// Writes all of `bytes` to `addr`, which is within what the job lends for writing.
pub(super) fn write(addr: VirtAddr, bytes: &[u8]) -> Result<(), Failure> {
    let here = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let there = libc::iovec { iov_base: addr.as_ptr::<libc::c_void>().cast_mut(), iov_len: bytes.len() };
    // SAFETY: takes no arguments and cannot fail.
    let us = unsafe { libc::getpid() };
    // SAFETY: `here` is all of `bytes` and only read; `there` is lent to the job for writing (the caller's word, as for
    // the descriptors of the job), and the kernel checks that it is there.
    let written = unsafe { libc::process_vm_writev(us, &raw const here, 1, &raw const there, 1, 0) };
    whole(written, bytes.len(), addr, Access::Write)
}

/// A call that stops early has met an address that cannot be used.
fn whole(answer: isize, len: usize, addr: VirtAddr, access: Access) -> Result<(), Failure> {
    let done = u64::try_from(answer).unwrap_or(0);
    if done == len as u64 {
        return Ok(());
    }
    Err(Failure::Address { access, addr: addr.add(done), done_bytes: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_may_look_at_its_own_memory() {
        assert!(is_possible());
    }

    #[test]
    fn an_address_nobody_has_is_a_failure() {
        let mut bytes = [0; 4];
        let nowhere = VirtAddr::new(0x10);
        let expected = |access| Err(Failure::Address { access, addr: nowhere, done_bytes: 0 });
        assert_eq!(read(nowhere, &mut bytes), expected(Access::Read));
        assert_eq!(write(nowhere, &bytes), expected(Access::Write));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut memory = vec![0_u8; 100];
        let addr = VirtAddr::of(memory.as_mut_ptr().cast_const());
        write(addr.add(10), b"swallow").expect("mapped");
        let mut bytes = [0; 7];
        read(addr.add(10), &mut bytes).expect("mapped");
        assert_eq!((&bytes, &memory[10..17]), (b"swallow", &b"swallow"[..]));
    }
}
