//! Portals without hardware: pipes and files stand in for device nodes, ordinary memory for the portal's page.
//!
//! UNSAFETY: forks, and ends the child.
#![expect(unsafe_code, reason = "fork has no safe form")]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use idxd_spec::{Descriptor, DstAddr, SrcAddr};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use svala::backend::{Completion, Kind};
use svala_idxd::{
    Accepted, HardwarePortal, Method, MethodChoice, Movdir64b, Movdir64bPortal, NoWay, Portal, WritePortal,
    WriteReason,
};

fn descriptor(number: u32) -> Descriptor {
    let at = u64::from(number) << 12;
    Descriptor::memmove(SrcAddr(at), DstAddr(at + 64), number + 1).with_completion(at + 128)
}

/// The reading end, and a portal over the writing end, which does not block and holds one page.
fn pipe() -> (File, WritePortal) {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
    let room = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    assert_eq!(room, 4096);
    let portal = WritePortal::new(writer.into()).map_err(|(error, _)| error).unwrap();
    (reader.into(), portal)
}

fn read_one(reader: &mut File) -> [u8; 64] {
    let mut bytes = [0; 64];
    reader.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn write_sends_64_bytes_a_descriptor_in_order() {
    let (mut reader, portal) = pipe();
    assert_eq!((portal.kind(), portal.completion()), (Kind::Hardware, Completion::Polled));
    for number in 0..10 {
        assert_eq!(portal.submit(&descriptor(number)), Accepted::Yes);
    }
    for number in 0..10 {
        assert!(read_one(&mut reader) == *descriptor(number).as_bytes(), "descriptor {number}");
    }
    assert_eq!(reader.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_full_queue_answers_retry_and_takes_more_later() {
    let (mut reader, portal) = pipe();
    let taken = (0..1000).take_while(|&number| portal.submit(&descriptor(number)) == Accepted::Yes).count();
    assert_eq!(taken, 4096 / 64);
    assert!(portal.refusal().is_none(), "being full is no refusal");
    for number in 0..64 {
        assert!(read_one(&mut reader) == *descriptor(number).as_bytes());
    }
    assert_eq!(portal.submit(&descriptor(64)), Accepted::Yes);
    assert!(read_one(&mut reader) == *descriptor(64).as_bytes());
}

#[test]
fn a_short_write_says_how_many_went() {
    let (mut reader, portal) = pipe();
    let all: Vec<_> = (0..100).map(descriptor).collect();
    assert_eq!(portal.submit_all(&all), 64);
    assert!(portal.refusal().is_none());
    for one in &all[..64] {
        assert!(read_one(&mut reader) == *one.as_bytes());
    }
    assert_eq!(portal.submit_all(&all[64..]), 36);
    assert_eq!(portal.submit_all(&all[..1]), 1);
    assert_eq!(portal.submit_all(&[]), 0);
}

/// Half a descriptor would shift every later one. A file that cannot grow takes what fits, wherever that ends.
#[test]
fn after_a_torn_descriptor_nothing_more_is_written() {
    let mut file = File::from(memfd_create("queue", MFdFlags::MFD_ALLOW_SEALING).unwrap());
    file.set_len(4096).unwrap();
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
    file.seek(SeekFrom::Start(32)).unwrap();
    let portal = WritePortal::new(file.try_clone().unwrap()).map_err(|(error, _)| error).unwrap();
    let all: Vec<_> = (0..100).map(descriptor).collect();
    assert_eq!(portal.submit_all(&all), 63);
    assert_eq!(portal.refusal().and_then(|error| error.raw_os_error()), Some(libc::EIO));
    // The two share one position: there would be room again.
    file.seek(SeekFrom::Start(0)).unwrap();
    assert_eq!(portal.submit(&descriptor(0)), Accepted::Retry);
    assert_eq!(file.stream_position().unwrap(), 0);
}

#[test]
fn a_lasting_refusal_is_kept() {
    let (reader, portal) = pipe();
    drop(reader);
    assert_eq!(portal.submit(&descriptor(1)), Accepted::Retry);
    assert_eq!(portal.refusal().and_then(|error| error.raw_os_error()), Some(libc::EPIPE));
}

/// An eventfd answers `EINVAL` to a write of no bytes, as a driver does that has no `write`.
fn node_without_write() -> File {
    let node = nix::sys::eventfd::EventFd::new().unwrap();
    std::os::fd::OwnedFd::from(node).into()
}

#[test]
fn a_driver_without_write_is_found_before_the_first_job() {
    let Err((error, _node)) = WritePortal::new(node_without_write()) else { panic!("it has no write") };
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    let error = HardwarePortal::new(node_without_write(), false, MethodChoice::Auto).unwrap_err();
    let NoWay { mapped, written } = &error;
    assert!(
        mapped.is_some() && written.as_ref().is_some_and(|error| error.raw_os_error() == Some(libc::EINVAL))
    );
    assert!(error.to_string().contains("write(2): Invalid argument"), "{error}");
}

/// A file of one page that stands in for a portal.
fn page() -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    file
}

/// A dedicated queue on a page of memory; what this CPU cannot do must then be said.
fn dedicated(file: &File) -> Option<HardwarePortal> {
    let portal = HardwarePortal::new(file.try_clone().unwrap(), true, MethodChoice::Auto).unwrap();
    if Movdir64b::detect().is_some() {
        assert_eq!((portal.method(), portal.write_reason()), (Method::Movdir64b, None));
        return Some(portal);
    }
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    assert!(!cpu.contains(" movdir64b"), "the kernel sees an instruction that CPUID does not show");
    assert_eq!(portal.write_reason(), Some(WriteReason::NoInstruction { instruction: Method::Movdir64b }));
    None
}

/// The instruction itself, on this CPU if it has it.
#[test]
fn movdir64b_writes_whole_descriptors_to_all_64_places_in_turn() {
    let file = page();
    let Some(portal) = dedicated(&file) else { return };
    for number in 0..64 {
        assert_eq!(portal.submit(&descriptor(number)), Accepted::Yes);
    }
    let mut bytes = vec![0; 4096];
    file.read_exact_at(&mut bytes, 0).unwrap();
    // Which place comes first is the thread's business.
    let first = bytes.chunks(64).position(|slot| *slot == *descriptor(0).as_bytes()).expect("the first");
    for number in 0..64_usize {
        let slot = (first + number) % 64 * 64;
        let expected = descriptor(u32::try_from(number).unwrap());
        assert!(bytes[slot..slot + 64] == *expected.as_bytes(), "place {slot:#x}");
    }
    assert_eq!(portal.submit(&descriptor(1000)), Accepted::Yes);
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes[first * 64..][..64] == *descriptor(1000).as_bytes(), "the 65th is where the first was");
}

/// The kernel leaves the page out of a child, which would be a crash at the first job.
#[test]
fn a_forked_child_writes_to_no_portal() {
    let file = page();
    let Some(portal) = dedicated(&file) else { return };
    // SAFETY: the child calls nothing but `submit`, which takes no lock and allocates nothing, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = i32::from(portal.submit(&descriptor(7)) == Accepted::Yes);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(status) };
    }
    let mut status = -1;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
    let mut bytes = vec![0; 4096];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0), "the child wrote");
    assert_eq!(portal.submit(&descriptor(7)), Accepted::Yes);
}

