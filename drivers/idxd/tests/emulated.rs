//! The conformance bodies on the emulated DSA and IAA, and what only an emulated device can be told to do wrong.
//!
//! Oracles: straight loops, the `crc` crate, zlib in another implementation (`flate2`'s own tests hold it to zlib).

mod conformance;
mod misbehaviour;
mod support;

use conformance::{
    analytics, batch, checksum, cipher, codes, compression, control, decryption, delta, dictionary,
    integrity, memory, miniblock, numeric, patterns, streams,
};
use idxd_emu::{QueueConfig, Version};
use support::{Emulation, Faults, Setup};

/// Runs a body on each kind of work queue and with each policy that can end well.
fn everywhere(body: fn(&Setup)) {
    for queue in [QueueConfig::shared(16), QueueConfig::dedicated(16)] {
        for faults in
            [Faults::Resolve, Faults::ResolveByThreads, Faults::Prefetch, Faults::BlockOnFault, Faults::Auto]
        {
            body(&Setup::new(queue.clone(), faults));
        }
    }
}

#[test]
fn copy_is_right_at_every_length_and_offset() {
    everywhere(memory::copy_lengths);
}

#[test]
fn copy_of_cold_memory_is_right() {
    everywhere(memory::copy_cold);
}

#[test]
fn jobs_larger_than_a_transfer_are_whole() {
    everywhere(memory::larger_than_a_transfer);
}

#[test]
fn overlapping_copies_are_as_if_the_source_were_read_first() {
    everywhere(memory::overlapping);
}

#[test]
fn fill_writes_the_pattern_from_its_first_byte() {
    everywhere(memory::fill);
}

#[test]
fn compare_finds_the_first_difference() {
    everywhere(memory::compare);
}

#[test]
fn crc32c_is_castagnoli_and_chains() {
    everywhere(memory::crc32c);
}

#[test]
fn unmapped_memory_is_an_error_with_its_address() {
    everywhere(memory::unmapped);
}

#[test]
fn read_only_memory_is_an_error_with_its_address() {
    everywhere(memory::read_only);
}

#[test]
fn many_at_once_all_complete() {
    everywhere(memory::many_at_once);
}

#[test]
fn batches_answer_for_each_member() {
    everywhere(batch::mixed);
}

#[test]
fn a_batch_on_cold_memory_is_resumed() {
    everywhere(batch::cold);
}

#[test]
fn a_bad_member_fails_alone() {
    everywhere(batch::bad_member);
}

#[test]
fn deflate_is_read_by_another_inflate() {
    everywhere(compression::deflate);
}

#[test]
fn inflate_reads_small_windows_and_leaves_large_ones() {
    everywhere(compression::inflate);
}

#[test]
fn compression_of_cold_memory_is_right() {
    everywhere(compression::cold);
}

#[test]
fn output_that_does_not_fit_is_an_error_with_the_buffers() {
    everywhere(compression::output_full);
}

/// As [`everywhere`] for a body on many lengths: each thing once, small transfers and large, and a DSA 1.
fn on_devices(body: fn(&Setup)) {
    let new = |queue, faults| Emulation::new(queue, faults).transfer_bytes_max(64 << 10);
    let (shared, dedicated) = (QueueConfig::shared(16), QueueConfig::dedicated(16));
    let devices = [
        new(shared.clone(), Faults::Resolve),
        new(dedicated.clone(), Faults::ResolveByThreads),
        new(dedicated.clone(), Faults::Prefetch),
        new(dedicated, Faults::Auto),
        new(shared.clone(), Faults::BlockOnFault),
        new(shared.clone(), Faults::Resolve).transfer_bytes_max(1 << 20),
        Emulation { version: Version::V1, engines: 1, ..new(shared, Faults::Resolve) },
    ];
    for device in devices {
        println!("{device:?}");
        body(&device.setup(|_| {}));
    }
}

/// A test for each body.
macro_rules! on_devices {
    ($($name:ident = $body:path;)*) => {
        $(
            #[test]
            fn $name() {
                on_devices($body);
            }
        )*
    };
}

