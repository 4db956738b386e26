//! The host's side of page requests in this process: what the IOMMU driver does in a kernel.
//!
//! The process is bound to the device as a PASID when the device starts, through the same [`sva_core`] a kernel would
//! use. An engine reports its page requests, as one group, and sleeps; a few threads take fault groups, populate, and
//! answer; the answer wakes the engine. Around a page that is asked for they populate what its walk will come to next,
//! within its mapping, as [`sva_core::FaultAround`] says.

mod event_log;
pub(crate) mod interrupts;
mod mapping;

use std::convert::Infallible;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};
use sva_core::{
    Bond, BondStats, Code, Discard, FaultAround, FaultAroundStats, GroupIndex, Hardware, HardwareError,
    Identity, Iopf, LatencyHistogram, Limits, PageRequest, PageResponse, PasidChoice, PasidNumber,
    PasidTable, Platform, Reporter, Responder, Std, Unresolved,
};

use crate::bus::{PAGE_BYTES, ProcessMemory};
use crate::page_request::{PageAnswer, PageRequests};
use crate::{Access, Error};
use mapping::Mappings;

/// Page requests in flight: more than a device has engines.
const REQUESTS_MAX: usize = 16;
/// Attachments of one device: the one process.
const PASIDS_MAX: usize = 1;

/// Threads that answer page requests: one that waits for a disk must not hold up the other's.
const WORKERS: usize = 2;
/// Walks through memory that fault-around keeps apart: two for each of four engines.
const WALKS: usize = 8;

/// This process as an address space, and what follows the faults in it.
pub(crate) struct ThisProcess {
    around: Mutex<FaultAround<WALKS>>,
    mappings: Mappings,
}

/// What page requests came to on the bond of a device with this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequestStats {
    /// Groups and their answers.
    pub bond: BondStats,
    /// What was populated around them.
    pub around: FaultAroundStats,
    /// How long answers took, from a group's last request.
    pub latency: LatencyHistogram,
}

impl Identity for ThisProcess {
    type Key = u32;

    fn key(&self) -> u32 {
        process::id()
    }
}

/// The types [`sva_core`] works with here.
pub(crate) enum InProcess {}

impl Platform for InProcess {
    type Env = Std;
    type Space = ThisProcess;
    type User = Infallible;
    type Paging = Infallible;
    type Device = Requester;
}

/// One page request an engine waits for.
#[derive(Clone, Copy)]
enum Slot {
    Free,
    Waiting,
    Answered(Code),
}

/// The device's side: what it asked for and what was answered.
#[derive(Clone)]
pub(crate) struct Requester(Arc<Requests>);

struct Requests {
    /// By group index.
    slots: Mutex<[Slot; REQUESTS_MAX]>,
    changed: Condvar,
}

impl Requester {
    fn new() -> Self {
        Self(Arc::new(Requests { slots: Mutex::new([Slot::Free; REQUESTS_MAX]), changed: Condvar::new() }))
    }

    /// A group index nobody uses; waits for one if all are in use.
    fn claim(&self) -> usize {
        let mut slots = self.0.slots.lock();
        loop {
            if let Some(index) = slots.iter().position(|slot| matches!(slot, Slot::Free)) {
                slots[index] = Slot::Waiting;
                return index;
            }
            self.0.changed.wait(&mut slots);
        }
    }

    fn release(&self, index: usize) {
        self.0.slots.lock()[index] = Slot::Free;
        self.0.changed.notify_all();
    }

    fn wait(&self, index: usize) -> Code {
        let mut slots = self.0.slots.lock();
        loop {
            if let Slot::Answered(code) = slots[index] {
                return code;
            }
            self.0.changed.wait(&mut slots);
        }
    }
}

impl Responder for Requester {
    fn respond(&self, response: PageResponse) {
        if let Some(slot) = self.0.slots.lock().get_mut(response.index.0 as usize) {
            *slot = Slot::Answered(response.code);
        }
        self.0.changed.notify_all();
    }
}

impl Hardware<ThisProcess> for Requester {
    /// There is one PASID and no table to put it in: the bus is this process's memory already.
    fn program(&self, _pasid: PasidNumber, _space: &ThisProcess) -> Result<(), HardwareError> {
        Ok(())
    }

    fn clear(&self, _pasid: PasidNumber) {}
}

/// Where engines send page requests.
struct Reports {
    reporter: Reporter<InProcess>,
    requester: Requester,
    pasid: PasidNumber,
}

impl PageRequests for Reports {
    fn request(&self, addr: u64, access: Access) -> PageAnswer {
        self.request_group(&[(addr, access)])
    }

