//! Whatever a record says of whatever descriptor: decoding does not panic, and the rest asks for no more than the
//! original did.
//!
//! Input: 64 bytes of descriptor, 64 of record, 8 of GENCAP; what is missing is zero.
#![no_main]

use idxd_spec::{Completion, Descriptor, GenCap, Opcode, Resume, iaa, resume, resume_on};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut bytes = [0; 136];
    let len = input.len().min(bytes.len());
    bytes[..len].copy_from_slice(&input[..len]);
    let (descriptor, rest) = bytes.split_first_chunk::<64>().unwrap();
    let (record, gencap) = rest.split_first_chunk::<64>().unwrap();
    let gencap = GenCap(u64::from_le_bytes(gencap.try_into().unwrap()));

    let as_iaa = (iaa::Descriptor::from_bytes(*descriptor), iaa::Completion::from_bytes(record));
    let _ = format!("{as_iaa:?} {:?}", as_iaa.1.status().name());
    assert_eq!((*as_iaa.0.as_bytes(), as_iaa.1.to_bytes()), (*descriptor, *record));

    let descriptor = Descriptor::from_bytes(*descriptor);
    let done = Completion::from_bytes(record.first_chunk().unwrap());
    let _ = format!("{descriptor:?} {done:?} {gencap:?}");
    check(&descriptor, resume(&descriptor, &done));
    check(&descriptor, resume_on(&descriptor, &done, gencap));
});

/// Sizes only shrink, and what says where and how to answer stays.
fn check(whole: &Descriptor, outcome: Resume) {
    let Resume::Rest(rest) = outcome else {
        let _ = format!("{outcome:?}");
        return;
    };
    assert_eq!(rest.opcode(), whole.opcode());
    assert_eq!(rest.completion_addr(), whole.completion_addr());
    assert_eq!(rest.pasid(), whole.pasid());
    match whole.opcode() {
        Opcode::APPLY_DELTA => {
            assert!(0 < rest.delta_size() && rest.delta_size() < whole.delta_size());
            assert_eq!((rest.xfer_size(), rest.dst_addr()), (whole.xfer_size(), whole.dst_addr()));
        }
        Opcode::BATCH => assert!(0 < rest.desc_count() && rest.desc_count() < whole.desc_count()),
        _ => assert!(0 < rest.xfer_size() && rest.xfer_size() < whole.xfer_size()),
    }
}
