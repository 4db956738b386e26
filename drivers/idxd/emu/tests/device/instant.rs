//! The portal that completes at once.
//!
// UNSAFETY: promises what `InstantPortal::new` asks for, with memory that outlives the calls.
#![expect(unsafe_code, reason = "the constructor is a promise about addresses")]

use idxd_emu::{DeviceKind, InstantPortal, Submission};
use idxd_spec::{Completion, Descriptor, Status};

use crate::support::{Memory, PAGE};

#[test]
fn descriptor_and_members_are_complete_on_return() {
    let (records, list) = (Memory::with(&[0xff; PAGE]), Memory::warm(PAGE));
    let members: Vec<u8> =
        (1..4).flat_map(|at| *Descriptor::noop().with_completion(records.addr(at * 32)).as_bytes()).collect();
    list.write(0, &members);
    // SAFETY: `records` and `list` are mapped for the whole test, aligned, and used by this thread alone.
    let portal = unsafe { InstantPortal::new(DeviceKind::Dsa) };
    let batch = Descriptor::batch(list.src(0), 3).with_completion(records.addr(0));
    assert_eq!(portal.submit(&batch), Submission::Accepted);
    for at in 0..4 {
        let record = records.read(at * 32, 32);
        assert_eq!(Completion::from_bytes(record[..].try_into().unwrap()), Completion::new(Status::SUCCESS));
    }
    assert_eq!(records.read(128, 1), [0xff]);
    assert_eq!(
        portal.submit(&Descriptor::noop()),
        Submission::Accepted,
        "without a record nothing is written"
    );
}

#[test]
fn iaa_record_has_64_bytes() {
    let records = Memory::with(&[0xff; PAGE]);
    // SAFETY: as above.
    let portal = unsafe { InstantPortal::new(DeviceKind::Iaa) };
    let noop = idxd_spec::iaa::Descriptor::noop().with_completion(records.addr(64));
    assert_eq!(portal.submit_bytes(noop.as_bytes()), Submission::Accepted);
    assert_eq!(records.read(64, 64), [vec![1], vec![0; 63]].concat());
    assert_eq!((records.read(63, 1), records.read(128, 1)), (vec![0xff], vec![0xff]));
}
