//! Each decision of the crate, on its own, in one thread.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::Arc;

use sva_core::*;

mod stage;
use stage::{pasid, Recorder, Stage, Told, GROUP};

type Std = Stage<sva_core::Std>;
type Table = PasidTable<Std>;

const SMALL: Limits =
    Limits { groups_max: 2, queued_max: 2, partials_max: 3, open_groups_max: 2, bonds_max: 2 };

fn table(first: u32, last: u32, entries_max: usize) -> Table {
    Table::try_new(pasid(first), pasid(last), entries_max).unwrap()
}

fn device(limits: Limits) -> (Arc<Told>, Table, Iopf<Std>) {
    let told = Arc::new(Told::default());
    let table = table(1, 6, 6);
    let iopf = Iopf::try_new(Recorder::new(told.clone()), table.clone(), limits).unwrap();
    (told, table, iopf)
}

fn read(pasid: PasidNumber, index: u32) -> PageRequest {
    PageRequest::new(pasid, GroupIndex(index), 0x1000, Access::READ)
}

fn codes(told: &Told) -> Vec<(u32, Code)> {
    told.answers().iter().map(|response| (response.index.0, response.code)).collect()
}

fn busy(pasid: PasidNumber, holder: Holder) -> Busy {
    Busy { pasid, holder }
}

// PASIDs

#[test]
fn numbers_run_out_and_come_back() {
    let table = table(5, 6, 8);
    let five = table.allocate().unwrap();
    let six = table.allocate().unwrap();
    assert_eq!((five.number(), six.number()), (pasid(5), pasid(6)));
    assert_eq!(table.allocate().unwrap_err(), Error::OutOfPasids { first: pasid(5), last: pasid(6) });
    drop(five);
    assert_eq!(table.allocate().unwrap().number(), pasid(5));
    assert_eq!(table.in_use(), 1);
}

#[test]
fn a_full_table_is_not_out_of_numbers() {
    let table = table(1, 100, 1);
    let one = table.claim(pasid(700)).unwrap();
    assert_eq!(table.allocate().unwrap_err(), Error::TableFull { entries_max: 1 });
    assert_eq!(table.claim(pasid(701)).unwrap_err(), Error::TableFull { entries_max: 1 });
    drop(one);
    assert!(table.allocate().is_ok());
}

/// A late page request for a number just freed must not meet its next user.
#[test]
fn a_number_rests_before_it_is_used_again() {
    let table = table(1, 3, 3);
    let numbers: Vec<_> = (0..4).map(|_| table.allocate().unwrap().number().value()).collect();
    assert_eq!(numbers, [1, 2, 3, 1]);
}

#[test]
fn every_stage_of_an_attach_looks_busy_to_others() {
    let told = Told::default();
    let table = table(1, 9, 9);
    let look = |name: u32| {
        table.lookup::<Sva>(pasid(4), &name).map(|found| found.map(|handle| handle.payload().name))
    };
    assert_eq!(look(1), Ok(None));
    let token = table.claim(pasid(4)).unwrap();
    assert_eq!(look(1), Err(busy(pasid(4), Holder::Claimed)));
    assert_eq!(table.claim(pasid(4)).unwrap_err(), Error::Busy(busy(pasid(4), Holder::Claimed)));
    let reserved = token.reserve();
    assert_eq!(look(1), Err(busy(pasid(4), Holder::Reserved)));
    let handle = reserved.publish::<Sva>(NewHandle::try_new(told.named(1)).unwrap());
    assert_eq!(look(1), Ok(Some(1)));
    assert_eq!(look(2), Err(busy(pasid(4), Holder::Sva)));
    assert_eq!(table.lookup::<User>(pasid(4), &1).unwrap_err(), busy(pasid(4), Holder::Sva));
    let detaching = handle.detach();
    assert_eq!(look(1), Err(busy(pasid(4), Holder::Detaching)));
    let token = detaching.poll_drained().unwrap();
    assert_eq!(look(1), Err(busy(pasid(4), Holder::Claimed)));
    drop(token);
    assert_eq!(look(1), Ok(None));
    assert_eq!(told.alive(), 0);
}

