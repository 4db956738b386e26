//! The statuses that are an IAA's alone.

use idxd_emu::{FaultPlan, Which};
use idxd_spec::iaa::{DecompressFlags, Descriptor, FilterFlags};
use idxd_spec::{Opcode, Status};

use super::Reach;
use super::errors::{Parts, STORED, iaa, inflated};

fn status(descriptor: impl FnOnce(&Parts) -> Descriptor) -> Status {
    let parts = Parts::new(&STORED);
    iaa(FaultPlan::default()).run_iaa(&descriptor(&parts)).status()
}

fn failing(status: Status) -> Status {
    let rig = iaa(FaultPlan::default().fail(status, Which::Every));
    let given = rig.run_iaa(&Descriptor::noop()).status();
    // The one of the two is told of in the register as well (IAA table 4-7).
    rig.drain();
    let told = rig.device.software_error().map(|error| error.status);
    assert_eq!(told, (status == Status::PAGE_REQUEST_TIMEOUT).then_some(status));
    given
}

pub(super) const STATUSES: [Reach<Status>; 10] = [
    (Status::ANALYTICS_ERROR, || inflated(&[0b111]).status()),
    (Status::OUTPUT_OVERFLOW, || {
        let (stored, data) = (STORED, [0; 65]);
        let stream = [&stored[..1], &[65, 0, !65, !0], &data].concat();
        inflated(&stream).status()
    }),
    (Status::PAGE_REQUEST_TIMEOUT, || failing(Status::PAGE_REQUEST_TIMEOUT)),
    (Status::WATCHDOG, || failing(Status::WATCHDOG)),
    (Status::INVALID_COMPRESSION_FLAGS, || {
        status(|parts| parts.inflate(DecompressFlags::IGNORE_END_BITS_EXTENSION, STORED.len()))
    }),
    (Status::INVALID_FILTER_FLAGS, || status(|parts| parts.scan(4, FilterFlags::SRC2_BE))),
    (Status::INPUT_SIZE, || status(|parts| parts.inflate(DecompressFlags::BIT_ORDER_BE, 5))),
    (Status::ELEMENT_COUNT, || status(|parts| parts.scan(0, FilterFlags::empty()))),
    (Status::SRC1_WIDTH, || {
        // Counts of runs have 8, 16 or 32 bits.
        status(|parts| parts.with_second(Opcode::RLE_BURST, FilterFlags::empty().with_src1_width(4)))
    }),
    (Status::INVERT_OUTPUT, || {
        let flags = FilterFlags::INVERT_OUTPUT.with_src1_width(7);
        status(|parts| parts.with_second(Opcode::SELECT, flags))
    }),
];
