//! Real memory for operations on the emulated device, and a way to stop one at a page: the page belongs to a
//! userfaultfd, so that populating it waits in the kernel until the test says go on. What the test does to the memory
//! meanwhile happens under a running operation, each time at the same place.
//!
//! UNSAFETY: maps, unmaps and protects memory of the tests, and lends it to the device by address.
#![expect(unsafe_code, reason = "memory in states that no buffer has")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::mpsc;
use std::time::Duration;

use pollster::block_on;
use svala::{
    Access, Config, Done, Error, Failed, FaultPolicy, Job, Report, ResolverChoice, Runtime, VirtAddr,
};
use svala_idxd::{Emulated, EmulatedConfig};

pub const PAGE: usize = 4096;
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Says what was not run and why, past the harness that would keep it to itself.
pub fn not_run(what: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {what}");
}

/// A runtime over an emulated DSA with two engines. What is to be stopped in the middle is one descriptor.
pub fn runtime(change: impl FnOnce(&mut Config)) -> Runtime {
    in_parts(2 << 20, change)
}

/// The same with parts of so many bytes.
pub fn in_parts(parallel_part_bytes: u32, change: impl FnOnce(&mut Config)) -> Runtime {
    let config = EmulatedConfig { engines: 2, parallel_part_bytes, ..EmulatedConfig::default() };
    let queue = Emulated::dsa(config).expect("starts");
    Runtime::builder().queue(queue).config(change).build().expect("a thread and an eventfd")
}

/// Every way to handle faults that can end well, and both who populate.
pub fn ways() -> impl Iterator<Item = (FaultPolicy, ResolverChoice)> {
    [
        (FaultPolicy::Resolve, ResolverChoice::Auto),
        (FaultPolicy::Resolve, ResolverChoice::Threads),
        (FaultPolicy::Prefetch, ResolverChoice::Auto),
        (FaultPolicy::BlockOnFault, ResolverChoice::Auto),
        (FaultPolicy::Auto, ResolverChoice::Auto),
    ]
    .into_iter()
}

pub fn runtime_as((policy, resolver): (FaultPolicy, ResolverChoice)) -> Runtime {
    runtime(|config| {
        config.faults = policy;
        config.resolver = resolver;
    })
}

/// A mapping of the test's own.
#[derive(Debug)]
pub struct Area {
    start: *mut u8,
    len: usize,
}

// SAFETY: an address and a length; what is done with them is each method's affair.
unsafe impl Send for Area {}
// SAFETY: as above: nothing in it changes.
unsafe impl Sync for Area {}

impl Area {
    /// Maps `pages` pages, of `file` if there is one.
    pub fn map(pages: usize, prot: i32, flags: i32, file: Option<&File>) -> std::io::Result<Self> {
        let len = pages * PAGE;
        let fd = file.map_or(-1, AsRawFd::as_raw_fd);
        // SAFETY: a new mapping, wherever the kernel likes.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, prot, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }

    /// Private anonymous memory in small pages, none of them present.
    pub fn cold(pages: usize) -> Self {
        let area = Self::map(pages, RW, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, None).expect("maps");
        // A kernel without huge pages refuses, and needs no advice.
        let _ = area.advise(0, pages, libc::MADV_NOHUGEPAGE);
        area
    }

    /// The same with bytes that differ from page to page, present.
    pub fn warm(pages: usize, seed: u64) -> Self {
        let area = Self::cold(pages);
        area.write(0, &noise(pages * PAGE, seed));
        area
    }

    pub fn pages(&self) -> usize {
        self.len / PAGE
    }

    pub fn addr(&self, page: usize) -> VirtAddr {
        VirtAddr::of(self.at(page).cast_const())
    }

    pub fn at(&self, page: usize) -> *mut u8 {
        self.start.wrapping_add(page * PAGE)
    }

    pub fn advise(&self, page: usize, pages: usize, advice: i32) -> std::io::Result<()> {
        // SAFETY: of the test's own mapping, to which no reference exists.
        answer(unsafe { libc::madvise(self.at(page).cast(), pages * PAGE, advice) })
    }

    pub fn protect(&self, page: usize, pages: usize, prot: i32) {
        // SAFETY: as above.
        answer(unsafe { libc::mprotect(self.at(page).cast(), pages * PAGE, prot) }).expect("protects");
    }

    pub fn unmap(&self, page: usize, pages: usize) {
        // SAFETY: as above; a hole in it does no harm when the rest is unmapped.
        answer(unsafe { libc::munmap(self.at(page).cast(), pages * PAGE) }).expect("unmaps");
    }

    /// Moves pages to a place of the kernel's choice.
    pub fn relocate(&self, page: usize, pages: usize, flags: i32) -> std::io::Result<Self> {
        let len = pages * PAGE;
        // SAFETY: as above.
        let moved = unsafe { libc::mremap(self.at(page).cast(), len, len, libc::MREMAP_MAYMOVE | flags) };
        if moved == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self { start: moved.cast(), len })
    }

