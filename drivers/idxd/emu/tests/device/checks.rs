//! Descriptors a device must refuse, and with which status.

use idxd_emu::{DeviceConfig, DeviceKind, QueueConfig};
use idxd_spec::{Descriptor, DstAddr, Flags, Opcode, SrcAddr, Status};
use proptest::prelude::*;

use crate::support::{Memory, PAGE, Rig};

fn strict() -> Rig {
    let queue = QueueConfig {
        transfer_bytes_max: 8192,
        batch_max: 8,
        block_on_fault: false,
        ..QueueConfig::default()
    };
    Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() })
}

/// The descriptor with one byte set.
fn poke(descriptor: Descriptor, at: usize) -> Descriptor {
    let mut bytes = *descriptor.as_bytes();
    bytes[at] = 1;
    Descriptor::from_bytes(bytes)
}

#[test]
fn each_refusal_has_its_status() {
    let rig = strict();
    let memory = Memory::warm(4 * PAGE);
    let (src, dst) = (memory.src(0), memory.dst(2 * PAGE));
    let copy = |len| Descriptor::memmove(src, dst, len);
    let unknown = Descriptor::from_bytes({
        let mut bytes = *Descriptor::noop().as_bytes();
        bytes[7] = 0x55;
        bytes
    });
    let cases = [
        (unknown, Status::BAD_OPCODE),
        (copy(0), Status::TRANSFER_SIZE),
        (copy(8193), Status::TRANSFER_SIZE),
        (copy(8).with_fence(), Status::INVALID_FLAGS),
        (copy(8).with_block_on_fault(), Status::INVALID_FLAGS),
        (copy(8).with_interrupt(1), Status::INVALID_FLAGS),
        (copy(8).with_flags(Flags::CHECK_RESULT), Status::INVALID_FLAGS),
        (copy(8).with_flags(Flags::from_bits_retain(1 << 6)), Status::INVALID_FLAGS),
        (copy(8).with_flags(Flags::from_bits_retain(1 << 15)), Status::INVALID_FLAGS),
        (copy(8).with_flags(Flags::from_bits_retain(1 << 20)), Status::INVALID_FLAGS),
        (copy(8).with_flags(Flags::CACHE_CONTROL_3), Status::INVALID_FLAGS),
        (Descriptor::noop().with_flags(Flags::BLOCK_ON_FAULT), Status::INVALID_FLAGS),
        (Descriptor::fill(1, dst, 8).with_flags(Flags::ADDR1_TC), Status::INVALID_FLAGS),
        (poke(copy(8), 36), Status::RESERVED_NOT_ZERO),
        (poke(copy(8), 63), Status::RESERVED_NOT_ZERO),
        (poke(Descriptor::noop(), 16), Status::RESERVED_NOT_ZERO),
        (poke(Descriptor::fill(1, dst, 8), 40), Status::RESERVED_NOT_ZERO),
        (poke(Descriptor::crc(src, 8, 0), 48), Status::RESERVED_NOT_ZERO),
        (poke(Descriptor::compare(src, src, 8), 41), Status::RESERVED_NOT_ZERO),
        (Descriptor::batch(src, 1), Status::DESCRIPTOR_COUNT),
        (Descriptor::batch(src, 9), Status::DESCRIPTOR_COUNT),
        (Descriptor::batch(memory.src(32), 2), Status::LIST_ALIGNMENT),
        (Descriptor::dualcast(src, dst, memory.dst(PAGE + 1), 8), Status::DUALCAST_ALIGNMENT),
        (Descriptor::dualcast(src, dst, dst, 8), Status::OVERLAPPING_BUFFERS),
        (Descriptor::dualcast(src, memory.dst(4), memory.dst(PAGE + 4), 8), Status::OVERLAPPING_BUFFERS),
        (Descriptor::copy_crc(src, memory.dst(7), 8, 0), Status::OVERLAPPING_BUFFERS),
        (Descriptor::crc(src, 8, 0).with_crc_seed_addr(memory.addr(2)), Status::ALIGNMENT),
        (Descriptor::crc64(src, 8, 0).with_crc_seed_addr(memory.addr(4)), Status::ALIGNMENT),
        (Descriptor::translation_fetch(src, 8).with_stride(5000), Status::ALIGNMENT),
        (Descriptor::translation_fetch(src, 8).with_stride(2048), Status::ALIGNMENT),
        (Descriptor::translation_fetch(src, 0), Status::TRANSFER_SIZE),
    ];
    for (descriptor, status) in cases {
        let completion = rig.run(&descriptor);
        assert_eq!(completion.status(), status, "{descriptor:?}");
        if status == Status::INVALID_FLAGS {
            let invalid = completion.invalid_flags();
            assert!(
                !invalid.is_empty() && descriptor.flags().contains(invalid),
                "{descriptor:?}: {invalid:?}"
            );
        }
    }
    assert_eq!(memory.read(0, 4 * PAGE), vec![0; 4 * PAGE]);
}