#[test]
fn a_handle_of_another_kind_is_busy_and_does_not_downcast() {
    let (told, table, iopf) = device(SMALL);
    let reserved = table.claim(pasid(2)).unwrap().reserve();
    let user = reserved.publish::<User>(NewHandle::try_new(told.named(9)).unwrap());
    assert_eq!(table.lookup::<Sva>(pasid(2), &9).unwrap_err(), busy(pasid(2), Holder::User));
    assert_eq!(
        iopf.bind(told.named(9), PasidChoice::Number(pasid(2))).unwrap_err(),
        Error::Busy(busy(pasid(2), Holder::User))
    );
    iopf.reporter().report(read(pasid(2), 1)).unwrap();
    let group = iopf.queue().take().unwrap();
    assert!(group.space().is_none());
    let handle = group.handle().unwrap();
    assert!(handle.downcast_ref::<Paging>().is_none());
    assert_eq!(handle.downcast_ref::<User>().unwrap().payload().name, 9);
    assert_eq!(user.in_flight(), 1);
    let mut never = |_: &stage::Named, _: &PageRequest| -> Result<(), Unresolved> { panic!("not a space") };
    assert_eq!(handle_group(group, &mut never), Code::Invalid);
    assert_eq!(user.in_flight(), 0);
}

fn handle_group(group: FaultGroup<Std>, handler: &mut impl FaultHandler<stage::Named>) -> Code {
    sva_core::handle(group, handler)
}

#[test]
fn a_dropped_or_cancelled_reservation_leaves_the_slot_free() {
    let table = table(1, 9, 9);
    drop(table.claim(pasid(4)).unwrap().reserve());
    assert!(matches!(table.lookup::<Sva>(pasid(4), &1), Ok(None)));
    let token = table.claim(pasid(4)).unwrap().reserve().cancel();
    assert_eq!(table.lookup::<Sva>(pasid(4), &1).unwrap_err().holder, Holder::Claimed);
    let _again = token.reserve();
}

/// Whatever order numbers come and go in, the table finds exactly those in use.
#[test]
fn the_table_stays_sorted() {
    let table = table(1, 9, 16);
    let mut held = Vec::new();
    for number in [9, 3, 700, 5, 1, 12] {
        held.push(table.claim(pasid(number)).unwrap());
    }
    drop(held.swap_remove(1));
    drop(held.swap_remove(3));
    for number in 0..1000 {
        let free = matches!(table.lookup::<Sva>(pasid(number), &0), Ok(None));
        assert_eq!(free, !held.iter().any(|token| token.number().value() == number), "{number}");
    }
}

// Handles

#[test]
fn a_detach_waits_for_every_reference() {
    let told = Told::default();
    let table = table(1, 9, 9);
    let reserved = table.allocate().unwrap().reserve();
    let handle = reserved.publish::<Sva>(NewHandle::try_new(told.named(1)).unwrap());
    let number = handle.pasid();
    let first = table.lookup::<Sva>(number, &1).unwrap().unwrap();
    let second = table.lookup::<Sva>(number, &1).unwrap().unwrap();
    let detaching = handle.detach().poll_drained().unwrap_err();
    assert_eq!(detaching.in_flight(), 2);
    drop(first);
    let detaching = detaching.poll_drained().unwrap_err();
    drop(second);
    assert_eq!(detaching.wait().number(), number);
}

/// Nobody waits: the last reference ends the attachment, not the owner, and not sooner.
#[test]
fn a_dropped_handle_frees_its_pasid_with_the_last_reference() {
    let told = Told::default();
    for detach_first in [false, true] {
        let table = table(1, 9, 9);
        let reserved = table.claim(pasid(4)).unwrap().reserve();
        let handle = reserved.publish::<Sva>(NewHandle::try_new(told.named(1)).unwrap());
        let reference = table.lookup::<Sva>(pasid(4), &1).unwrap().unwrap();
        if detach_first {
            drop(handle.detach());
        } else {
            drop(handle);
        }
        assert_eq!(table.claim(pasid(4)).unwrap_err(), Error::Busy(busy(pasid(4), Holder::Detaching)));
        assert_eq!(told.alive(), 1);
        drop(reference);
        assert_eq!((table.in_use(), told.alive()), (0, 0));
    }
}