    fn request_group(&self, pages: &[(u64, Access)]) -> PageAnswer {
        let Some((last, others)) = pages.split_last() else { return PageAnswer::Success };
        let index = self.requester.claim();
        let group = GroupIndex(u32::try_from(index).unwrap_or(u32::MAX));
        let request = |(addr, access): &(u64, Access)| {
            let access = match access {
                Access::Read => sva_core::Access::READ,
                Access::Write => sva_core::Access::WRITE,
            };
            PageRequest::new(self.pasid, group, *addr, access)
        };
        for other in others {
            // One there is no room for is remembered: the group is then refused with its last.
            let _ = self.reporter.report(request(other).with_last(false));
        }
        let code = match self.reporter.report(request(last)) {
            Ok(_) => self.requester.wait(index),
            Err(refused) if refused.answered => self.requester.wait(index),
            Err(_) => Code::Failure,
        };
        self.requester.release(index);
        match code {
            Code::Success => PageAnswer::Success,
            Code::Invalid => PageAnswer::Invalid,
            Code::Failure => PageAnswer::Failure,
        }
    }
}

/// The bond between this process and a device, and the threads that answer its page requests.
pub(crate) struct Host {
    /// `None` once shut down, as the next two.
    bond: Option<Bond<InProcess>>,
    iopf: Option<Iopf<InProcess>>,
    workers: Vec<JoinHandle<()>>,
}

impl Host {
    /// Binds the process and starts the threads. No fault is given more than `around_pages_max` pages.
    pub(crate) fn start(
        device: &str,
        around_pages_max: u64,
    ) -> Result<(Self, Box<dyn PageRequests>, u32), Error> {
        let bind = |error: &dyn std::fmt::Display| Error::Bind(error.to_string());
        let first = PasidNumber::new(1).ok_or_else(|| bind(&"PASID 1"))?;
        let table = PasidTable::try_new(first, PasidNumber::MAX, PASIDS_MAX).map_err(|error| bind(&error))?;
        let requester = Requester::new();
        let limits = Limits::default();
        let iopf =
            Iopf::<InProcess>::try_new(requester.clone(), table, limits).map_err(|error| bind(&error))?;
        let mappings = Mappings::open();
        let around_pages_max = if mappings.is_known() { around_pages_max } else { 1 };
        let space = ThisProcess { around: Mutex::new(FaultAround::new(around_pages_max)), mappings };
        let bond = iopf.bind(space, PasidChoice::Any).map_err(|error| bind(&error))?;
        let reports = Reports { reporter: iopf.reporter(), requester, pasid: bond.pasid() };
        let pasid = bond.pasid().value();
        let mut host = Self { bond: Some(bond), iopf: Some(iopf), workers: Vec::with_capacity(WORKERS) };
        for worker in 0..WORKERS {
            host.start_worker(format!("{device}-prq{worker}"))?;
        }
        Ok((host, Box::new(reports), pasid))
    }

    fn start_worker(&mut self, name: String) -> Result<(), Error> {
        let Some(queue) = self.iopf.as_ref().map(Iopf::queue) else { return Ok(()) };
        let work = move || {
            while let Some(group) = queue.wait() {
                sva_core::handle(group, &mut populate);
            }
        };
        let worker = thread::Builder::new().name(name.clone()).spawn(work);
        self.workers.push(worker.map_err(|source| Error::Thread { name, source })?);
        Ok(())
    }

    /// What page requests came to.
    pub(crate) fn stats(&self) -> Option<PageRequestStats> {
        let bond = self.bond.as_ref()?;
        let around = bond.space().around.lock().stats();
        Some(PageRequestStats { bond: bond.stats(), around, latency: bond.latency() })
    }
}

/// Makes the page of `request` present, and those around it that its walk will come to.
fn populate(space: &ThisProcess, request: &PageRequest) -> Result<(), Unresolved> {
    let access =
        if request.access().contains(sva_core::Access::WRITE) { Access::Write } else { Access::Read };
    let page = request.address() / PAGE_BYTES;
    let mapping = space.mappings.around(request.address()).unwrap_or(page..page + 1);
    // Decided with the lock held, populated without.
    let given = space.around.lock().fault(page, mapping);
    if ProcessMemory::populate_pages(given.clone(), access).is_ok() {
        return Ok(());
    }
    // Something around it cannot be had; the page itself may.
    let single = ProcessMemory::populate(request.address(), access);
    let done = if single.is_ok() { page..page + 1 } else { page..page };
    space.around.lock().populated(&given, done);
    single.map_err(|error| {
        tracing::debug!(addr = request.address(), %access, %error, "page request cannot be served");
        Unresolved::Invalid
    })
}

impl Drop for Host {
    /// The engines have ended: nothing is in flight, and nothing more will come. The device says so itself, with a stop
    /// marker.
    fn drop(&mut self) {
        if let (Some(bond), Some(iopf)) = (self.bond.take(), &self.iopf) {
            let marker = PageRequest::stop_marker(bond.pasid());
            if let Err(error) = iopf.reporter().report(marker) {
                tracing::warn!(%error, "stop marker");
            }
            if let Some(detaching) = bond.unbind() {
                drop(detaching.wait());
            }
        }
        if let Some(iopf) = self.iopf.take() {
            let stats = iopf.quiesce(Discard::AnswerInvalid).wait_drained().remove();
            tracing::debug!(?stats, "page requests");
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}
