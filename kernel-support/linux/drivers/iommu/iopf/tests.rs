// SPDX-License-Identifier: GPL-2.0

//! KUnit: the core on the kernel's locks and memory, and what the border translates. What the C
//! interface does is tested through it, from user space.

use super::env::{Event, KernelEnv};
use super::groups::fault_of;
use super::platform::{code_from_c, code_to_c};
use super::populate::fault_flags;
use super::queue::request as translate;
use super::sva_core::env::{Env, Event as _};
use super::sva_core::{
    handle, Access, Bond, Code, Discard, FaultGroup, GroupIndex, Hardware, HardwareError, Holder,
    Identity, Iopf, Ledger, Limits, PageRequest, PageResponse, PasidChoice, PasidNumber,
    PasidTable, Platform, Reason, Responder, Sva, Unresolved, Windows,
};
use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::time::{delay::fsleep, Delta};
use kernel::workqueue;

struct Space(u32);

impl Identity for Space {
    type Key = u32;
    fn key(&self) -> u32 {
        self.0
    }
}

/// Counts answers by code.
#[derive(Default)]
struct Device([AtomicU32; 3]);

impl Device {
    fn answers(&self) -> [u32; 3] {
        [0, 1, 2].map(|code: usize| self.0[code].load(Ordering::Relaxed))
    }
}

impl Responder for Device {
    fn respond(&self, response: PageResponse) {
        let at = code_to_c(response.code) as usize;
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }
}

impl Hardware<Space> for Device {
    fn program(&self, _: PasidNumber, _: &Space) -> Result<(), HardwareError> {
        Ok(())
    }
    fn clear(&self, _: PasidNumber) {}
}

enum Stage {}

impl Platform for Stage {
    type Env = KernelEnv;
    type Space = Space;
    type User = Infallible;
    type Paging = Infallible;
    type Device = Device;
}

fn number(number: u32) -> PasidNumber {
    PasidNumber::new(number).unwrap_or(PasidNumber::NONE)
}

fn stage() -> Result<Iopf<Stage>> {
    let table = PasidTable::try_new(number(1), number(99), 64).map_err(|_| ENOMEM)?;
    let limits = Limits {
        groups_max: 2,
        queued_max: 2,
        partials_max: 2,
        open_groups_max: 4,
        bonds_max: 4,
    };
    Iopf::try_new(Device::default(), table, limits).map_err(|_| ENOMEM)
}

fn bind(iopf: &Iopf<Stage>, pasid: u32) -> Result<Bond<Stage>> {
    iopf.bind(Space(pasid), PasidChoice::Number(number(pasid)))
        .map_err(|_| EBUSY)
}

fn request(pasid: u32, group: u32, last: bool) -> PageRequest {
    PageRequest::new(number(pasid), GroupIndex(group), 0x1000, Access::READ).with_last(last)
}

fn next(iopf: &Iopf<Stage>) -> Result<FaultGroup<Stage>> {
    iopf.queue().take().ok_or(ENOENT)
}

/// Whether it is so within five seconds.
fn soon(mut ready: impl FnMut() -> bool) -> bool {
    (0..500).any(|_| {
        fsleep(Delta::from_millis(10));
        ready()
    })
}

#[kunit_tests(iommu_iopf)]
mod suite {
    use super::*;

    #[test]
    fn lookup_has_three_answers() -> Result {
        let iopf = stage()?;
        let table = PasidTable::<Stage>::try_new(number(1), number(99), 64).map_err(|_| ENOMEM)?;
        assert!(matches!(table.lookup::<Sva>(number(5), &5), Ok(None)));
        let token = table.claim(number(5)).map_err(|_| EBUSY)?;
        let holder = || {
            table
                .lookup::<Sva>(number(5), &5)
                .err()
                .map(|busy| busy.holder)
        };
        assert_eq!(holder(), Some(Holder::Claimed));
        let reserved = token.reserve();
        assert_eq!(holder(), Some(Holder::Reserved));
        drop(reserved);
        assert!(matches!(table.lookup::<Sva>(number(5), &5), Ok(None)));
        let bond = bind(&iopf, 7)?;
        assert!(iopf.bind(Space(8), PasidChoice::Number(number(7))).is_err());
        assert!(bind(&iopf, 7).is_ok());
        drop(bond);
        Ok(())
    }