/// Memory that answers `EPERM` to a writable map, as the idxd driver does without `CAP_SYS_RAWIO`.
fn unmappable() -> File {
    let file = File::from(memfd_create("portal", MFdFlags::MFD_ALLOW_SEALING).unwrap());
    file.set_len(4096).unwrap();
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
    file
}

#[test]
fn a_map_that_is_refused_falls_to_write_and_says_so() {
    let Some(cpu) = Movdir64b::detect() else {
        assert!(dedicated(&page()).is_none());
        return;
    };
    let (error, _node) = Movdir64bPortal::map(unmappable(), cpu).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));

    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let portal = tracing::subscriber::with_default(subscriber, || {
        HardwarePortal::new(unmappable(), true, MethodChoice::Auto).unwrap()
    });
    assert_eq!(portal.method(), Method::Write);
    assert_eq!(portal.write_reason(), Some(WriteReason::MapRefused { errno: libc::EPERM }));
    assert!(portal.to_string().contains("needs CAP_SYS_RAWIO"), "{portal}");
    let log = log.text();
    assert!(log.contains("WARN") && log.contains("write(2)") && log.contains("CAP_SYS_RAWIO"), "{log}");

    let error = HardwarePortal::new(unmappable(), true, MethodChoice::Mapped).unwrap_err();
    assert_eq!(error.mapped, Some(WriteReason::MapRefused { errno: libc::EPERM }));
    assert!(error.written.is_none());
}

#[test]
fn write_can_be_asked_for() {
    for dedicated in [false, true] {
        let portal = HardwarePortal::new(page(), dedicated, MethodChoice::Write).unwrap();
        assert_eq!((portal.method(), portal.write_reason()), (Method::Write, Some(WriteReason::Chosen)));
    }
}

/// What a subscriber wrote.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
