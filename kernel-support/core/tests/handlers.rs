//! What an embedder needs whose handlers are not written in Rust, and whose PASIDs come and go by the thousand:
//! ledgers, replacement, user PASID tables, tags, handlers that want to wait.

use std::sync::Arc;

use proptest::prelude::*;
use sva_core::*;

mod stage;
use stage::{pasid, Recorder, Stage, Told, GROUP};

type Std = Stage<sva_core::Std>;

const LIMITS: Limits =
    Limits { groups_max: 4, queued_max: 4, partials_max: 4, open_groups_max: 4, bonds_max: 4 };

fn device() -> (Arc<Told>, PasidTable<Std>, Iopf<Std>) {
    let told = Arc::new(Told::default());
    let table = PasidTable::try_new(pasid(1), pasid(99), 64).unwrap();
    let iopf = Iopf::try_new(Recorder::new(told.clone()), table.clone(), LIMITS).unwrap();
    (told, table, iopf)
}

fn read(pasid: PasidNumber, index: u32) -> PageRequest {
    PageRequest::new(pasid, GroupIndex(GROUP.0 + index), 0x1000, Access::READ)
}

fn codes(told: &Told) -> Vec<Code> {
    told.answers().iter().map(|response| response.code).collect()
}

fn user(told: &Told, table: &PasidTable<Std>, number: u32, name: u32) -> AttachHandle<Std, User> {
    let reserved = table.claim(pasid(number)).unwrap().reserve();
    reserved.publish::<User>(NewHandle::try_new(told.named(name)).unwrap())
}

fn deposited(iopf: &Iopf<Std>, ledger: &Ledger<Std>, pasid: PasidNumber, index: u32) -> Receipt {
    iopf.reporter().report(read(pasid, index)).unwrap();
    ledger.deposit(iopf.queue().take().unwrap()).unwrap()
}

#[test]
fn a_receipt_opens_once() {
    let (told, _table, iopf) = device();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let ledger = Ledger::try_new(4).unwrap();
    let receipt = deposited(&iopf, &ledger, bond.pasid(), 7);
    assert_eq!(ledger.held(), 1);
    ledger.take(&receipt).unwrap().respond(Code::Success);
    assert!(ledger.take(&receipt).is_none());
    assert_eq!((codes(&told), ledger.held()), (vec![Code::Success], 0));
}

/// The place is used again by another group: the old receipt must not answer that one.
#[test]
fn an_old_receipt_opens_no_new_group() {
    let (told, _table, iopf) = device();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let ledger = Ledger::try_new(1).unwrap();
    let old = deposited(&iopf, &ledger, bond.pasid(), 1);
    drop(ledger.take(&old));
    let new = deposited(&iopf, &ledger, bond.pasid(), 2);
    assert!(ledger.take(&old).is_none());
    ledger.take(&new).unwrap().respond(Code::Success);
    assert_eq!(codes(&told), [Code::Invalid, Code::Success]);
}

#[test]
fn a_full_and_a_closed_ledger_give_the_group_back() {
    let (told, _table, iopf) = device();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let ledger = Ledger::try_new(1).unwrap();
    let held = deposited(&iopf, &ledger, bond.pasid(), 1);
    for _ in 0..2 {
        iopf.reporter().report(read(bond.pasid(), 2)).unwrap();
        ledger.deposit(iopf.queue().take().unwrap()).unwrap_err().respond(Code::Failure);
        assert!(ledger.close().all(|group| group.index() == GroupIndex(GROUP.0 + 1)));
    }
    assert!(ledger.take(&held).is_none());
    assert_eq!(codes(&told), [Code::Failure, Code::Invalid, Code::Failure]);
}

/// A replaced handle's group is answered after the new one took over; its answer must leave the new one alone.
#[test]
fn replacing_leaves_the_old_groups_to_the_old_handle() {
    let (told, table, iopf) = device();
    let old = user(&told, &table, 5, 1);
    iopf.reporter().report(read(pasid(5), 1)).unwrap();
    let group = iopf.queue().take().unwrap();
    let (new, retired) = old.replace(NewHandle::<Std, User>::try_new(told.named(2)).unwrap());
    assert_eq!((new.payload().name, new.pasid(), retired.in_flight()), (2, pasid(5), 1));
    iopf.reporter().report(read(pasid(5), 2)).unwrap();
    let next = iopf.queue().take().unwrap();
    assert_eq!(next.handle().unwrap().downcast_ref::<User>().unwrap().payload().name, 2);
    group.respond(Code::Invalid);
    assert_eq!(retired.in_flight(), 0);
    retired.wait();
    assert!(table.lookup::<User>(pasid(5), &2).unwrap().is_some());
    next.respond(Code::Success);
    drop(new.detach().wait());
    assert_eq!((table.in_use(), told.alive()), (0, 0));
}