// Bonds

#[test]
fn the_same_space_shares_and_the_last_bond_unbinds() {
    let (told, table, iopf) = device(SMALL);
    let first = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let second = iopf.bind(told.named(1), PasidChoice::Number(first.pasid())).unwrap();
    let other = iopf.bind(told.named(2), PasidChoice::Any).unwrap();
    assert_eq!(first.pasid(), second.pasid());
    assert_ne!(first.pasid(), other.pasid());
    assert_eq!(told.programmings.load(Ordering::Relaxed), 2);
    assert!(first.unbind().is_none());
    assert!(iopf.device().is_programmed(second.pasid()));
    let number = second.pasid();
    assert_eq!(second.unbind().unwrap().poll_drained().unwrap().number(), number);
    assert!(!iopf.device().is_programmed(number));
    drop(other);
    assert_eq!((table.in_use(), told.alive(), iopf.held().bonds), (0, 0, 0));
}

#[test]
fn a_bind_stops_on_busy_and_leaves_nothing_behind() {
    let (told, table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Number(pasid(3))).unwrap();
    let taken = iopf.bind(told.named(2), PasidChoice::Number(pasid(3))).unwrap_err();
    assert_eq!(taken, Error::Busy(busy(pasid(3), Holder::Sva)));
    let elsewhere = iopf.bind(told.named(1), PasidChoice::Number(pasid(4))).unwrap_err();
    assert_eq!(elsewhere, Error::BoundElsewhere { pasid: pasid(3) });
    let _claim = table.claim(pasid(5)).unwrap();
    let claimed = iopf.bind(told.named(2), PasidChoice::Number(pasid(5))).unwrap_err();
    assert_eq!(claimed, Error::Busy(busy(pasid(5), Holder::Claimed)));
    assert_eq!((table.in_use(), told.alive(), iopf.held().bonds), (2, 1, 1));
    drop(bond);
}

/// An attachment made past the bonds is not a bond's to share, even of the same address space.
#[test]
fn a_bind_does_not_share_what_is_not_a_bond() {
    let (told, table, iopf) = device(SMALL);
    let reserved = table.claim(pasid(3)).unwrap().reserve();
    let _handle = reserved.publish::<Sva>(NewHandle::try_new(told.named(1)).unwrap());
    let busy_sva = iopf.bind(told.named(1), PasidChoice::Number(pasid(3))).unwrap_err();
    assert_eq!(busy_sva, Error::Busy(busy(pasid(3), Holder::Sva)));
}

#[test]
fn refused_hardware_gives_everything_back() {
    let (told, table, iopf) = device(SMALL);
    told.refuse.store(true, Ordering::Relaxed);
    assert_eq!(iopf.bind(told.named(1), PasidChoice::Any).unwrap_err(), Error::Hardware(HardwareError(-5)));
    assert_eq!((table.in_use(), told.alive(), iopf.held().bonds), (0, 0, 0));
    assert!(iopf.quiesce(Discard::AnswerInvalid).poll_drained().is_ok());
}

#[test]
fn bonds_are_bounded() {
    let (told, table, iopf) = device(SMALL);
    let _bonds = [1, 2].map(|name| iopf.bind(told.named(name), PasidChoice::Any).unwrap());
    assert_eq!(iopf.bind(told.named(3), PasidChoice::Any).unwrap_err(), Error::BondsFull { bonds_max: 2 });
    assert_eq!((table.in_use(), told.alive()), (2, 2));
}

