//! The process's `SIGBUS` handler.

use std::ffi::{c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{sigaction, siginfo_t};

use super::{page, replace_guarded};

/// "Nonexistent physical address": how a page without file is reported (`asm-generic/siginfo.h`).
const BUS_ADRERR: c_int = 2;

/// What handled the signal before us. Never freed: a handler may be in it at any time.
static PREVIOUS: AtomicPtr<sigaction> = AtomicPtr::new(ptr::null_mut());

/// Installs the handler, once in the life of the process.
pub(super) fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        page::bytes();
        // Known before ours can be called, and once more for whoever came in between.
        remember(exchange(None));
        remember(exchange(Some(&ours())));
    });
}

fn remember(previous: sigaction) {
    PREVIOUS.store(Box::into_raw(Box::new(previous)), Ordering::Release);
}

/// On the alternate stack where the thread has one, interrupting no system call for good, and not interrupted by
/// another `SIGBUS`.
fn ours() -> sigaction {
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_sigbus;
    with_handler(handler as usize, libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART)
}

fn with_handler(handler: usize, flags: c_int) -> sigaction {
    // SAFETY: all zeros is a `sigaction`: integers, an empty set of signals, and no restorer.
    let mut action: sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

/// Sets the action for `SIGBUS`, if one is given, and returns the one before.
fn exchange(action: Option<&sigaction>) -> sigaction {
    let mut before = MaybeUninit::uninit();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `action` is null or an action whose handler is a function of the kind its flags say.
    let result = unsafe { libc::sigaction(libc::SIGBUS, action, before.as_mut_ptr()) };
    assert_eq!(result, 0, "the kernel refuses an action for SIGBUS");
    // SAFETY: the call succeeded, so it has written it.
    unsafe { before.assume_init() }
}

/// Replaces the page if it is guarded on this thread, and otherwise passes the signal on.
extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let errno = nix::errno::Errno::last_raw();
    if !vanished(info) {
        pass_on(signal, info, context);
    }
    nix::errno::Errno::set_raw(errno);
}

fn vanished(info: *const siginfo_t) -> bool {
    // SAFETY: the kernel hands a handler with `SA_SIGINFO` a `siginfo_t`.
    let info = unsafe { &*info };
    if info.si_code != BUS_ADRERR {
        return false;
    }
    // SAFETY: a `SIGBUS` with this code comes from a memory access, and has its address.
    let addr = unsafe { info.si_addr() };
    replace_guarded(addr.addr())
}

/// Does what the process did before, or what it does by default.
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: set before the handler was installed, and what it points to is never freed or changed.
    let previous = unsafe { &*PREVIOUS.load(Ordering::Acquire) };
    // SAFETY: as above.
    let code = unsafe { (*info).si_code };
    match previous.sa_sigaction {
        // Only a signal that somebody sent can be ignored: the instruction that faulted would fault for ever.
        libc::SIG_IGN if code <= 0 => {}
        libc::SIG_DFL | libc::SIG_IGN => end_process(),
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: installed with this flag, so it has this signature.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                unsafe { mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: installed without the flag, so it has this signature.
            let handler: extern "C" fn(c_int) = unsafe { mem::transmute(handler) };
            handler(signal);
        }
    }
}

/// Ends the process as the default action does, once the handler has returned and the signal is no longer blocked.
fn end_process() {
    exchange(Some(&with_handler(libc::SIG_DFL, 0)));
    // SAFETY: raises the signal whose default action was just restored.
    unsafe { libc::raise(libc::SIGBUS) };
}
