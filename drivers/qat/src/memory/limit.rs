//! What a refusal to pin memory means.

use std::io;

use nix::sys::resource::{Resource, getrlimit};
use svala::Span;

use crate::error::Error;

/// The error for memory that cannot be mapped; with the limit and what it would have to be, if that is the reason.
pub(super) fn error(span: Span, source: io::Error) -> Error {
    if source.raw_os_error() != Some(libc::ENOMEM) {
        return Error::Map { span, source };
    }
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((limit, _)) => Error::MemoryLock { need: span.len, limit, locked: locked(), source },
        Err(_) => Error::Map { span, source },
    }
}

/// Bytes locked or pinned by this process, as far as the kernel says.
fn locked() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    (kib("VmLck:").unwrap_or(0) + kib("VmPin:").unwrap_or(0)) << 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use svala::VirtAddr;

    #[test]
    fn a_refusal_for_want_of_memory_says_limit_and_need() {
        let span = Span::new(VirtAddr::new(0x1000), 1 << 30);
        let error = error(span, io::Error::from_raw_os_error(libc::ENOMEM));
        let text = error.to_string();
        let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).expect("a limit");
        assert!(text.contains("RLIMIT_MEMLOCK") && text.contains(&limit.to_string()), "{text}");
        assert!(text.contains("1073741824"), "{text}");
        let other = super::error(span, io::Error::from_raw_os_error(libc::EEXIST));
        assert!(matches!(other, Error::Map { .. }), "{other}");
    }
}