on_devices! {
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
    streams_longer_than_a_transfer_are_inflated_whole = streams::long_inflate;
    streams_of_sampled_lengths_are_right_both_ways = streams::lengths;
    other_programs_read_and_write_the_same_streams = streams::other_programs;
    a_room_too_small_is_an_error_and_one_that_fits_is_not = streams::rooms;
    streams_in_cold_memory_are_right = streams::cold;
    codes_made_of_counts_are_better_than_fixed_ones = codes::levels;
    parts_of_every_length_are_right_at_every_level = codes::lengths;
    segments_of_every_kind_join_to_one_stream = codes::segments;
    a_room_is_too_small_or_just_enough_at_every_level = codes::rooms;
    each_operand_may_be_cold_at_every_level = codes::cold;
    streams_the_device_cannot_decode_are_left_alone = streams::broken;
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
    segments_that_refer_to_a_dictionary_are_read_by_zlib = dictionary::deflate;
    streams_of_zlib_with_a_dictionary_are_read = dictionary::inflate;
    miniblocks_refer_to_nothing_else = miniblock::deflate;
    an_index_is_that_of_a_reader_bit_by_bit = miniblock::index;
    miniblocks_are_expanded_by_themselves = miniblock::inflate;
    what_is_no_miniblock_is_refused_with_its_reason = miniblock::refused;
    messages_are_encrypted_as_openssl_does = cipher::messages;
    forged_messages_are_errors_and_leave_nothing = cipher::forged;
    messages_of_lengths_that_cannot_be_are_refused = cipher::refused;
    broken_columns_are_errors_with_their_values = analytics::broken_columns;
    encrypted_columns_are_filtered_as_plain_ones = decryption::columns;
    encrypted_columns_of_several_transfers_are_filtered_in_parts = decryption::long_columns;
    long_messages_that_were_changed_are_errors_and_leave_nothing = decryption::forged_long;
    encrypted_streams_are_expanded = decryption::streams;
    forged_columns_and_streams_are_errors_and_leave_nothing = decryption::forged;
    what_cannot_be_decrypted_in_front_is_refused = decryption::refused;
}

#[test]
fn an_iaa_alone_fetches_translations() {
    for faults in [Faults::Resolve, Faults::BlockOnFault] {
        let setup = Emulation::new(QueueConfig::shared(16), faults).iaa_alone();
        assert!(setup.offers(svala::Operation::TranslationFetch));
        control::translation_fetch(&setup);
    }
}

/// Where no queue fills, what was decrypted of a forged message is cleared all the same.
#[test]
fn an_iaa_alone_leaves_nothing_of_a_forged_message() {
    let setup =
        Emulation { version: Version::V2, ..Emulation::new(QueueConfig::shared(16), Faults::Resolve) };
    let setup = setup.iaa_alone();
    assert!(setup.offers(svala::Operation::DecryptGcm) && !setup.offers(svala::Operation::Fill));
    cipher::forged(&setup);
}

/// A DSA 3, with each policy that can end well, small transfers and large.
fn on_dsa_3(body: fn(&Setup)) {
    for faults in [Faults::Resolve, Faults::Prefetch, Faults::BlockOnFault] {
        for bytes in [64 << 10, 1 << 20] {
            let device = Emulation::new(QueueConfig::shared(16), faults).transfer_bytes_max(bytes);
            body(&Emulation { version: Version::V3, ..device }.setup(|_| {}));
        }
    }
}

#[test]
fn converted_numbers_are_those_of_a_loop() {
    on_dsa_3(numeric::convert);
}

#[test]
fn sums_are_those_of_a_loop() {
    on_dsa_3(numeric::reduce);
}

#[test]
fn gathered_sums_are_those_of_a_loop() {
    on_dsa_3(numeric::gather_reduce);
}

#[test]
fn blocks_are_copied_and_filled_where_the_list_says() {
    on_dsa_3(numeric::blocks);
}
