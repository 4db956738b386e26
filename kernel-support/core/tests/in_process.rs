//! The whole of it as an emulated device uses it: this process is the address space, an engine thread asks for pages
//! and goes on when it is answered, a worker makes them present a window at a time, and then the device is removed.
//!
//! Whether a page is there is read from `/proc/self/pagemap`, not from anything the handler said.

use std::convert::Infallible;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Mutex;
use std::time::Duration;
use std::{process, thread};

use sva_core::{
    handle, Access, Code, Discard, GroupIndex, Hardware, HardwareError, Identity, Iopf, Limits, PageRequest,
    PageResponse, PasidChoice, PasidNumber, PasidTable, Platform, Queue, Reporter, Responder, Std,
    Unresolved, Windows,
};

const PAGE: usize = 4096;

/// The address space. One process, one key.
struct ThisProcess;

impl Identity for ThisProcess {
    type Key = u32;
    fn key(&self) -> u32 {
        process::id()
    }
}

/// The device as the core sees it: a way to tell the engine thread.
struct Device {
    responses: Mutex<Sender<PageResponse>>,
}

impl Responder for Device {
    fn respond(&self, response: PageResponse) {
        self.responses.lock().unwrap().send(response).expect("the engine listens until it is removed");
    }
}

impl Hardware<ThisProcess> for Device {
    fn program(&self, _: PasidNumber, _: &ThisProcess) -> Result<(), HardwareError> {
        Ok(())
    }

    fn clear(&self, _: PasidNumber) {}
}

struct Emulated;

impl Platform for Emulated {
    type Env = Std;
    type Space = ThisProcess;
    type User = Infallible;
    type Paging = Infallible;
    type Device = Device;
}

/// Pages of this process nobody has touched. Large allocations are fresh mappings.
struct Cold(Vec<u8>);

impl Cold {
    const PAGES: usize = 64;

    fn new() -> Self {
        Self(vec![0; (Self::PAGES + 1) * PAGE])
    }

    /// The address of page `page`, counted from the first whole one.
    fn page(&self, page: usize) -> u64 {
        (self.0.as_ptr().addr().next_multiple_of(PAGE) + page * PAGE) as u64
    }
}

fn is_present(address: u64) -> bool {
    let mut entry = [0; 8];
    let pagemap = File::open("/proc/self/pagemap").expect("the kernel has CONFIG_PROC_PAGE_MONITOR");
    pagemap.read_exact_at(&mut entry, address / PAGE as u64 * 8).unwrap();
    u64::from_le_bytes(entry) >> 63 == 1
}

/// Makes pages present for reading as the kernel would for a debugger: no reference to the memory is formed, and an
/// address that is not mapped is an error. `madvise(MADV_POPULATE_READ)` does the same with fewer system calls.
fn populate(windows: &mut Windows<2>, cold: Range<u64>, request: &PageRequest) -> Result<(), Unresolved> {
    let memory = File::open("/proc/self/mem").map_err(|_| Unresolved::Failure)?;
    for page in windows.fault(request.address() / PAGE as u64, cold) {
        memory.read_exact_at(&mut [0], page * PAGE as u64).map_err(|_| Unresolved::Invalid)?;
    }
    Ok(())
}

fn worker(queue: &Queue<Emulated>, cold: &Range<u64>) {
    let mut windows = Windows::new(8);
    let mut handler = |_: &ThisProcess, request: &PageRequest| populate(&mut windows, cold.clone(), request);
    while let Some(group) = queue.wait() {
        handle(group, &mut handler);
    }
}

/// The device's own thread.
struct Engine {
    reporter: Reporter<Emulated>,
    responses: Receiver<PageResponse>,
    pasid: PasidNumber,
}

impl Engine {
    /// One group of the page at `first` (not last) and the page at `second`.
    fn ask(&self, index: u32, first: u64, second: u64) {
        let request = |address| PageRequest::new(self.pasid, GroupIndex(index), address, Access::READ);
        self.reporter.report(request(first).with_last(false)).unwrap();
        self.reporter.report(request(second)).unwrap();
    }

    fn answer(&self) -> PageResponse {
        self.responses.recv_timeout(Duration::from_secs(30)).expect("an answer")
    }

    /// Walks two halves of the memory at once, as a copy does, and asks whenever it meets an absent page.
    fn walk(&self, cold: &Cold) -> u32 {
        let half = Cold::PAGES / 2;
        let mut asked = 0;
        for page in 0..half {
            let (src, dst) = (cold.page(page), cold.page(half + page));
            if is_present(src) && is_present(dst) {
                continue;
            }
            self.ask(asked, src, dst);
            assert_eq!(
                self.answer(),
                PageResponse { pasid: self.pasid, index: GroupIndex(asked), code: Code::Success, tag: 0 }
            );
            assert!(is_present(src) && is_present(dst), "page {page} absent after success");
            asked += 1;
        }
        asked
    }
}

#[test]
fn an_engine_thread_gets_its_pages_and_its_answers() {
    let cold = Cold::new();
    let pages = cold.page(0) / PAGE as u64..cold.page(Cold::PAGES) / PAGE as u64;
    assert!((0..Cold::PAGES).all(|page| !is_present(cold.page(page))));

    let (sender, responses) = channel();
    let table = PasidTable::<Emulated>::try_new(PasidNumber::new(1).unwrap(), PasidNumber::MAX, 8).unwrap();
    let device = Device { responses: Mutex::new(sender) };
    let iopf = Iopf::try_new(device, table.clone(), Limits::default()).unwrap();
    let bond = iopf.bind(ThisProcess, PasidChoice::Any).unwrap();

    thread::scope(|scope| {
        let queue = iopf.queue();
        let worker = scope.spawn(move || worker(&queue, &pages));
        let engine = Engine { reporter: iopf.reporter(), responses, pasid: bond.pasid() };
        let engine = scope.spawn(|| {
            let asked = engine.walk(&cold);
            assert!(asked as usize * 3 < Cold::PAGES / 2, "{asked} groups: no fault-around");
            // The first page of an address space is never mapped.
            engine.ask(asked, cold.page(0), 0);
            assert_eq!(engine.answer().code, Code::Invalid);
            (engine, asked + 1)
        });
        let (engine, asked) = engine.join().unwrap();

        // The way out: unbind and wait, then quiesce, drain, remove.
        let stats = bond.stats();
        assert_eq!((stats.groups, stats.faults), (u64::from(asked), 2 * u64::from(asked)));
        drop(bond.unbind().expect("the last bond").wait());
        assert_eq!(table.in_use(), 0);
        let stats = iopf.quiesce(Discard::AnswerInvalid).wait_drained().remove();
        assert_eq!((stats.groups, stats.invalid, stats.success), (u64::from(asked), 1, u64::from(asked) - 1));
        worker.join().unwrap();
        drop(engine);
    });
}