/// A result needs a record that is requested; the error goes to the record if there is one.
#[test]
fn result_without_a_requested_record_is_invalid() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    for descriptor in [
        Descriptor::compare(memory.src(0), memory.src(64), 8),
        Descriptor::compare_pattern(memory.src(0), 0, 8),
        Descriptor::crc(memory.src(0), 8, 0),
        Descriptor::drain(),
    ] {
        rig.clear(0);
        rig.submit(&descriptor.with_completion_on_error(rig.record(0)));
        let completion = rig.completion(0);
        assert_eq!(completion.status(), Status::INVALID_FLAGS, "{descriptor:?}");
        assert!(completion.invalid_flags().contains(Flags::REQUEST_COMPLETION));
    }
}

#[test]
fn misaligned_record_is_a_software_error_and_nothing_is_done() {
    let rig = Rig::dsa();
    let memory = Memory::with(&[1; PAGE]);
    rig.submit(&Descriptor::fill(2, memory.dst(0), 8).with_completion(rig.record(0) + 8));
    rig.drain();
    let error = rig.device.software_error().unwrap();
    assert_eq!((error.status, error.queue, error.opcode), (Status::COMPLETION_ALIGNMENT, 0, Opcode::FILL));
    assert_eq!((memory.read(0, 8), rig.told()), (vec![1; 8], 0));
}

/// Record or not, by status: §5.8.1 and the two flags.
#[test]
fn flags_decide_whether_a_record_is_written() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let fill = Descriptor::fill(2, memory.dst(0), 8);
    rig.submit(&fill);
    rig.submit(&fill.with_completion_on_error(rig.record(0)));
    rig.drain();
    assert_eq!((rig.told(), rig.device.software_error()), (0, None));
    let wrong = Descriptor::fill(2, memory.dst(0), 0);
    rig.submit(&wrong.with_completion_on_error(rig.record(0)));
    assert_eq!(rig.completion(0).status(), Status::TRANSFER_SIZE);
    rig.submit(&wrong);
    rig.submit(&Descriptor::fill(2, DstAddr(0x1000), 8));
    rig.drain();
    let error = rig.device.software_error().unwrap();
    assert_eq!((error.status, error.overflow), (Status::TRANSFER_SIZE, true));
    let poked = Descriptor::from_bytes({
        let mut bytes = *fill.as_bytes();
        bytes[8] = 32;
        bytes
    });
    rig.device.clear_software_error();
    rig.submit(&poked);
    rig.drain();
    assert_eq!(rig.device.software_error().unwrap().status, Status::RESERVED_NOT_ZERO);
}

proptest! {
    /// Reserved bytes as the model sees them against the table of the layout crate, which is by another hand.
    #[test]
    fn reserved_bytes_are_those_of_the_table(
        opcode in prop::sample::select(vec![
            Opcode::NOOP, Opcode::DRAIN, Opcode::MEMMOVE, Opcode::FILL, Opcode::COMPARE, Opcode::COMPARE_PATTERN,
            Opcode::DUALCAST, Opcode::TRANSLATION_FETCH, Opcode::CRC, Opcode::COPY_CRC, Opcode::CACHE_FLUSH,
        ]),
        at in 16_usize..64,
        seed_is_read: bool,
    ) {
        let rig = Rig::dsa();
        let mut bytes = [0; 64];
        bytes[7] = opcode.0;
        let mut descriptor = Descriptor::from_bytes(bytes);
        if seed_is_read && matches!(opcode, Opcode::CRC | Opcode::COPY_CRC) {
            descriptor = descriptor.with_flags(Flags::READ_CRC_SEED);
        }
        let descriptor = poke(descriptor, at);
        let status = rig.run(&descriptor).status();
        let with_record = descriptor.with_completion(rig.record(0));
        prop_assert_eq!(status == Status::RESERVED_NOT_ZERO, with_record.reserved_nonzero().is_some(), "{:?}", descriptor);
    }
}

#[test]
fn source_addresses_need_no_alignment() {
    let rig = Rig::dsa();
    let memory = Memory::with(&crate::support::bytes(PAGE, 1));
    let copy = Descriptor::memmove(SrcAddr(memory.addr(3)), memory.dst(2049), 777);
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
    assert_eq!(memory.read(3, 777), memory.read(2049, 777));
}

/// Every code, on both devices: refused as an unknown operation exactly if the capability register does not have it.
#[test]
fn operations_are_those_of_the_capability_register() {
    for kind in [DeviceKind::Dsa, DeviceKind::Iaa] {
        let rig = Rig::new(DeviceConfig { kind, ..DeviceConfig::default() });
        for code in 0..=255 {
            let mut bytes = [0; 64];
            bytes[7] = code;
            let status = rig.run(&Descriptor::from_bytes(bytes)).status();
            assert_eq!(
                status != Status::BAD_OPCODE,
                kind.op_cap().contains(Opcode(code)),
                "{kind:?} {code:#x}"
            );
        }
        assert_eq!((rig.device.kind(), kind.gen_cap().block_on_fault()), (kind, true));
    }
}
