//! Tiers of memory: the arena, registered buffers, everything else.

use std::sync::Arc;

use qat_emu::{DeviceConfig, Model};
use svala::{Check, DeflateOptions, IoBuf as _, block_on};
use svala_qat::{EmulatedFunction, Error, QatQueue, Registered, VirtualFunction};

use crate::support::{Machine, inflate, settings, stream, text};

const HOW: DeflateOptions = DeflateOptions { level: 1, last: true, check: Check::None };

/// A buffer of whole pages.
fn pages(len: usize) -> svala::FileMapMut {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(len as u64).expect("a size");
    svala::FileMapMut::range(&file, 0, len as u64).expect("a map")
}

#[test]
fn registered_buffers_are_used_in_place_and_come_back() {
    let machine = Machine::of(Model::Gen4);
    let data = text(1 << 20, 2);
    let mut map = pages(1 << 20);
    svala::IoBufMut::bytes_mut(&mut map).copy_from_slice(&data);
    let src = Registered::new(&machine.arena, map).expect("registers");
    let dst = Registered::new(&machine.arena, pages(1 << 20)).expect("registers");
    let span = src.span();
    assert!(machine.function.device().is_mapped(span.addr.get(), span.len));
    let done = block_on(machine.runtime.deflate(src, dst, HOW)).expect("compresses");
    assert_eq!(inflate(stream(&done)), data);
    assert_eq!(machine.function.device().stats().requests, 1, "one part: nothing was copied");
    let (src, dst) = done.buffers;
    let back = src.into_inner().expect("taken back");
    assert_eq!(back.bytes(), data);
    assert!(!machine.function.device().is_mapped(span.addr.get(), span.len));
    let span = dst.span();
    drop(dst);
    assert!(!machine.function.device().is_mapped(span.addr.get(), span.len));
    machine.assert_clean();
}

#[test]
fn what_is_not_whole_pages_is_given_back() {
    let machine = Machine::of(Model::Gen4);
    let failed = Registered::new(&machine.arena, vec![7_u8; 100]).expect_err("a hundred bytes");
    assert!(matches!(failed.error, Error::NotPages { .. }), "{failed}");
    assert_eq!(failed.buffer, vec![7; 100]);
}

#[test]
fn the_arena_gives_what_it_has_and_takes_it_back() {
    let machine = Machine::of(Model::Gen4);
    let free = machine.arena.free_bytes();
    let buffers: Vec<_> = std::iter::from_fn(|| machine.arena.allocate(1 << 20).ok()).collect();
    assert!(!buffers.is_empty() && machine.arena.free_bytes() < 1 << 20);
    let error = machine.arena.allocate(1 << 20).expect_err("full");
    assert!(matches!(error, Error::ArenaFull { .. }), "{error}");
    drop(buffers);
    assert_eq!(machine.arena.free_bytes(), free);
    let mut again = machine.arena.allocate(10_000).expect("room");
    assert!(again.iter().all(|byte| *byte == 0), "zero, whoever had it before");
    again[0] = 1;
}

/// An IOMMU of 39 bits does not map what `malloc` gives, but the arena lies where it does.
#[test]
fn the_arena_is_within_a_narrow_aperture() {
    for bits in [39, 48] {
        let function = EmulatedFunction::start(DeviceConfig::default()).expect("a device");
        let function = Arc::new(function.with_aperture(vec![0..=(1 << bits) - 1]));
        let queue =
            QatQueue::open(Arc::clone(&function) as Arc<dyn VirtualFunction>, settings()).expect("opens");
        let arena = queue.arena();
        let mut buffer = arena.allocate(5000).expect("room");
        assert!(buffer.span().end().get() <= 1 << bits, "{:#x}", buffer.span().addr);
        buffer.copy_from_slice(&text(5000, 1));
        let runtime = svala::Runtime::builder().queue(queue).build().expect("a runtime");
        let done =
            block_on(runtime.deflate(buffer, arena.allocate(8000).expect("room"), HOW)).expect("compresses");
        assert_eq!(inflate(stream(&done)), text(5000, 1));
        if bits == 39 {
            let map = pages(4096);
            assert!(map.span().addr.get() >> bits != 0, "the kernel maps high");
            let failed = Registered::new(&arena, map).expect_err("outside the aperture");
            assert!(matches!(failed.error, Error::Map { .. }), "{failed}");
        }
    }
}

#[test]
fn no_place_in_the_aperture_is_an_error() {
    let function = EmulatedFunction::start(DeviceConfig::default()).expect("a device");
    let function = Arc::new(function.with_aperture(vec![0..=0xffff]));
    let error = QatQueue::open(function, settings()).expect_err("64 KiB are not enough");
    assert!(matches!(error, Error::Aperture { .. }), "{error}");
}

/// The pages of the arena do not exist in a child: the kernel says so of the mapping.
#[test]
fn children_do_not_inherit_the_arena() {
    let machine = Machine::of(Model::Gen4);
    let buffer = machine.arena.allocate(4096).expect("room");
    let at = buffer.span().addr.get();
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
    let mut inside = false;
    let mut flags = None;
    for line in smaps.lines() {
        if let Some((range, _)) = line.split_once(' ')
            && let Some((from, to)) = range.split_once('-')
            && let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
        {
            inside = from <= at && at < to;
        }
        if inside && let Some(rest) = line.strip_prefix("VmFlags:") {
            flags = Some(rest.to_owned());
        }
    }
    let flags = flags.expect("the mapping of the arena");
    assert!(flags.split_whitespace().any(|flag| flag == "dc"), "{flags}");
}

#[test]
fn memory_outlives_the_queue() {
    let machine = Machine::of(Model::Gen4);
    let mut buffer = machine.arena.allocate(4096).expect("room");
    drop(machine);
    buffer.fill(9);
    assert!(buffer.iter().all(|byte| *byte == 9));
}

/// The function's address space is the parent's: a child that drops what it inherited takes nothing away.
#[test]
#[expect(unsafe_code, reason = "fork")]
fn a_child_takes_nothing_away_from_its_parent() {
    let machine = Machine::of(Model::Gen4);
    let registered = Registered::new(&machine.arena, pages(8192)).expect("registers");
    let span = registered.span();
    // SAFETY: the child calls no more than what takes no lock that another thread could hold: the device is idle.
    match unsafe { nix::unistd::fork() }.expect("a child") {
        nix::unistd::ForkResult::Child => {
            drop(registered);
            let is_kept = machine.function.device().is_mapped(span.addr.get(), span.len);
            let is_refused = matches!(machine.arena.allocate(100), Err(Error::Forked { .. }));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(if is_kept && is_refused { 0 } else { 1 }) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            let status = nix::sys::wait::waitpid(child, None).expect("it ends");
            assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
        }
    }
    drop(registered);
    assert!(!machine.function.device().is_mapped(span.addr.get(), span.len));
}
