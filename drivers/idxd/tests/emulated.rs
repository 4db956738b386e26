//! The conformance bodies on the emulated DSA and IAA, and what only an emulated device can be told to do wrong.
//!
//! Oracles: straight loops, the `crc` crate, zlib in another implementation (`flate2`'s own tests hold it to zlib).

mod conformance;
mod misbehaviour;
mod support;

use conformance::{batch, compression, memory};
use idxd_emu::QueueConfig;
use support::{Faults, Setup};

/// Runs a body on each kind of work queue and with each policy that can end well.
fn everywhere(body: fn(&Setup)) {
    for queue in [QueueConfig::shared(16), QueueConfig::dedicated(16)] {
        for faults in [Faults::Resolve, Faults::ResolveByThreads, Faults::Prefetch, Faults::BlockOnFault] {
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