/// Detached without waiting: the PASID is taken until its last group is answered, as iommufd's order of steps wants it.
#[test]
fn a_detach_nobody_waits_for_ends_with_the_last_answer() {
    let (told, table, iopf) = device();
    let handle = user(&told, &table, 5, 1);
    iopf.reporter().report(read(pasid(5), 1)).unwrap();
    let group = iopf.queue().take().unwrap();
    drop(handle.detach());
    let busy = Busy { pasid: pasid(5), holder: Holder::Detaching };
    assert_eq!(table.claim(pasid(5)).unwrap_err(), Error::Busy(busy));
    assert!(table.peek(pasid(5), |peek| matches!(peek, Peek::Busy(found) if found == busy)));
    group.respond(Code::Invalid);
    assert!(table.peek(pasid(5), |peek| matches!(peek, Peek::Free)));
    drop(user(&told, &table, 5, 2).detach().wait());
}

#[test]
fn only_a_pasid_nobody_has_is_diverted_to_the_user() {
    let (told, table, iopf) = device();
    let fallback = Some(PasidNumber::NONE);
    let unattached =
        |found: Result<Reported, Refused>| matches!(found.unwrap_err().reason, Reason::Unattached(_));
    assert!(unattached(iopf.reporter().report_or(read(pasid(9), 1), fallback)));
    let rid = user(&told, &table, 0, 1);
    iopf.reporter().report_or(read(pasid(9), 2), fallback).unwrap();
    let group = iopf.queue().take().unwrap();
    assert_eq!(group.handle().unwrap().downcast_ref::<User>().unwrap().pasid(), PasidNumber::NONE);
    drop(group);
    let claimed = table.claim(pasid(9)).unwrap();
    assert!(unattached(iopf.reporter().report_or(read(pasid(9), 3), fallback)));
    drop(claimed);
    drop(rid.detach().wait());
    // A bond at the fallback is no user's handler.
    let bond = iopf.bind(told.named(3), PasidChoice::Number(PasidNumber::NONE)).unwrap();
    assert!(unattached(iopf.reporter().report_or(read(pasid(9), 4), fallback)));
    drop(bond);
    assert_eq!(codes(&told), [Code::Invalid; 4]);
}

#[test]
fn answers_carry_the_tag_of_the_last_request_or_of_the_first() {
    let (told, _table, iopf) = device();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let reporter = iopf.reporter();
    for (index, tag, last) in [(1, 10, false), (1, 11, true), (2, 20, false), (2, 21, false)] {
        reporter.report(read(bond.pasid(), index).with_tag(tag).with_last(last)).unwrap();
    }
    iopf.queue().take().unwrap().respond(Code::Success);
    reporter.discard_partials(Discard::AnswerInvalid);
    let tags: Vec<_> = told.answers().iter().map(|answer| answer.tag).collect();
    assert_eq!(tags, [11, 20]);
}

/// The second try begins at the first request again, and is answered once.
#[test]
fn a_deferred_group_is_given_back_unanswered() {
    let (told, _table, iopf) = device();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    iopf.reporter().report(read(bond.pasid(), 1).with_last(false)).unwrap();
    iopf.reporter().report(read(bond.pasid(), 1)).unwrap();
    let mut seen = Vec::new();
    let mut wait = |_: &stage::Named, request: &PageRequest| {
        seen.push(request.is_last());
        if request.is_last() && seen.len() == 2 {
            Err(Unresolved::Deferred)
        } else {
            Ok(())
        }
    };
    let Attempt::Deferred(group) = attempt(iopf.queue().take().unwrap(), &mut wait) else {
        panic!("answered");
    };
    assert_eq!(codes(&told), []);
    assert!(matches!(attempt(group, &mut wait), Attempt::Answered(Code::Success)));
    assert_eq!(seen, [false, true, false, true]);
    assert_eq!(codes(&told), [Code::Success]);
    iopf.reporter().report(read(bond.pasid(), 2)).unwrap();
    let mut never = |_: &stage::Named, _: &PageRequest| Err(Unresolved::Deferred);
    assert_eq!(handle(iopf.queue().take().unwrap(), &mut never), Code::Invalid);
}

#[test]
fn a_report_tells_what_is_in_flight() {
    let (told, table, iopf) = device();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    iopf.reporter().report(read(bond.pasid(), 1)).unwrap();
    assert!(iopf.device().is_programmed(bond.pasid()));
    let report = table.report(bond.pasid()).unwrap();
    assert_eq!((report.stats.groups, report.stats.success, report.in_flight), (1, 0, 1));
    iopf.queue().take().unwrap().respond(Code::Success);
    let report = table.report(bond.pasid()).unwrap();
    assert_eq!((report.stats.success, report.in_flight, report.latency.count()), (1, 0, 1));
    assert!(table.report(pasid(50)).is_none());
}