    /// Copies bytes in, through the CPU.
    pub fn write(&self, page: usize, bytes: &[u8]) {
        assert!(page * PAGE + bytes.len() <= self.len);
        // SAFETY: within the mapping (asserted), and not part of `bytes`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(page), bytes.len()) };
    }

    /// Copies bytes out, through the CPU.
    pub fn read(&self, page: usize, pages: usize) -> Vec<u8> {
        assert!((page + pages) * PAGE <= self.len);
        let mut bytes = vec![0; pages * PAGE];
        // SAFETY: within the mapping (asserted), and not part of `bytes`.
        unsafe { ptr::copy_nonoverlapping(self.at(page).cast_const(), bytes.as_mut_ptr(), bytes.len()) };
        bytes
    }

    /// Pages present, by `mincore`.
    pub fn present(&self) -> usize {
        let mut pages = vec![0_u8; self.pages()];
        // SAFETY: one byte for each page of the mapping.
        answer(unsafe { libc::mincore(self.start.cast(), self.len, pages.as_mut_ptr()) }).expect("mapped");
        pages.iter().filter(|page| **page & 1 != 0).count()
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the test's own mapping, to which no reference exists. Holes do no harm.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

pub const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

pub fn answer(answer: i32) -> std::io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A file in memory.
pub fn memfd(pages: usize) -> File {
    // SAFETY: a name that ends in zero.
    let fd = unsafe { libc::memfd_create(c"svala-test".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "memfd_create: {}", std::io::Error::last_os_error());
    // SAFETY: just opened, and nobody else has it.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len((pages * PAGE) as u64).expect("room");
    file
}

/// Bytes without a pattern, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// How a raw operation ended.
pub type Ended = Result<(Done, Report), Failed<()>>;

/// Copies `pages` pages from `src` to `dst`, both of which outlive the call.
pub fn copy(runtime: &Runtime, src: &Area, dst: &Area, pages: usize) -> Ended {
    let job = Job::Copy { src: src.addr(0), dst: dst.addr(0), len: (pages * PAGE) as u64 };
    // SAFETY: the areas live until the copy has ended; what happens to their memory meanwhile is what is tested, and no
    // reference to it exists.
    block_on(unsafe { runtime.submit_raw(job) })
}

/// Asserts that an operation ended in a fault on page `page` of `area`, after everything before it.
pub fn faulted(ended: &Ended, area: &Area, page: usize, access: Access, name: &str) {
    let Err(failed) = ended else { panic!("{name}: {ended:?}") };
    match failed.error {
        Error::Fault { addr, access: found, done, .. } => {
            assert_eq!((addr.page(), found), (area.addr(page), access), "{name}: {}", failed.error);
            assert_eq!(done, (page * PAGE) as u64, "{name}");
        }
        _ => panic!("{name}: {}", failed.error),
    }
}

/// A userfaultfd on some pages: populating them waits until they are supplied.
pub struct Gate {
    fd: OwnedFd,
}

/// `linux/userfaultfd.h`.
mod uffd {
    pub const API: u64 = 0xaa;
    pub const USER_MODE_ONLY: i32 = 1;

    #[repr(C)]
    #[derive(Default)]
    pub struct Api {
        pub api: u64,
        pub features: u64,
        pub ioctls: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    pub struct Register {
        pub start: u64,
        pub len: u64,
        pub mode: u64,
        pub ioctls: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    pub struct Copy {
        pub dst: u64,
        pub src: u64,
        pub len: u64,
        pub mode: u64,
        pub copied: i64,
    }
    nix::ioctl_readwrite!(api, 0xaa, 0x3f, Api);
    nix::ioctl_readwrite!(register, 0xaa, 0x00, Register);
    nix::ioctl_readwrite!(copy, 0xaa, 0x03, Copy);
}

impl Gate {
    /// On `pages` pages of `area`, none of which is present. `None` where the kernel lets this process have no
    /// userfaultfd that sees faults of the kernel's own.
    pub fn on(area: &Area, page: usize, pages: usize) -> Option<Self> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        // SAFETY: just opened, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut api = uffd::Api { api: uffd::API, ..uffd::Api::default() };
        // SAFETY: the structure this request takes.
        unsafe { uffd::api(fd.as_raw_fd(), &raw mut api) }.ok()?;
        let (start, len) = (area.addr(page).get(), (pages * PAGE) as u64);
        let mut register = uffd::Register { start, len, mode: 1, ..uffd::Register::default() };
        // SAFETY: as above.
        unsafe { uffd::register(fd.as_raw_fd(), &raw mut register) }.expect("registers");
        Some(Self { fd })
    }

    /// Waits until somebody wants a page, and says which.
    pub fn wait(&self) -> u64 {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = i32::try_from(DEADLINE.as_millis()).expect("a minute");
        // SAFETY: one structure.
        let ready = unsafe { libc::poll(&raw mut poll, 1, timeout) };
        assert_eq!(ready, 1, "nobody has come to the gate");
        let mut event = [0_u64; 4];
        // SAFETY: 32 bytes for one event of 32 bytes.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), event.as_mut_ptr().cast(), 32) };
        assert_eq!((read, event[0] & 0xff), (32, 0x12), "a page fault");
        event[2] & !(PAGE as u64 - 1)
    }

    /// Whether somebody wants a page within a short while; for handlers that serve until they are told to stop.
    pub fn wait_briefly(&self) -> Option<u64> {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 20) };
        (ready == 1).then(|| self.wait())
    }

    /// Supplies a page of `bytes` at `addr`, and lets those who wait for it go on.
    pub fn supply(&self, addr: u64, bytes: &[u8; PAGE]) {
        let mut copy = uffd::Copy {
            dst: addr,
            src: bytes.as_ptr().expose_provenance() as u64,
            len: PAGE as u64,
            ..uffd::Copy::default()
        };
        // SAFETY: the structure this request takes; `bytes` lives until the call has returned.
        let answer = unsafe { uffd::copy(self.fd.as_raw_fd(), &raw mut copy) };
        // Somebody else may have been quicker.
        assert!(matches!(answer, Ok(_) | Err(nix::errno::Errno::EEXIST)), "{answer:?}");
    }
}

/// The pages of a copy that is interrupted, and where the gate is: the copy has done 4 pages when it comes there.
pub const PAGES: usize = 40;
pub const GATE: usize = 8;

/// Copies [`PAGES`] pages from `src` to `dst`, of which [`GATE`] is not present; `act` happens when the copy has come to
/// that page. Without a userfaultfd it happens before, and that is said.
pub fn copy_interrupted(runtime: &Runtime, src: &Area, dst: &Area, act: impl FnOnce()) -> Ended {
    let Some(gate) = Gate::on(dst, GATE, 1) else {
        not_run(
            "under a running operation: no userfaultfd to be had. The memory is changed before it instead",
        );
        act();
        return copy(runtime, src, dst, PAGES);
    };
    let (told, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let outcome = copy(runtime, src, dst, PAGES);
            told.send(outcome).expect("the test waits");
        });
        let page = gate.wait();
        assert_eq!(page, dst.addr(GATE).get());
        act();
        gate.supply(page, &[0; PAGE]);
        ended.recv_timeout(DEADLINE).expect("the copy ends")
    })
}

/// A source that is there and a destination that is not.
pub struct Copy {
    pub runtime: Runtime,
    pub src: Area,
    pub dst: Area,
    pub name: String,
}

/// One for each way to handle faults.
pub fn copies() -> impl Iterator<Item = Copy> {
    ways().map(|way| Copy {
        runtime: runtime_as(way),
        src: Area::warm(PAGES, 7),
        dst: Area::cold(PAGES),
        name: format!("{way:?}"),
    })
}

impl Copy {
    /// Runs it; `act` happens in the middle.
    pub fn run(&self, act: impl FnOnce()) -> Ended {
        copy_interrupted(&self.runtime, &self.src, &self.dst, act)
    }

    /// The bytes up to page `page` are those of the source as it was.
    pub fn is_right_up_to(&self, page: usize) {
        assert!(self.dst.read(0, page) == noise(PAGES * PAGE, 7)[..page * PAGE], "{}", self.name);
    }

    /// The slot and the device are as good as new.
    pub fn goes_on(&self) {
        let (src, dst) = (Area::warm(3, 9), Area::cold(3));
        copy(&self.runtime, &src, &dst, 3).expect("copies");
        assert!(src.read(0, 3) == dst.read(0, 3), "{}", self.name);
    }
}
