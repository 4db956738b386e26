//! The conformance bodies on real work queues: the first of a DSA and the first of an IAA that can be opened, or the one
//! that `SVALA_TEST_QUEUE` names.
//!
//! Run in a guest, on a device that QEMU emulates under the kernel's own driver; never run on hardware yet. To run:
//! `cargo test -p svala-idxd --test hardware -- --ignored --nocapture`. `SVALA_TEST_METHOD` is `write` for descriptors by
//! `write(2)`, `mapped` for the CPU's instruction or nothing. A test that is run without a queue fails, and says what was
//! wrong with each.

mod conformance;
#[expect(dead_code, reason = "what only emulated devices are told to do")]
mod support;

use conformance::{
    analytics, batch, checksum, cipher, codes, compression, control, decryption, delta, dictionary,
    integrity, memory, miniblock, numeric, patterns, streams,
};
use support::{Faults, Setup};
use svala::backend::{Capabilities, Queue};
use svala::{FaultPolicy, Runtime};
use svala_idxd::{Device, DeviceType, HardwareOptions, HardwareQueue, MethodChoice, Sysfs, WorkQueue};

/// The first queue of this kind that opens.
fn first(
    devices: &[Device],
    device_type: DeviceType,
) -> Result<(&Device, &WorkQueue, HardwareQueue), String> {
    let mut reasons = String::new();
    let wanted = std::env::var("SVALA_TEST_QUEUE").ok();
    let options = HardwareOptions { method: method(), ..HardwareOptions::default() };
    for device in devices.iter().filter(|device| device.device_type == device_type) {
        for queue in device.work_queues.iter().filter(|queue| queue.is_enabled()) {
            if wanted.as_ref().is_some_and(|wanted| *wanted != queue.name) {
                continue;
            }
            match HardwareQueue::open(device, queue, &options) {
                Ok(open) => return Ok((device, queue, open)),
                Err(error) => reasons += &format!("\n  {error}"),
            }
        }
    }
    let name = device_type.name();
    Err(format!("no {name} work queue of {} devices can be used:{reasons}", devices.len()))
}

fn method() -> MethodChoice {
    match std::env::var("SVALA_TEST_METHOD").as_deref() {
        Ok("write") => MethodChoice::Write,
        Ok("mapped") => MethodChoice::Mapped,
        Ok(other) => panic!("SVALA_TEST_METHOD={other}: write or mapped"),
        Err(_) => MethodChoice::Auto,
    }
}

fn capabilities(queue: &HardwareQueue) -> &Capabilities {
    match queue {
        HardwareQueue::Dsa(queue) => queue.capabilities(),
        HardwareQueue::Iaa(queue) => queue.capabilities(),
        other => panic!("{other:?}"),
    }
}

/// A runtime on one real queue; none if the queue cannot do what the policy needs.
fn setup(device_type: DeviceType, faults: Faults) -> Option<Setup> {
    let found = Sysfs::default().discover().unwrap_or_else(|error| panic!("{error}: {:?}", error));
    let (device, queue, open) =
        first(&found.devices, device_type).unwrap_or_else(|reason| panic!("{reason}"));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = device.version.unwrap_or_default();
    println!("{} version {version:#x}, {queue} by {}, Linux {}", device.name, open.portal(), kernel.trim());
    let seen = capabilities(&open);
    if faults == Faults::BlockOnFault && !seen.block_on_fault {
        println!("{queue} does not block on faults: not run with that policy");
        return None;
    }
    let transfer_bytes_max = usize::try_from(seen.unsplit_bytes_max).expect("fits");
    let builder = Runtime::builder().config(|config| {
        config.faults = match faults {
            Faults::Prefetch => FaultPolicy::Prefetch,
            Faults::BlockOnFault => FaultPolicy::BlockOnFault,
            _ => FaultPolicy::Resolve,
        };
    });
    let builder = match open {
        HardwareQueue::Dsa(queue) => builder.queue(queue),
        HardwareQueue::Iaa(queue) => builder.queue(queue),
        other => panic!("{other:?}"),
    };
    let runtime = builder.build().expect("a runtime needs a thread and an eventfd");
    Some(Setup { runtime, faults, transfer_bytes_max })
}

fn everywhere(device_type: DeviceType, body: fn(&Setup)) {
    for faults in [Faults::Resolve, Faults::Prefetch, Faults::BlockOnFault] {
        if let Some(setup) = setup(device_type, faults) {
            body(&setup);
        }
    }
}

/// A test for each body, in a module for each kind of device.
macro_rules! on_hardware {
    ($module:ident, $device_type:ident: $($name:ident = $body:path;)*) => {
        mod $module {
            use super::*;
            $(
                #[test]
                #[ignore = "needs an enabled wq in /dev/dsa"]
                fn $name() {
                    everywhere(DeviceType::$device_type, $body);
                }
            )*
        }
    };
}

