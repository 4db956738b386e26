//! Accesses to what is not mapped for the device: nothing is read or written, and the kernel says where it was tried.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use svala::IoBuf as _;
use svala_qat::Registered;

use super::edu::{BUFFER_BYTES, Edu};
use super::fixed::Fixed;
use super::node::{self, EDU};
use crate::Test;
use crate::map::PAGE;
use crate::queue::PATIENCE;

pub(crate) const TESTS: &[Test] = &[
    ("vfio_unmapped_memory_is_not_reached", |_| unmapped()),
    ("vfio_memory_that_was_taken_back_is_not_reached", |_| taken_back()),
];

/// As the kernel calls an access.
const READ: &str = "[DMA Read ";
const WRITE: &str = "[DMA Write ";

/// The kernel's log from now on.
struct Log {
    file: File,
    text: String,
}

impl Log {
    fn open() -> Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, text: String::new() })
    }

    /// Waits for the report of a fault of the device at an address.
    fn fault(&mut self, device: &str, access: &str, addr: u64) -> Result<()> {
        // It has the page.
        let parts = [access.to_owned(), format!("[{device}]"), format!("fault addr {:#x} ", addr & !0xfff)];
        let started = Instant::now();
        while !self.text.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
            ensure!(started.elapsed() < PATIENCE, "no {parts:?} in the kernel's log: {}", self.text);
            self.read()?;
        }
        Ok(())
    }

    /// Whether it has complained of the IOMMU.
    fn has_fault(&mut self) -> Result<bool> {
        self.read()?;
        Ok(self.text.contains("fault addr"))
    }

    /// One record a read.
    fn read(&mut self) -> Result<()> {
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(len) => self.text += &String::from_utf8_lossy(&record[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                    return Ok(());
                }
                // Records were overwritten before they were read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error).context("/dev/kmsg"),
            }
        }
    }
}

fn unmapped() -> Result<()> {
    let (edu, arena) = Edu::with_arena(1 << 20)?;
    let device = node::address(EDU)?;
    let mut log = Log::open()?;
    let mut good = arena.allocate(BUFFER_BYTES)?;
    let inside = good.span().addr.get();
    // Memory that the process has, at addresses that the IOMMU has, and that the device was not given.
    let end = inside & !((1 << 20) - 1);
    let mut foreign = Fixed::new(end - (1 << 30), 8 * PAGE)?;
    svala::IoBufMut::bytes_mut(&mut foreign).fill(0x22);
    let at = foreign.span().addr.get();
    for (round, addr) in [at, at + 0x5123].into_iter().enumerate() {
        good.fill(0x11);
        edu.load(inside, BUFFER_BYTES)?;
        edu.load(addr, 64)?;
        // What the device has then is its own affair, but it is not what is there.
        good.fill(0);
        edu.store(inside, BUFFER_BYTES)?;
        ensure!(good[64..].iter().all(|byte| *byte == 0x11), "more than was asked for was read");
        ensure!(good[..64].iter().all(|byte| *byte != 0x22), "memory was read that the device may not reach");
        edu.store(addr, 64)?;
        // The kernel names some faults and counts the others.
        if round == 0 {
            log.fault(&device, READ, addr)?;
            log.fault(&device, WRITE, addr)?;
        }
    }
    ensure!(
        foreign.bytes().iter().all(|byte| *byte == 0x22),
        "memory was written that the device may not reach"
    );
    println!("2 addresses that are not mapped, read and written: refused and reported; the device works on");
    Ok(())
}

fn taken_back() -> Result<()> {
    let (edu, arena) = Edu::with_arena(1 << 20)?;
    let mut log = Log::open()?;
    // A buffer of the arena stands in for one of somebody else's: within 39 bits there is no other.
    let page = arena.allocate(4 * PAGE)?;
    let at = page.span();
    let free = at.addr.get() - (1 << 30);
    let map = Fixed::new(free, 2 * PAGE)?;
    let registered = Registered::new(&arena, map).map_err(|failed| failed.error)?;
    let addr = registered.span().addr.get();
    edu.copy(at.addr.get(), addr, PAGE)?;
    ensure!(!log.has_fault()?, "a fault where memory is registered");
    let mut map = registered.into_inner().context("it was not taken back")?;
    svala::IoBufMut::bytes_mut(&mut map).fill(0x33);
    edu.store(addr, PAGE)?;
    ensure!(map.bytes().iter().all(|byte| *byte == 0x33), "the device wrote to memory that was taken back");
    println!("registered memory at {addr:#x}: reached, taken back, not reached");
    Ok(())
}