    #[test]
    fn a_group_is_answered_once_and_dropped_it_is_invalid() -> Result {
        let iopf = stage()?;
        let bond = bind(&iopf, 3)?;
        let reporter = iopf.reporter();
        assert!(reporter.report(request(3, 1, false)).is_ok());
        assert!(reporter.report(request(3, 1, true)).is_ok());
        assert_eq!(next(&iopf)?.len(), 2);
        assert_eq!(iopf.device().answers(), [0, 1, 0]);
        assert!(reporter.report(request(3, 2, true)).is_ok());
        let code = handle(next(&iopf)?, &mut |_: &Space, _: &PageRequest| {
            Ok::<(), Unresolved>(())
        });
        assert_eq!(code, Code::Success);
        assert_eq!(iopf.device().answers(), [1, 1, 0]);
        drop(bond);
        iopf.quiesce(Discard::AnswerInvalid).wait_drained().remove();
        Ok(())
    }

    #[test]
    fn what_has_no_room_is_answered() -> Result {
        let iopf = stage()?;
        let bond = bind(&iopf, 3)?;
        let reporter = iopf.reporter();
        for (group, reported) in [(1, true), (1, true), (1, false)] {
            assert_eq!(reporter.report(request(3, group, false)).is_ok(), reported);
        }
        let lost = reporter.report(request(3, 1, true));
        assert!(
            matches!(lost, Err(refused) if refused.reason == Reason::GroupLost && refused.answered)
        );
        assert!(reporter.report(request(3, 2, false)).is_ok());
        assert_eq!(reporter.discard_partials(Discard::AnswerInvalid), 1);
        assert_eq!(iopf.device().answers(), [0, 2, 0]);
        drop(bond);
        Ok(())
    }

    #[test]
    fn a_detach_ends_with_the_last_group() -> Result {
        let iopf = stage()?;
        let bond = bind(&iopf, 3)?;
        assert!(iopf.reporter().report(request(3, 1, true)).is_ok());
        let group = next(&iopf)?;
        let detaching = bond.unbind().ok_or(EINVAL)?;
        assert_eq!(detaching.in_flight(), 1);
        assert!(iopf.reporter().report(request(3, 2, true)).is_err());
        let detaching = detaching.poll_drained().err().ok_or(EINVAL)?;
        group.respond(Code::Success);
        assert!(detaching.poll_drained().is_ok());
        assert_eq!(iopf.device().answers(), [1, 1, 0]);
        Ok(())
    }

    #[test]
    fn a_receipt_opens_once_and_a_closed_ledger_never() -> Result {
        let iopf = stage()?;
        let _bond = bind(&iopf, 3)?;
        let ledger = Ledger::<Stage>::try_new(2).map_err(|_| ENOMEM)?;
        for group in [1, 2] {
            assert!(iopf.reporter().report(request(3, group, true)).is_ok());
        }
        let first = ledger.deposit(next(&iopf)?).map_err(|_| ENOSPC)?;
        let second = ledger.deposit(next(&iopf)?).map_err(|_| ENOSPC)?;
        ledger.take(&first).ok_or(ENOENT)?.respond(Code::Success);
        assert!(ledger.take(&first).is_none());
        assert_eq!(ledger.close().map(drop).count(), 1);
        assert!(ledger.take(&second).is_none());
        assert_eq!(iopf.device().answers(), [1, 1, 0]);
        Ok(())
    }

    #[test]
    fn a_table_grows() -> Result {
        let table = PasidTable::<Stage>::try_new(number(1), number(99), 64).map_err(|_| ENOMEM)?;
        let mut tokens = KVec::new();
        while let Ok(token) = table.allocate() {
            tokens.push(token, GFP_KERNEL)?;
        }
        assert_eq!(tokens.len(), 64);
        drop(tokens);
        assert_eq!(table.in_use(), 0);
        Ok(())
    }

    #[test]
    fn a_walk_widens_its_window() {
        let mut windows: Windows<2> = Windows::new(16);
        let mut page = 0;
        for pages in [1, 2, 4, 8, 16, 16] {
            assert_eq!(windows.fault(page, 0..1000), page..page + pages);
            page += pages;
        }
        assert_eq!(windows.fault(900, 0..1000), 900..901);
    }

