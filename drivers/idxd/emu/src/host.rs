//! The host's side of page requests in this process: what the IOMMU driver does in a kernel.
//!
//! The process is bound to the device as a PASID when the device starts, through the same [`sva_core`] a kernel would
//! use. An engine reports a page request and sleeps; one thread takes fault groups, populates, and answers; the answer
//! wakes the engine.

mod event_log;
pub(crate) mod interrupts;

use std::convert::Infallible;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};
use sva_core::{
    Bond, Code, Discard, GroupIndex, Hardware, HardwareError, Identity, Iopf, Limits, PageRequest,
    PageResponse, PasidChoice, PasidNumber, PasidTable, Platform, Reporter, Responder, Std, Unresolved,
};

use crate::bus::ProcessMemory;
use crate::page_request::{PageAnswer, PageRequests};
use crate::{Access, Error};

/// Page requests in flight: more than a device has engines.
const REQUESTS_MAX: usize = 16;
/// Attachments of one device: the one process.
const PASIDS_MAX: usize = 1;

/// This process as an address space.
pub(crate) struct ThisProcess;

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
        let access = match access {
            Access::Read => sva_core::Access::READ,
            Access::Write => sva_core::Access::WRITE,
        };
        let index = self.requester.claim();
        let group = GroupIndex(u32::try_from(index).unwrap_or(u32::MAX));
        let code = match self.reporter.report(PageRequest::new(self.pasid, group, addr, access)) {
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

/// The bond between this process and a device, and the thread that answers its page requests.
pub(crate) struct Host {
    /// `None` once shut down, as the next two.
    bond: Option<Bond<InProcess>>,
    iopf: Option<Iopf<InProcess>>,
    worker: Option<JoinHandle<()>>,
}

impl Host {
    /// Binds the process and starts the thread.
    pub(crate) fn start(device: &str) -> Result<(Self, Box<dyn PageRequests>, u32), Error> {
        let bind = |error: &dyn std::fmt::Display| Error::Bind(error.to_string());
        let first = PasidNumber::new(1).ok_or_else(|| bind(&"PASID 1"))?;
        let table = PasidTable::try_new(first, PasidNumber::MAX, PASIDS_MAX).map_err(|error| bind(&error))?;
        let requester = Requester::new();
        let limits = Limits::default();
        let iopf =
            Iopf::<InProcess>::try_new(requester.clone(), table, limits).map_err(|error| bind(&error))?;
        let bond = iopf.bind(ThisProcess, PasidChoice::Any).map_err(|error| bind(&error))?;
        let reports = Reports { reporter: iopf.reporter(), requester, pasid: bond.pasid() };
        let pasid = bond.pasid().value();
        let queue = iopf.queue();
        let name = format!("{device}-prq");
        let worker = thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                while let Some(group) = queue.wait() {
                    sva_core::handle(group, &mut populate);
                }
            })
            .map_err(|source| Error::Thread { name, source })?;
        let host = Self { bond: Some(bond), iopf: Some(iopf), worker: Some(worker) };
        Ok((host, Box::new(reports), pasid))
    }
}

fn populate(_: &ThisProcess, request: &PageRequest) -> Result<(), Unresolved> {
    let access =
        if request.access().contains(sva_core::Access::WRITE) { Access::Write } else { Access::Read };
    ProcessMemory::populate(request.address(), access).map_err(|error| {
        tracing::debug!(addr = request.address(), %access, %error, "page request cannot be served");
        Unresolved::Invalid
    })
}

impl Drop for Host {
    /// The engines have ended: nothing is in flight, and nothing more will come.
    fn drop(&mut self) {
        drop(self.bond.take());
        if let Some(iopf) = self.iopf.take() {
            let stats = iopf.quiesce(Discard::AnswerInvalid).wait_drained().remove();
            tracing::debug!(?stats, "page requests");
        }
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
