//! Data integrity operations: the parts together write what the whole writes, and check with the right tags.

use idxd_spec::{Descriptor, DifFlags, DifTags, DstDifFlags, SrcDifFlags};
use proptest::prelude::*;

use crate::device::{Device, Memory};
use crate::{both, dst, last, memory, src, stops};

/// Source at the start of the memory, destination behind it.
const TO: u64 = 8192;

fn tags() -> impl Strategy<Value = DifTags> {
    (any::<u32>(), any::<u16>(), prop_oneof![Just(0), any::<u16>()])
        .prop_map(|(ref_tag, app_tag, app_tag_mask)| DifTags { ref_tag, app_tag, app_tag_mask })
}

/// Block size of 512 or 520, or 4096 or 4104, how the guard is made, and how many blocks fit.
fn blocks() -> impl Strategy<Value = (DifFlags, u32)> {
    (0..4u8, 0..4u8, 1..12u32).prop_map(|(size, guard, blocks)| {
        let blocks = if size < 2 { blocks } else { 1 };
        (DifFlags::from_bits_retain(size | guard << 2), blocks)
    })
}

/// How tags go from block to block, the same for a source and a destination.
fn steps() -> impl Strategy<Value = (SrcDifFlags, DstDifFlags)> {
    (any::<bool>(), any::<bool>()).prop_map(|(ref_is_fixed, app_increments)| {
        let bits = u8::from(ref_is_fixed) << 7 | u8::from(app_increments) << 4;
        (SrcDifFlags::from_bits_retain(bits), DstDifFlags::from_bits_retain(bits))
    })
}

/// The same memory with fields behind its blocks, `blocks` of them at `TO`.
fn with_fields(memory: &Memory, dif: DifFlags, blocks: u32, steps: DstDifFlags, tags: DifTags) -> Memory {
    let mut memory = memory.clone();
    let insert = Descriptor::dif_insert(src(0), dst(TO), blocks * dif.block_size(), dif, steps, tags);
    Device::run(&mut memory, &insert, None);
    memory
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dif_insert_resumes(memory in memory(), (dif, blocks) in blocks(), steps in steps(), tags in tags(), stops in stops()) {
        let insert = Descriptor::dif_insert(src(0), dst(TO), blocks * dif.block_size(), dif, steps.1, tags);
        let (_, at_once, records) = both(&memory, insert, &longer(&stops));
        prop_assert_eq!(last(&records).dst_dif_tags(), at_once.dst_dif_tags());
    }

    #[test]
    fn dix_generate_resumes(memory in memory(), (dif, blocks) in blocks(), steps in steps(), tags in tags(), stops in stops()) {
        let generate = Descriptor::dix_generate(src(0), dst(TO), blocks * dif.block_size(), dif, steps.1, tags);
        let (_, at_once, records) = both(&memory, generate, &longer(&stops));
        prop_assert_eq!(last(&records).dst_dif_tags(), at_once.dst_dif_tags());
    }

    #[test]
    fn dif_check_resumes(memory in memory(), (dif, blocks) in blocks(), steps in steps(), tags in tags(), stops in stops()) {
        let memory = with_fields(&memory, dif, blocks, steps.1, tags);
        let check = Descriptor::dif_check(src(TO), blocks * (dif.block_size() + 8), dif, steps.0, tags);
        let (_, at_once, records) = both(&memory, check, &longer(&stops));
        prop_assert_eq!(last(&records).src_dif_tags(), at_once.src_dif_tags());
    }

    #[test]
    fn dif_strip_resumes(memory in memory(), (dif, blocks) in blocks(), steps in steps(), tags in tags(), stops in stops()) {
        let memory = with_fields(&memory, dif, blocks, steps.1, tags);
        let strip = Descriptor::dif_strip(src(TO), dst(0), blocks * (dif.block_size() + 8), dif, steps.0, tags);
        let (_, at_once, records) = both(&memory, strip, &longer(&stops));
        prop_assert_eq!(last(&records).src_dif_tags(), at_once.src_dif_tags());
    }

    #[test]
    fn dif_update_resumes(
        memory in memory(), (dif, blocks) in blocks(), steps in steps(), new_steps in steps(), tags in tags(),
        new_tags in tags(), stops in stops(),
    ) {
        let memory = with_fields(&memory, dif, blocks, steps.1, tags);
        let size = blocks * (dif.block_size() + 8);
        let update = Descriptor::dif_update(src(TO), dst(0), size, dif, (steps.0, tags), (new_steps.1, new_tags));
        let (_, at_once, records) = both(&memory, update, &longer(&stops));
        prop_assert_eq!(last(&records).src_dif_tags(), at_once.src_dif_tags());
        prop_assert_eq!(last(&records).dst_dif_tags(), at_once.dst_dif_tags());
    }
}

/// Stops that are a few blocks apart.
fn longer(stops: &[u32]) -> Vec<u32> {
    stops.iter().map(|stop| stop * 4).collect()
}