    /// Every field of a request, to the core and back to what a handler in C is given.
    #[test]
    fn a_request_is_translated_whole() -> Result {
        let mut event = bindings::iopf_fault::default();
        let prm = &mut event.fault.prm;
        prm.flags = bindings::IOMMU_FAULT_PAGE_REQUEST_PASID_VALID
            | bindings::IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
        (prm.pasid, prm.grpid, prm.addr) = (5, 9, 0x7000);
        prm.perm = bindings::IOMMU_FAULT_PERM_WRITE | bindings::IOMMU_FAULT_PERM_PRIV;
        let request = translate(prm).ok_or(EINVAL)?;
        assert_eq!(request.pasid(), number(5));
        assert_eq!((request.index().0, request.address()), (9, 0x7000));
        assert!(request.is_last() && request.is_privileged());
        assert!(request.access().contains(Access::WRITE));
        assert!(!request.access().contains(Access::READ));
        let back = fault_of(&request).fault.prm;
        assert_eq!((back.flags, back.pasid, back.grpid), (prm.flags, 5, 9));
        assert_eq!((back.perm, back.addr), (prm.perm, 0x7000));
        Ok(())
    }

    #[test]
    fn a_pasid_has_20_bits_and_is_meant_if_it_is_said_to_be() -> Result {
        let mut event = bindings::iopf_fault::default();
        let prm = &mut event.fault.prm;
        prm.pasid = 1 << 20;
        assert_eq!(translate(prm).ok_or(EINVAL)?.pasid(), PasidNumber::NONE);
        prm.flags = bindings::IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
        assert!(translate(prm).is_none());
        prm.pasid -= 1;
        assert!(translate(prm).is_some());
        // A request for nothing is for something to read: whoever sends it wants an answer.
        assert!(translate(prm)
            .ok_or(EINVAL)?
            .access()
            .contains(Access::READ));
        Ok(())
    }

    #[test]
    fn a_fault_is_the_users_and_a_write_only_if_the_request_is() {
        let read = fault_flags(&request(3, 1, true));
        assert!(read & bindings::fault_flag_FAULT_FLAG_REMOTE != 0);
        assert!(read & bindings::fault_flag_FAULT_FLAG_USER != 0);
        assert!(read & bindings::fault_flag_FAULT_FLAG_WRITE == 0);
        let write = PageRequest::new(number(3), GroupIndex(1), 0x1000, Access::WRITE);
        let write = fault_flags(&write.with_privileged(true));
        assert!(write & bindings::fault_flag_FAULT_FLAG_USER == 0);
        assert!(write & bindings::fault_flag_FAULT_FLAG_WRITE != 0);
    }

    #[test]
    fn codes_go_there_and_back() {
        for code in [Code::Success, Code::Invalid, Code::Failure] {
            assert!(code_from_c(code_to_c(code)) == code);
        }
        assert!(code_from_c(77) == Code::Failure);
    }

    /// Who waits is a worker, so that this ends even if nobody is woken.
    #[test]
    fn an_event_wakes_who_waits() -> Result {
        let event = Arc::new(Event::try_new().map_err(|_| ENOMEM)?, GFP_KERNEL)?;
        let step = Arc::new(AtomicU32::new(0), GFP_KERNEL)?;
        let (waiting, steps) = (event.clone(), step.clone());
        workqueue::system_long().try_spawn(GFP_KERNEL, move || {
            // It looks once, and is told so only while it sleeps: until then it has the gate.
            waiting.wait_until(|| {
                steps
                    .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire)
                    .is_err()
            });
            steps.store(2, Ordering::Release);
        })?;
        assert!(soon(|| step.load(Ordering::Acquire) == 1));
        event.notify();
        assert!(soon(|| step.load(Ordering::Acquire) == 2));
        Ok(())
    }

    #[test]
    fn memory_is_what_was_asked_for() -> Result {
        let slots = KernelEnv::slots(3, |at| at * 2).map_err(|_| ENOMEM)?;
        assert_eq!(&slots[..], &[0, 2, 4]);
        Ok(())
    }
}
