//! A process that had its own `SIGBUS` handler before the first guard keeps it for what is not guarded.
//!
//! Alone in its file: the handler belongs to the whole process.
//
// UNSAFETY: installs a signal handler and maps a file, both of which the standard library leaves to the kernel.
#![expect(unsafe_code, reason = "a signal handler and a memory map; see the UNSAFETY line")]

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

static SEEN: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    assert_eq!(signal, libc::SIGBUS);
    assert!(!info.is_null() && !context.is_null());
    SEEN.fetch_add(1, Ordering::Relaxed);
}

fn install() {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = count;
    // SAFETY: all zeros is a `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler has the signature its flag says, and only adds to an atomic.
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) }, 0);
}

fn raise() {
    // SAFETY: the handler, `count` in the end, returns.
    assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0);
}

#[test]
fn earlier_handler_gets_what_is_not_guarded_and_only_that() {
    install();
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: a new map at an address of the kernel's choice.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    file.set_len(0).unwrap();

    let range = page.addr()..page.addr() + 4096;
    let work = || {
        raise();
        // SAFETY: mapped; that its file is gone is the guard's business.
        unsafe { page.cast::<u8>().read_volatile() }
    };
    // SAFETY: the range is the map made above, and nobody else knows it.
    let result = unsafe { svala_software::guarded(std::slice::from_ref(&range), work) };
    assert_eq!(result.unwrap_err().addr, range.start);
    assert_eq!(SEEN.load(Ordering::Relaxed), 1, "the signal that was sent, not the fault");

    raise();
    assert_eq!(SEEN.load(Ordering::Relaxed), 2);
}
