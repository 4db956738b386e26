//! Batches: members, fences, and lists with pages missing.

use idxd_emu::{DeviceConfig, FaultPlan};
use idxd_spec::{Descriptor, Status};

use crate::support::{Memory, PAGE, Rig};

/// Puts `members` into memory as a list.
fn list(members: &[Descriptor]) -> Memory {
    let bytes: Vec<u8> = members.iter().flat_map(|member| *member.as_bytes()).collect();
    Memory::with(&bytes)
}

fn marks(memory: &Memory, count: usize) -> Vec<u8> {
    memory.read(0, count)
}

fn mark(memory: &Memory, at: usize) -> Descriptor {
    Descriptor::fill(1, memory.dst(at), 1)
}

#[test]
fn batch_runs_every_member() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let members: Vec<_> = (0..200).map(|at| mark(&memory, at).with_completion(rig.record(1 + at))).collect();
    let list = list(&members);
    let completion = rig.run(&Descriptor::batch(list.src(0), 200));
    assert_eq!((completion.status(), completion.result()), (Status::SUCCESS, 0));
    assert_eq!(completion.descs_completed(), 200);
    assert_eq!(marks(&memory, 201), [vec![1; 200], vec![0]].concat());
    for at in 0..200 {
        assert_eq!(rig.completion(1 + at).status(), Status::SUCCESS);
    }
    let stats = rig.device.stats();
    assert_eq!((stats.accepted, stats.descriptors, stats.batches, stats.completions), (1, 201, 1, 201));
}

#[test]
fn failed_member_fails_the_batch_but_not_the_others() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let nested = Descriptor::batch(memory.src(0), 2).with_completion(rig.record(2));
    let drain = Descriptor::drain().with_completion(rig.record(3));
    let members = [mark(&memory, 0), nested, drain, mark(&memory, 3)];
    let list = list(&members);
    let completion = rig.run(&Descriptor::batch(list.src(0), 4));
    assert_eq!((completion.status(), completion.result()), (Status::BATCH_FAILED, 1));
    assert_eq!(completion.descs_completed(), 4);
    assert_eq!(marks(&memory, 4), [1, 0, 0, 1]);
    assert_eq!(rig.completion(2).status(), Status::BAD_OPCODE);
    assert_eq!(rig.completion(3).status(), Status::BAD_OPCODE);
}

#[test]
fn fence_behind_a_failure_abandons_the_rest() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let unequal = Descriptor::compare_pattern(memory.src(0), 5, 8)
        .with_expected_result(0)
        .with_completion(rig.record(1));
    let members = [
        mark(&memory, 100).with_fence(),
        unequal,
        mark(&memory, 101),
        mark(&memory, 102).with_fence(),
        mark(&memory, 103),
    ];
    let list = list(&members);
    let completion = rig.run(&Descriptor::batch(list.src(0), 5));
    assert_eq!((completion.status(), completion.descs_completed()), (Status::BATCH_FAILED, 3));
    assert_eq!(memory.read(100, 4), [1, 1, 0, 0]);
    assert_eq!(rig.completion(1).status(), Status::SUCCESS_PREDICATE_FALSE);
}

#[test]
fn fence_holds_when_members_run_in_any_order() {
    for seed in 0..20 {
        let plan = FaultPlan::seeded(seed).out_of_order();
        let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
        let memory = Memory::warm(PAGE);
        let mut members: Vec<_> = (0..63).map(|at| Descriptor::fill(at, memory.dst(0), 8)).collect();
        members.push(Descriptor::memmove(memory.src(0), memory.dst(64), 8).with_fence());
        members.extend((0..9).map(|_| Descriptor::noop()));
        let list = list(&members);
        assert_eq!(rig.run(&Descriptor::batch(list.src(0), 73)).status(), Status::SUCCESS, "seed {seed}");
        assert_eq!(memory.read(0, 8), memory.read(64, 8), "seed {seed}");
    }
}

#[test]
fn cold_list_is_asked_for_and_a_missing_one_ends_the_batch() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let members: Vec<_> = (0..128).map(|at| mark(&memory, at)).collect();
    let list = list(&members);
    list.unmap(PAGE, PAGE);
    let batch = Descriptor::batch(list.src(0), 128);
    let completion = rig.run(&batch);
    assert_eq!(completion.status(), Status::BATCH_PAGE_FAULT);
    assert_eq!((completion.descs_completed(), completion.fault_addr()), (64, list.addr(PAGE)));
    assert_eq!(marks(&memory, 128), [[1; 64], [0; 64]].concat());
    assert_eq!(rig.device.stats().page_requests_refused, 1);
    // What comes back is zeros: 64 no-ops that report nothing.
    list.protect(PAGE, PAGE, nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE);
    assert_eq!(rig.run(&batch).status(), Status::SUCCESS);
}

#[test]
fn batch_error_flag_is_a_failure_before_the_first_member() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let list = list(&[mark(&memory, 0), mark(&memory, 1).with_fence()]);
    let batch = Descriptor::batch(list.src(0), 2).with_flags(idxd_spec::Flags::BATCH_ERROR);
    let completion = rig.run(&batch);
    assert_eq!((completion.status(), completion.descs_completed()), (Status::BATCH_FAILED, 1));
    assert_eq!(marks(&memory, 2), [1, 0]);
}

#[test]
fn member_fault_is_in_its_own_record() {
    let rig = Rig::dsa();
    let (src, cold) = (Memory::with(&[5; PAGE]), Memory::cold(PAGE));
    let members = [
        Descriptor::memmove(src.src(0), cold.dst(0), 64).with_completion(rig.record(1)),
        Descriptor::noop().with_completion(rig.record(2)),
    ];
    let list = list(&members);
    assert_eq!(rig.run(&Descriptor::batch(list.src(0), 2)).status(), Status::BATCH_FAILED);
    assert_eq!(rig.completion(1).status(), Status::PAGE_FAULT.with_write());
    assert_eq!(rig.completion(2).status(), Status::SUCCESS);
}
