//! A work queue, without the runtime: descriptors go in, records come out.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use idxd_spec::{Descriptor, DstAddr, SrcAddr};
use svala_idxd::{Accepted, HardwarePortal, MethodChoice, Portal as _};

use crate::map::{Map, PAGE};

/// The longest wait for anything: an emulated CPU on a busy machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// `DSA_COMP_SUCCESS`, as uapi has it.
pub(crate) const SUCCESS: u8 = 0x01;
/// `DSA_COMP_PAGE_FAULT_NOBOF`: the device did not wait for the page.
pub(crate) const PAGE_FAULT: u8 = 0x03;
/// `DSA_COMP_PAGE_FAULT_IR`: it waited, and was told that there is none.
pub(crate) const PAGE_REFUSED: u8 = 0x04;
/// `DSA_COMP_STATUS_WRITE`: it wanted to write.
pub(crate) const WRITE: u8 = 0x80;

/// An open work queue.
#[derive(Debug)]
pub(crate) struct Queue {
    portal: HardwarePortal,
    pub(crate) name: String,
}

impl Queue {
    /// Opens `wq0.1` or `dsa0/wq0.1`, by the CPU's instruction if that may be.
    pub(crate) fn open(name: &str) -> Result<Self> {
        Self::open_by(name, MethodChoice::Auto)
    }

    pub(crate) fn open_by(name: &str, method: MethodChoice) -> Result<Self> {
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        let node = ["/dev/dsa", "/dev/iax"].map(|directory| PathBuf::from(directory).join(&name));
        let node = node.iter().find(|node| node.exists()).with_context(|| format!("{name} has no node"))?;
        let mode = fs::read_to_string(format!("/sys/bus/dsa/devices/{name}/mode")).context("mode")?;
        let file = open_when_free(node).with_context(|| format!("{node:?}"))?;
        let portal = HardwarePortal::new(file, mode.trim() == "dedicated", method)?;
        Ok(Self { portal, name })
    }

    /// How descriptors get there.
    pub(crate) fn way(&self) -> String {
        format!("{} by {}", self.name, self.portal)
    }

    /// One try.
    pub(crate) fn offer(&self, descriptor: &Descriptor) -> bool {
        self.portal.submit(descriptor) == Accepted::Yes
    }

    /// Tries until it is taken; how often it was not.
    pub(crate) fn submit(&self, descriptor: &Descriptor) -> Result<u64> {
        let started = Instant::now();
        let mut refusals = 0;
        while !self.offer(descriptor) {
            refusals += 1;
            ensure!(started.elapsed() < PATIENCE, "{}: refused {refusals} times", self.name);
            std::thread::yield_now();
        }
        Ok(refusals)
    }

    /// Submits, and waits for the record.
    pub(crate) fn run(&self, descriptor: Descriptor, record: &Record) -> Result<Answer> {
        self.submit(&descriptor.with_completion(record.prepare()))?;
        record.wait()
    }

    /// Copies, as a device that waits for pages does it.
    pub(crate) fn copy(&self, src: u64, dst: u64, len: usize, record: &Record) -> Result<Answer> {
        self.run(copy(src, dst, len).with_block_on_fault(), record)
    }
}

/// The process that had a dedicated queue before is over, but the kernel may still be clearing up behind it.
fn open_when_free(node: &Path) -> io::Result<File> {
    let started = Instant::now();
    loop {
        match OpenOptions::new().read(true).write(true).open(node) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && started.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            other => return other,
        }
    }
}

/// A copy.
pub(crate) fn copy(src: u64, dst: u64, len: usize) -> Descriptor {
    Descriptor::memmove(SrcAddr(src), DstAddr(dst), u32::try_from(len).unwrap_or(u32::MAX))
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u8,
    pub(crate) bytes_completed: u32,
    pub(crate) fault_addr: u64,
}

impl Answer {
    /// Fails unless the status is this one.
    pub(crate) fn expect(self, status: u8) -> Result<Self> {
        ensure!(self.status == status, "status {:#04x} and not {status:#04x}: {self:x?}", self.status);
        Ok(self)
    }
}

/// Memory for a completion record.
#[derive(Debug)]
pub(crate) struct Record {
    map: Map,
}

impl Record {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { map: Map::filled(PAGE, |_| 0)? })
    }

    /// Without a page: nobody may look at it before the device has written.
    pub(crate) fn cold() -> Result<Self> {
        Ok(Self { map: Map::cold(PAGE)? })
    }

    pub(crate) const fn map(&self) -> &Map {
        &self.map
    }

    /// Its address, cleared.
    pub(crate) fn prepare(&self) -> u64 {
        self.map.write(0, &[0; 64]);
        self.map.at(0)
    }

    /// Whether the device has written.
    pub(crate) fn is_written(&self) -> bool {
        self.map.load(0) != 0
    }

    /// What the device wrote, once it has.
    pub(crate) fn wait(&self) -> Result<Answer> {
        let started = Instant::now();
        while !self.is_written() {
            if started.elapsed() > PATIENCE {
                bail!("no answer within {PATIENCE:?}");
            }
            std::thread::yield_now();
        }
        Ok(self.answer())
    }

    fn answer(&self) -> Answer {
        let bytes = self.map.read(0, 32);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        // `struct dsa_completion_record`: status, result, two reserved; bytes_completed; fault_addr.
        Answer {
            status: bytes[0],
            bytes_completed: u32::from_le_bytes(bytes[4..8].try_into().unwrap_or_default()),
            fault_addr: word(8),
        }
    }
}
