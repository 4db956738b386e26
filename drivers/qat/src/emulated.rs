//! Emulated functions: a whole device, or one that answers at once.
//!
//! UNSAFETY: passes on promises about memory.
#![expect(unsafe_code, reason = "mapping memory for a device is a promise about it, also for a model")]

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};
use qat_emu::{Device, DeviceConfig, InstantDevice, Model};
use qat_spec::pfvf::VERSION;
use qat_spec::{Capabilities, Generation, RingMap, Service};
use svala::Span;
use svala::backend::Kind;

use crate::config::QatQueueConfig;
use crate::core::Core;
use crate::error::Error;
use crate::function::{Region, VirtualFunction};
use crate::pf::{Conversation, Greeting};
use crate::queue::QatQueue;

/// A queue on an emulated function.
///
/// # Errors
///
/// As [`QatQueue::open`], and [`Error::Emulated`].
pub fn emulated(
    device: DeviceConfig,
    config: QatQueueConfig,
) -> Result<(QatQueue, Arc<EmulatedFunction>), Error> {
    let function = Arc::new(EmulatedFunction::start(device)?);
    let queue = QatQueue::open(Arc::clone(&function) as Arc<dyn VirtualFunction>, config)?;
    Ok((queue, function))
}

/// A function of an emulated device.
#[derive(Debug)]
pub struct EmulatedFunction {
    device: Device,
    name: String,
    generation: Generation,
    aperture: Vec<RangeInclusive<u64>>,
}

impl EmulatedFunction {
    /// Starts a device. Its IOMMU has 48 bits, and the hole that x86 has for interrupts.
    ///
    /// # Errors
    ///
    /// [`Error::Emulated`].
    pub fn start(config: DeviceConfig) -> Result<Self, Error> {
        let name = config.name.clone();
        let generation = match config.model {
            Model::Gen4 => Generation::Gen4,
            Model::Gen5 => Generation::Gen5,
            Model::Gen6 => Generation::Gen6,
        };
        let device = Device::start(config).map_err(Error::Emulated)?;
        Ok(Self { device, name, generation, aperture: vec![0..=0xfedf_ffff, 0xfef0_0000..=(1 << 48) - 1] })
    }

    /// The same, behind an IOMMU that maps these addresses.
    #[must_use]
    pub fn with_aperture(mut self, aperture: Vec<RangeInclusive<u64>>) -> Self {
        self.aperture = aperture;
        self
    }

    /// The device.
    pub const fn device(&self) -> &Device {
        &self.device
    }
}

const fn region(region: Region) -> qat_emu::Region {
    match region {
        Region::Rings => qat_emu::Region::Rings,
        Region::Misc => qat_emu::Region::Misc,
    }
}

impl VirtualFunction for EmulatedFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn generation(&self) -> Generation {
        self.generation
    }

    fn kind(&self) -> Kind {
        Kind::Emulated
    }

    fn read32(&self, which: Region, offset: u64) -> u32 {
        self.device.read32(region(which), offset)
    }

    fn write32(&self, which: Region, offset: u64, value: u32) {
        self.device.write32(region(which), offset, value);
    }

    unsafe fn map(&self, span: Span) -> io::Result<()> {
        let is_outside = |range: &RangeInclusive<u64>| {
            !range.contains(&span.addr.get()) || !range.contains(&(span.end().get().saturating_sub(1)))
        };
        if self.aperture.iter().all(is_outside) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: the caller's promise, passed on.
        let mapped = unsafe { self.device.map(span.addr.get(), span.len) };
        if mapped { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EEXIST)) }
    }

    fn unmap(&self, span: Span) -> io::Result<()> {
        let unmapped = self.device.unmap(span.addr.get(), span.len);
        if unmapped { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
    }

    fn aperture(&self) -> Vec<RangeInclusive<u64>> {
        self.aperture.clone()
    }

    fn interrupt(&self) -> BorrowedFd<'_> {
        self.device.interrupt()
    }
}

/// A function that answers at once and moves no data: for measuring the driver.
#[derive(Debug)]
pub struct InstantFunction {
    device: InstantDevice,
    interrupt: EventFd,
}

impl InstantFunction {
    /// A queue on such a function, that is looked at.
    ///
    /// # Errors
    ///
    /// As [`QatQueue::open`].
    pub fn queue(config: QatQueueConfig) -> Result<QatQueue, Error> {
        let config = QatQueueConfig { completion: svala::backend::Completion::Polled, ..config };
        let interrupt = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| Error::Os { what: "eventfd", source: errno.into() })?;
        // SAFETY: its rings are those of the queue's ring pairs: in an arena that lives as long as the function, accessed
        // through atomics, and each tail is written under its pair's lock.
        let device = unsafe { InstantDevice::new() };
        let function: Arc<dyn VirtualFunction> = Arc::new(Self { device, interrupt });
        let conversation = Conversation::new(Arc::clone(&function), &config);
        let greeting =
            Greeting { version: VERSION, capabilities: Capabilities::COMPRESSION, map: RingMap::COMPRESSION };
        QatQueue::start(Core::with(function, config, conversation, greeting, &[(0, Service::COMPRESSION)])?)
    }
}

impl VirtualFunction for InstantFunction {
    fn name(&self) -> &str {
        "instant"
    }

    fn generation(&self) -> Generation {
        Generation::Gen4
    }

    fn kind(&self) -> Kind {
        Kind::Emulated
    }

    fn read32(&self, which: Region, offset: u64) -> u32 {
        self.device.read32(region(which), offset)
    }

    #[inline]
    fn write32(&self, which: Region, offset: u64, value: u32) {
        self.device.write32(region(which), offset, value);
    }

    unsafe fn map(&self, _span: Span) -> io::Result<()> {
        Ok(())
    }

    fn unmap(&self, _span: Span) -> io::Result<()> {
        Ok(())
    }

    fn aperture(&self) -> Vec<RangeInclusive<u64>> {
        vec![0..=(1 << 48) - 1]
    }

    fn interrupt(&self) -> BorrowedFd<'_> {
        self.interrupt.as_fd()
    }
}