proptest! {
    /// A table that grows gives out what a set would, and says who holds what however far it has grown.
    #[test]
    fn a_growing_table_is_a_set(numbers in prop::collection::vec(0u32..200, 1..150), max in 1usize..100) {
        let table = PasidTable::<Std>::try_new(pasid(1), pasid(199), max).unwrap();
        let mut tokens = std::collections::BTreeMap::new();
        for number in numbers {
            match table.claim(pasid(number)) {
                Ok(token) => {
                    prop_assert!(tokens.insert(number, token).is_none());
                    prop_assert!(tokens.len() <= max);
                }
                Err(Error::Busy(busy)) => {
                    prop_assert!(tokens.contains_key(&number));
                    prop_assert_eq!(busy.holder, Holder::Claimed);
                    tokens.remove(&number);
                }
                Err(error) => prop_assert_eq!((error, tokens.len()), (Error::TableFull { entries_max: max }, max)),
            }
            prop_assert_eq!(table.in_use(), tokens.len());
            for held in tokens.keys() {
                prop_assert!(table.lookup::<Sva>(pasid(*held), &0).is_err());
            }
        }
    }

    /// Whatever order handlers answer, answer again and let go in, and wherever removal comes: one answer a group.
    #[test]
    fn a_group_in_a_ledger_is_answered_once(steps in prop::collection::vec((0usize..4, 0u8..3), 0..20), end in 0usize..20) {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let ledger = Ledger::try_new(4).unwrap();
        let receipts: Vec<_> = (0..4).map(|index| deposited(&iopf, &ledger, bond.pasid(), index)).collect();
        for (at, (which, how)) in steps.into_iter().enumerate() {
            if at == end {
                ledger.close().for_each(drop);
            }
            match (how, ledger.take(&receipts[which])) {
                (0, Some(group)) => group.respond(Code::Success),
                (1, Some(group)) => group.respond(Code::Failure),
                (_, group) => drop(group),
            }
        }
        ledger.close().for_each(drop);
        let mut answered: Vec<_> = told.answers().iter().map(|answer| answer.index.0).collect();
        answered.sort_unstable();
        prop_assert_eq!(answered, [0, 1, 2, 3].map(|index| GROUP.0 + index));
        drop(bond);
        let stats = iopf.quiesce(Discard::AnswerInvalid).wait_drained().remove();
        prop_assert_eq!(stats.groups, 4);
    }
}

/// What reports takes the groups: nothing is queued, and the limit counts them all the same.
#[test]
fn a_received_group_is_the_reporters() {
    let told = Arc::new(Told::default());
    let table = PasidTable::try_new(pasid(1), pasid(99), 64).unwrap();
    let limits = Limits { queued_max: 0, groups_max: 1, ..LIMITS };
    let iopf = Iopf::<Std>::try_new(Recorder::new(told.clone()), table, limits).unwrap();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let reporter = iopf.reporter();
    assert!(reporter.receive(read(bond.pasid(), 1).with_last(false), None).unwrap().is_none());
    let mut place = reporter.receive(read(bond.pasid(), 1), None).unwrap();
    assert_eq!((place.as_ref().unwrap().len(), iopf.queue().len()), (2, 0));
    let full = reporter.receive(read(bond.pasid(), 2), None).unwrap_err();
    assert_eq!((full.reason, full.answered), (Reason::QueueFull { groups_max: 1 }, true));

    let mut tries = 0;
    let mut populate = |_: &stage::Named, _: &PageRequest| {
        tries += 1;
        if tries < 3 {
            Err(Unresolved::Deferred)
        } else {
            Ok(())
        }
    };
    assert_eq!(attempt_in(&mut place, &mut populate), None);
    assert!(place.is_some(), "deferred: still there");
    assert_eq!(attempt_in(&mut place, &mut populate), None);
    assert_eq!(attempt_in(&mut place, &mut populate), Some(Code::Success));
    assert!(place.is_none());
    assert_eq!(attempt_in(&mut place, &mut populate), None);
    assert_eq!(codes(&told), [Code::Invalid, Code::Success]);

    // There is no queue to put one into.
    let refused = reporter.report(read(bond.pasid(), 3)).unwrap_err();
    assert_eq!((refused.reason, refused.answered), (Reason::QueueFull { groups_max: 1 }, true));
    drop(bond);
    let stats = iopf.quiesce(Discard::AnswerInvalid).wait_drained().remove();
    assert_eq!((stats.requests, stats.groups, stats.success, stats.invalid), (4, 3, 1, 2));
}

/// There is room, but the device is going: nobody would look for the group there.
#[test]
fn a_closed_ledger_with_room_gives_the_group_back() {
    let (told, _table, iopf) = device();
    let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
    let ledger = Ledger::try_new(2).unwrap();
    assert_eq!(ledger.close().count(), 0);
    iopf.reporter().report(read(bond.pasid(), 1)).unwrap();
    ledger.deposit(iopf.queue().take().unwrap()).unwrap_err().respond(Code::Failure);
    assert_eq!((codes(&told), ledger.held()), (vec![Code::Failure], 0));
}