#[test]
fn a_pasid_stays_taken_until_the_groups_in_flight_are_answered() {
    let (told, table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Number(pasid(3))).unwrap();
    iopf.reporter().report(read(pasid(3), 1)).unwrap();
    drop(bond);
    let again = iopf.bind(told.named(1), PasidChoice::Number(pasid(3))).unwrap_err();
    assert_eq!(again, Error::Busy(busy(pasid(3), Holder::Detaching)));
    let late = iopf.reporter().report(read(pasid(3), 2)).unwrap_err();
    assert_eq!(late.reason, Reason::Unattached(Some(busy(pasid(3), Holder::Detaching))));
    assert!(late.answered);
    let group = iopf.queue().take().unwrap();
    assert_eq!(group.space().unwrap().name, 1);
    group.respond(Code::Success);
    assert_eq!(codes(&told), [(2, Code::Invalid), (1, Code::Success)]);
    assert_eq!((table.in_use(), told.alive()), (0, 0));
}

// Groups

#[test]
fn a_group_is_its_partials_in_order_and_then_the_last() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let other = iopf.bind(told.named(2), PasidChoice::Any).unwrap();
    let reporter = iopf.reporter();
    let request = |bond: &Bond<Std>, address, last| {
        PageRequest::new(bond.pasid(), GROUP, address, Access::WRITE).with_last(last)
    };
    // The same group index under another PASID is another group.
    for (bond, address) in [(&bond, 0x1000), (&other, 0x9000), (&bond, 0x2000)] {
        assert_eq!(reporter.report(request(bond, address, false)), Ok(Reported::Partial));
    }
    assert!(iopf.queue().is_empty());
    assert_eq!(reporter.report(request(&bond, 0x3000, true)), Ok(Reported::Queued));
    let group = iopf.queue().take().unwrap();
    assert_eq!((group.len(), group.index()), (3, GROUP));
    let addresses: Vec<_> = group.requests().map(|request| request.address()).collect();
    assert_eq!(addresses, [0x1000, 0x2000, 0x3000]);
    let mut seen = Vec::new();
    let code = handle_group(group, &mut |space: &stage::Named, request: &PageRequest| {
        seen.push((space.name, request.address()));
        if request.address() == 0x2000 {
            Err(Unresolved::Failure)
        } else {
            Ok(())
        }
    });
    // The first error is the answer and ends the group.
    assert_eq!((code, seen), (Code::Failure, vec![(1, 0x1000), (1, 0x2000)]));
    assert_eq!(codes(&told), [(GROUP.0, Code::Failure)]);
    let stats = bond.stats();
    assert_eq!((stats.faults, stats.groups, stats.failure), (3, 1, 1));
    assert_eq!(iopf.held().free_partials, 2);
}

#[test]
fn a_dropped_group_answers_invalid() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    iopf.reporter().report(read(bond.pasid(), 1)).unwrap();
    drop(iopf.queue().take().unwrap());
    assert_eq!(codes(&told), [(1, Code::Invalid)]);
}

#[test]
fn a_handler_that_panics_has_answered_invalid() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    iopf.reporter().report(read(bond.pasid(), 1)).unwrap();
    let group = iopf.queue().take().unwrap();
    let mut panics = |_: &stage::Named, _: &PageRequest| -> Result<(), Unresolved> { panic!("handler") };
    assert!(catch_unwind(AssertUnwindSafe(|| handle_group(group, &mut panics))).is_err());
    assert_eq!(codes(&told), [(1, Code::Invalid)]);
    assert!(bond.unbind().unwrap().poll_drained().is_ok());
}

#[test]
fn a_request_for_an_unattached_pasid_is_answered_at_once() {
    let (told, table, iopf) = device(SMALL);
    let refused = iopf.reporter().report(read(pasid(6), 1)).unwrap_err();
    assert_eq!((refused.reason, refused.answered), (Reason::Unattached(None), true));
    let _reserved = table.claim(pasid(6)).unwrap().reserve();
    let refused = iopf.reporter().report(read(pasid(6), 2)).unwrap_err();
    assert_eq!(refused.reason, Reason::Unattached(Some(busy(pasid(6), Holder::Reserved))));
    assert_eq!(codes(&told), [(1, Code::Invalid), (2, Code::Invalid)]);
}

