//! Inter-domain operations go on as those they are built on do, with the same handles.

use idxd_spec::{Alternate, Completion, Descriptor, Flags, IdptHandle};
use proptest::prelude::*;

use crate::device::Device;
use crate::{both, done_before_last, dst, last, memory, similar, src, stops};

const BOTH: Alternate = Alternate::Both { src: IdptHandle(0x1234), dst: IdptHandle(0x5678) };

fn handles_are_kept(records: &[(Descriptor, Completion)]) -> bool {
    let tail = |descriptor: &Descriptor| {
        let sides = Flags::ALTERNATE_SRC_PASID | Flags::ALTERNATE_DST_PASID;
        (descriptor.src_handle(), descriptor.dst_handle(), descriptor.flags() & sides)
    };
    records.iter().all(|(descriptor, _)| tail(descriptor) == tail(&records[0].0))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Never backwards.
    #[test]
    fn inter_domain_copy_resumes(memory in memory(), from in 0..1000u64, size in 1..3000u32, stops in stops()) {
        let copy = Descriptor::inter_domain_copy(src(from), dst(5000), size, BOTH);
        let (_, _, records) = both(&memory, copy, &stops);
        prop_assert!(handles_are_kept(&records));
    }

    #[test]
    fn inter_domain_fill_resumes(memory in memory(), pattern: u128, short: u64, size in 1..3000u32, wide: bool, stops in stops()) {
        let (to, handle) = (dst(7), IdptHandle(9));
        let fill = match wide {
            true => Descriptor::inter_domain_fill_16(pattern, to, size, handle),
            false => Descriptor::inter_domain_fill(short, to, size, handle),
        };
        let (_, _, records) = both(&memory, fill, &stops);
        prop_assert!(handles_are_kept(&records));
    }

    #[test]
    fn inter_domain_compare_resumes(memory in similar(), size in 1..2000u32, stops in stops()) {
        let compare = Descriptor::inter_domain_compare(src(0), src(2048), size, BOTH);
        let (_, at_once, records) = both(&memory, compare, &stops);
        let done = last(&records);
        prop_assert_eq!(done.result(), at_once.result());
        if done.result() == 1 {
            prop_assert_eq!(done_before_last(&records) + done.bytes_completed(), at_once.bytes_completed());
        }
        prop_assert!(handles_are_kept(&records));
    }

    #[test]
    fn inter_domain_compare_pattern_resumes(
        memory in memory(), pattern: u64, size in 1..2000u32, wrong in proptest::option::of(0..2000usize), stops in stops(),
    ) {
        let mut memory = memory;
        Device::run(&mut memory, &Descriptor::fill(pattern, dst(3), 2000), None);
        wrong.into_iter().for_each(|wrong| memory.flip(wrong));
        let compare = Descriptor::inter_domain_compare_pattern(src(3), pattern, size, IdptHandle(9));
        let (_, at_once, records) = both(&memory, compare, &stops);
        let done = last(&records);
        prop_assert_eq!(done.result(), at_once.result());
        if done.result() == 1 {
            prop_assert_eq!(done_before_last(&records) + done.bytes_completed(), at_once.bytes_completed());
        }
        prop_assert!(handles_are_kept(&records));
    }
}