on_hardware! {
    dsa, Dsa:
    copy_is_right_at_every_length_and_offset = memory::copy_lengths;
    copy_of_cold_memory_is_right = memory::copy_cold;
    jobs_larger_than_a_transfer_are_whole = memory::larger_than_a_transfer;
    overlapping_copies_are_as_if_the_source_were_read_first = memory::overlapping;
    fill_writes_the_pattern_from_its_first_byte = memory::fill;
    compare_finds_the_first_difference = memory::compare;
    crc32c_is_castagnoli_and_chains = memory::crc32c;
    unmapped_memory_is_an_error_with_its_address = memory::unmapped;
    read_only_memory_is_an_error_with_its_address = memory::read_only;
    many_at_once_all_complete = memory::many_at_once;
    batches_answer_for_each_member = batch::mixed;
    a_batch_on_cold_memory_is_resumed = batch::cold;
    a_bad_member_fails_alone = batch::bad_member;
    a_noop_completes = control::noop;
    a_drain_completes = control::drain;
    a_flush_changes_nothing = control::cache_flush;
    a_translation_fetch_brings_pages_in = control::translation_fetch;
    dualcast_writes_both_destinations = patterns::dualcast;
    fill16_writes_the_pattern_from_its_first_byte = patterns::fill16;
    compare_pattern_finds_the_first_difference = patterns::compare_pattern;
    a_delta_record_is_that_of_the_whole = delta::create;
    a_delta_record_makes_one_range_the_other = delta::apply;
    a_broken_delta_record_is_an_error_with_its_offset = delta::broken;
    crcs_of_each_kind_chain = checksum::crc;
    a_copy_with_crc_is_both = checksum::copy_crc;
    inserted_fields_are_those_of_t10 = integrity::insert;
    generated_fields_are_those_of_t10 = integrity::dix_generate;
    checked_fields_are_right_or_say_which_block = integrity::check;
    stripped_fields_are_right_or_say_which_block = integrity::strip;
    updated_fields_are_right_or_say_which_block = integrity::update;
}

// What version 3 added: a device of an older one fails these.
on_hardware! {
    dsa3, Dsa:
    converted_numbers_are_those_of_a_loop = numeric::convert;
    sums_are_those_of_a_loop = numeric::reduce;
    gathered_sums_are_those_of_a_loop = numeric::gather_reduce;
    blocks_are_copied_and_filled_where_the_list_says = numeric::blocks;
}

on_hardware! {
    iaa, Iax:
    deflate_is_read_by_another_inflate = compression::deflate;
    inflate_reads_small_windows_and_leaves_large_ones = compression::inflate;
    compression_of_cold_memory_is_right = compression::cold;
    output_that_does_not_fit_is_an_error_with_the_buffers = compression::output_full;
    streams_longer_than_a_transfer_are_inflated_whole = streams::long_inflate;
    streams_of_sampled_lengths_are_right_both_ways = streams::lengths;
    other_programs_read_and_write_the_same_streams = streams::other_programs;
    a_room_too_small_is_an_error_and_one_that_fits_is_not = streams::rooms;
    streams_in_cold_memory_are_right = streams::cold;
    streams_the_device_cannot_decode_are_left_alone = streams::broken;
    codes_made_of_counts_are_better_than_fixed_ones = codes::levels;
    parts_of_every_length_are_right_at_every_level = codes::lengths;
    segments_of_every_kind_join_to_one_stream = codes::segments;
    a_room_is_too_small_or_just_enough_at_every_level = codes::rooms;
    each_operand_may_be_cold_at_every_level = codes::cold;
    scans_are_comparisons_of_each_element = analytics::scan;
    scans_of_cold_columns_are_right = analytics::scan_cold;
    filters_of_absent_memory_are_right = analytics::cold;
    questions_have_the_answers_of_a_loop = analytics::questions;
    extracts_are_slices = analytics::extract;
    masks_select_and_spread = analytics::select_and_expand;
    sets_hold_what_they_hold = analytics::sets;
    bursts_repeat_values = analytics::bursts;
    columns_of_any_encoding_are_filtered = analytics::encodings;
    zeros_are_left_out_and_put_back = analytics::zeros;
    crcs_of_any_polynomial_are_those_of_another_crate = analytics::crc_any;
    broken_columns_are_errors_with_their_values = analytics::broken_columns;
    segments_that_refer_to_a_dictionary_are_read_by_zlib = dictionary::deflate;
    streams_of_zlib_with_a_dictionary_are_read = dictionary::inflate;
    miniblocks_refer_to_nothing_else = miniblock::deflate;
    an_index_is_that_of_a_reader_bit_by_bit = miniblock::index;
    miniblocks_are_expanded_by_themselves = miniblock::inflate;
    what_is_no_miniblock_is_refused_with_its_reason = miniblock::refused;
    messages_are_encrypted_as_openssl_does = cipher::messages;
    forged_messages_are_errors_and_leave_nothing = cipher::forged;
    messages_of_lengths_that_cannot_be_are_refused = cipher::refused;
    encrypted_columns_are_filtered_as_plain_ones = decryption::columns;
    encrypted_columns_of_several_transfers_are_filtered_in_parts = decryption::long_columns;
    long_messages_that_were_changed_are_errors_and_leave_nothing = decryption::forged_long;
    encrypted_streams_are_expanded = decryption::streams;
    forged_columns_and_streams_are_errors_and_leave_nothing = decryption::forged;
    what_cannot_be_decrypted_in_front_is_refused = decryption::refused;
}