#[test]
fn a_full_queue_answers_invalid_and_counts() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let reporter = iopf.reporter();
    for index in 0..2 {
        reporter.report(read(bond.pasid(), index)).unwrap();
    }
    let held = iopf.queue().take().unwrap();
    // A group being handled counts as well: the bound is on what is owed.
    let refused = reporter.report(read(bond.pasid(), 2)).unwrap_err();
    assert_eq!((refused.reason, refused.answered), (Reason::QueueFull { groups_max: 2 }, true));
    held.respond(Code::Success);
    assert_eq!(reporter.report(read(bond.pasid(), 3)), Ok(Reported::Queued));
    assert_eq!(codes(&told), [(2, Code::Invalid), (0, Code::Success)]);
    assert_eq!((bond.stats().overflows, iopf.stats().overflows), (1, 1));
}

/// The device expects its answer after the last request of the group, not before.
#[test]
fn a_group_that_lost_a_request_is_answered_invalid_with_its_last() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let reporter = iopf.reporter();
    for _ in 0..3 {
        reporter.report(read(bond.pasid(), 1).with_last(false)).unwrap();
    }
    let lost = reporter.report(read(bond.pasid(), 1).with_last(false)).unwrap_err();
    assert_eq!((lost.reason, lost.answered), (Reason::PartialLost, false));
    // What it had is room for others.
    assert_eq!(iopf.held().free_partials, 3);
    reporter.report(read(bond.pasid(), 2).with_last(false)).unwrap();
    // Lost is lost, though there is room now.
    assert!(reporter.report(read(bond.pasid(), 1).with_last(false)).is_err());
    assert_eq!(codes(&told), []);
    let last = reporter.report(read(bond.pasid(), 1)).unwrap_err();
    assert_eq!((last.reason, last.answered), (Reason::GroupLost, true));
    assert_eq!(codes(&told), [(1, Code::Invalid)]);
    // The index is as good as new.
    assert_eq!(reporter.report(read(bond.pasid(), 1)), Ok(Reported::Queued));
    assert_eq!((bond.stats().overflows, iopf.stats().overflows), (1, 2));
}

#[test]
fn more_open_groups_than_there_is_room_for_lose_requests_not_answers() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let reporter = iopf.reporter();
    for index in 0..2 {
        reporter.report(read(bond.pasid(), index).with_last(false)).unwrap();
    }
    let lost = reporter.report(read(bond.pasid(), 2).with_last(false)).unwrap_err();
    assert_eq!(lost.reason, Reason::PartialLost);
    assert_eq!(reporter.report(read(bond.pasid(), 2)), Ok(Reported::Queued));
    handle_group(iopf.queue().take().unwrap(), &mut |_: &stage::Named, _: &PageRequest| Ok(()));
    assert_eq!(codes(&told), [(2, Code::Success)]);
}

#[test]
fn a_stop_marker_is_not_answered_and_ends_its_pasids_open_groups() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let other = iopf.bind(told.named(2), PasidChoice::Any).unwrap();
    let reporter = iopf.reporter();
    reporter.report(read(bond.pasid(), 1).with_last(false)).unwrap();
    reporter.report(read(other.pasid(), 1).with_last(false)).unwrap();
    assert_eq!(reporter.report(PageRequest::stop_marker(bond.pasid())), Ok(Reported::StopMarker));
    assert_eq!((iopf.held().open_groups, iopf.held().free_partials), (1, 2));
    assert_eq!((iopf.stats().stop_markers, iopf.stats().discarded, iopf.stats().requests), (1, 1, 2));
    assert_eq!(codes(&told), []);
}

#[test]
fn a_request_that_asks_for_nothing_and_ends_nothing_is_malformed() {
    let (told, _table, iopf) = device(SMALL);
    let request = PageRequest::new(pasid(1), GROUP, 0, Access::NONE).with_last(false);
    let refused = iopf.reporter().report(request).unwrap_err();
    assert_eq!((refused.reason, refused.answered), (Reason::Malformed, false));
    assert_eq!((codes(&told), iopf.held().open_groups), (vec![], 0));
}

