//! The device in a slot of a machine: registers, portals, resets, and what the IOMMU tells it.

use std::sync::Arc;

use idxd_emu::timing::Timing;
use idxd_emu::{InterruptSink, Model, PciConfig, Submission, Write};
use idxd_spec::Descriptor;
use parking_lot::Mutex;

use crate::bus::GuestMemory;
use crate::device_tlb::DeviceTlb;
use crate::machine::{Locked, Machine, Response};
use crate::modelled::Modelled;
use crate::options::{Options, OptionsError};
use crate::page_groups::{Asking, PageGroups};

/// What the guest has set in PCI configuration space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pci {
    /// PCICMD, Bus Master Enable.
    pub bus_master: bool,
    /// PASID capability, enable.
    pub pasid: bool,
    /// PASID capability, privileged mode enable.
    pub privileged: bool,
    /// ATS capability, enable.
    pub ats: bool,
    /// PRI capability, enable.
    pub pri: bool,
    /// PRI capability, requests in flight at most.
    pub page_requests: u32,
}

/// A response to a page request that nobody had made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("response to group {group}, which was not asked for")]
pub struct UnexpectedResponse {
    /// Its index.
    pub group: u16,
}

/// A DSA or an IAA in a machine.
///
/// All methods but [`serve`](Self::serve) return at once, and may be called with the machine's lock held.
pub struct Device<M: Machine> {
    model: Arc<Model<GuestMemory<M>>>,
    tlb: Arc<DeviceTlb>,
    pages: Arc<PageGroups<M>>,
    engines: usize,
    /// What was read of the model's book so far. None if it keeps none.
    modelled: Option<Mutex<Modelled>>,
}

impl<M: Machine> Device<M> {
    /// The device after its reset. Nothing runs until somebody [serves](Self::serve) its engines.
    ///
    /// # Errors
    ///
    /// The options are out of range.
    pub fn new(options: &Options, machine: M) -> Result<Self, OptionsError> {
        options.check()?;
        let machine = Arc::new(machine);
        let tlb = Arc::new(DeviceTlb::new(options.tlb_entries));
        let pages = Arc::new(PageGroups::new(Arc::clone(&machine)));
        let memory = GuestMemory::new(Arc::clone(&machine), Arc::clone(&tlb));
        let asking = Box::new(Asking(Arc::clone(&pages)));
        let model = Model::unconfigured(&options.hardware, options.plan.clone(), memory, Some(asking));
        model.set_interrupts(Arc::new(Messages(machine)));
        if options.timing {
            model.set_timing(Timing::SAPPHIRE_RAPIDS);
        }
        let modelled = options.timing.then(Mutex::default);
        Ok(Self { model, tlb, pages, engines: options.hardware.engines.into(), modelled })
    }

    /// Engines there are to be served.
    pub fn engines(&self) -> usize {
        self.engines
    }

    /// Runs what comes for one engine, on this thread, until [`finish`](Self::finish). Each engine is to be served by one
    /// thread. The machine's lock must not be held.
    pub fn serve(&self, engine: usize) {
        if engine < self.engines {
            self.model.engine(engine).serve();
        }
    }

    /// Ends what serves the engines. What they run gets no record.
    pub fn finish(&self) {
        self.reset();
        self.model.finish();
    }

    /// Reads a register of BAR0.
    pub fn read(&self, offset: u64, size: u32) -> u64 {
        self.model.read(offset, size)
    }

    /// Writes a register of BAR0.
    pub fn write(&self, offset: u64, size: u32, value: u64) {
        self.model.write(offset, size, value);
    }

    /// A 64-byte store to BAR2. Says whether it was accepted; one that is posted always is, as far as anybody knows.
    pub fn write_portal(&self, offset: u64, write: Write, descriptor: &[u8; Descriptor::SIZE]) -> bool {
        self.model.write_portal(offset, write, descriptor) == Submission::Accepted
    }

    /// Configuration space has changed.
    pub fn set_pci(&self, pci: Pci) {
        self.pages.enable(if pci.pri { pci.page_requests } else { 0 });
        self.model.set_pci(PciConfig {
            bus_master: pci.bus_master,
            pasid: pci.pasid,
            privileged: pci.privileged,
            ats: pci.ats,
            prs: pci.pri,
            page_requests: pci.page_requests,
            traffic_classes: 0xff,
            platform_ats: None,
        });
        if !pci.ats {
            self.tlb.clear();
        }
    }

    /// The IOMMU takes translations back: those of `pasid`, or of all, that cover a byte from `first` to `last`.
    ///
    /// To be called with the machine's lock held: nothing uses them any more when this returns.
    pub fn invalidate(&self, pasid: Option<u32>, first: u64, last: u64) {
        self.tlb.invalidate(pasid, first, last);
    }

    /// The host answers a page request.
    ///
    /// # Errors
    ///
    /// There was none with that index.
    pub fn respond(&self, group: u16, response: Response) -> Result<(), UnexpectedResponse> {
        if self.pages.respond(group, response) { Ok(()) } else { Err(UnexpectedResponse { group }) }
    }

    /// What silicon would have taken for all that came so far, but for what is beyond the last million descriptors since the
    /// last call: by the timing model, and no measurement of hardware. None without [`Options::timing`].
    pub fn modelled(&self) -> Option<Modelled> {
        let mut modelled = self.modelled.as_ref()?.lock();
        modelled.add(&self.model.take_served());
        Some(*modelled)
    }

    /// A function-level reset, or the machine's.
    pub fn reset(&self) {
        self.model.function_level_reset();
        self.pages.reset();
        self.tlb.clear();
    }
}

/// Interrupts of the model as messages of the machine.
struct Messages<M>(Arc<M>);

impl<M: Machine> InterruptSink for Messages<M> {
    fn msix(&self, vector: u16) {
        self.0.lock().raise(vector);
    }

    fn message(&self, address: u64, data: u32) {
        self.0.lock().send_message(address, data);
    }
}