#[test]
fn discarded_partials_are_answered_or_forgotten_as_asked() {
    for (discard, answers) in [(Discard::AnswerInvalid, 2), (Discard::Forget, 0)] {
        let (told, _table, iopf) = device(SMALL);
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let reporter = iopf.reporter();
        for index in [1, 2, 2] {
            reporter.report(read(bond.pasid(), index).with_last(false)).unwrap();
        }
        assert_eq!(reporter.discard_partials(discard), 2);
        assert_eq!(told.answers().len(), answers);
        assert!(told.answers().iter().all(|response| response.code == Code::Invalid));
        assert_eq!((iopf.held().open_groups, iopf.held().free_partials), (0, 3));
        assert_eq!(iopf.stats().discarded, 2);
        let last = answers as u64;
        assert_eq!((bond.stats().groups, bond.stats().invalid, iopf.stats().groups), (last, last, last));
    }
}

// Removal

#[test]
fn a_quiesced_device_answers_invalid_and_binds_nobody() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let (reporter, queue) = (iopf.reporter(), iopf.queue());
    reporter.report(read(bond.pasid(), 1)).unwrap();
    reporter.report(read(bond.pasid(), 2).with_last(false)).unwrap();
    let iopf = iopf.quiesce(Discard::AnswerInvalid);
    assert_eq!(codes(&told), [(2, Code::Invalid)]);
    let refused = reporter.report(read(bond.pasid(), 3)).unwrap_err();
    assert_eq!((refused.reason, refused.answered), (Reason::NotEnabled, true));
    let partial = reporter.report(read(bond.pasid(), 4).with_last(false)).unwrap_err();
    assert_eq!((partial.reason, partial.answered), (Reason::NotEnabled, false));

    let iopf = iopf.poll_drained().unwrap_err();
    assert_eq!((iopf.held().groups, iopf.held().bonds), (1, 1));
    queue.wait().unwrap().respond(Code::Success);
    assert!(queue.wait().is_none());
    let iopf = iopf.poll_drained().unwrap_err();
    drop(bond);
    let stats = iopf.wait_drained().remove();
    told.removed.store(true, Ordering::Relaxed);
    assert_eq!((stats.groups, stats.success, stats.invalid), (3, 1, 2));

    let late = reporter.report(read(pasid(1), 5)).unwrap_err();
    assert_eq!((late.reason, late.answered), (Reason::Closed, false));
}

#[test]
fn queued_groups_can_be_answered_without_a_worker() {
    let (told, _table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    for index in 0..2 {
        iopf.reporter().report(read(bond.pasid(), index)).unwrap();
    }
    drop(bond);
    let iopf = iopf.quiesce(Discard::Forget);
    assert_eq!(iopf.answer_queued(), 2);
    assert_eq!(iopf.wait_drained().remove().invalid, 2);
    assert_eq!(codes(&told), [(0, Code::Invalid), (1, Code::Invalid)]);
}

#[test]
fn a_device_dropped_in_the_middle_leaves_nothing_unanswered() {
    let (told, table, iopf) = device(SMALL);
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let (reporter, queue) = (iopf.reporter(), iopf.queue());
    reporter.report(read(bond.pasid(), 1)).unwrap();
    reporter.report(read(bond.pasid(), 2)).unwrap();
    reporter.report(read(bond.pasid(), 3).with_last(false)).unwrap();
    let held = queue.take().unwrap();
    drop(iopf);
    assert_eq!(codes(&told), [(3, Code::Invalid), (2, Code::Invalid)]);
    assert!(queue.wait().is_none());
    held.respond(Code::Success);
    drop(bond);
    assert_eq!((told.answers().len(), table.in_use(), told.alive()), (3, 0, 0));
}

#[test]
fn errors_say_where_what_and_who() {
    let refused = Refused {
        request: PageRequest::new(pasid(7), GROUP, 0x7f00_1000, Access::READ | Access::WRITE),
        reason: Reason::Unattached(Some(busy(pasid(7), Holder::Detaching))),
        answered: true,
    };
    assert_eq!(
        refused.to_string(),
        "pasid 7: page request rw- at 0x7f001000: pasid 7: held by a detach in progress"
    );
    assert_eq!(
        Error::from(busy(pasid(7), Holder::User)).to_string(),
        "pasid 7: held by a user-space fault handler"
    );
}
