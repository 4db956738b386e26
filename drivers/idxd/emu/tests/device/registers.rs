//! BAR0 as software sees it: what reads what, what is locked when, and that nothing it writes ends the process.

use idxd_emu::{
    Access, BAR0_BYTES, Bus, BusFault, DeviceKind, FaultPlan, Hardware, Model, PciConfig, Step, Submission,
    Version, Write,
};
use idxd_spec::register::{
    CMD, CMDCAP, CMDSTATUS, Cmd, CmdCode, CmdError, CmdStatus, DeviceState, ENGCAP, EVLCFG, EngCap, GENCAP,
    GENCFG, GENSTS, GRPCAP, GenSts, GrpCap, INTCAUSE, OFFSETS, OPCAP, ResetType, SWERROR, TableOffsets,
    VERSION, WQCAP, WqCap, WqCfg, WqState,
};
use idxd_spec::{GenCap, OpCap, Opcode};
use proptest::prelude::*;
use std::sync::Arc;

/// No memory at all.
pub(crate) struct Nothing;

impl Bus for Nothing {
    fn present(&self, _: u64, _: u64, _: Access) -> u64 {
        0
    }

    fn read(&self, addr: u64, _: &mut [u8]) -> Result<(), BusFault> {
        Err(BusFault { addr, access: Access::Read })
    }

    fn write(&self, addr: u64, _: &[u8]) -> Result<(), BusFault> {
        Err(BusFault { addr, access: Access::Write })
    }

    fn copy(&self, addr: u64, _: u64, _: u64) -> Result<(), BusFault> {
        Err(BusFault { addr, access: Access::Read })
    }
}

/// A device out of reset, with its PCI capabilities on.
pub(crate) fn fresh(hardware: &Hardware) -> Arc<Model<Nothing>> {
    let model = Model::unconfigured(hardware, FaultPlan::default(), Nothing, None);
    model.set_pci(PciConfig::default());
    model
}

pub(crate) fn command(model: &Model<Nothing>, code: CmdCode, operand: u32) -> CmdStatus {
    model.write(CMD, 4, Cmd::new(code).with_operand(operand).0.into());
    CmdStatus(model.read(CMDSTATUS, 4) as u32)
}

/// Work queue `wq` of a version 2 device: 64 bytes from the start of its table.
pub(crate) fn wq(index: u64) -> u64 {
    0x800 + index * 64
}

/// One group of `queues` and engine 0, and dedicated work queues of 16 entries, none of them enabled.
pub(crate) fn configured(hardware: &Hardware, queues: u64) -> Arc<Model<Nothing>> {
    let model = fresh(hardware);
    model.write(0x600, 8, (1 << queues) - 1);
    model.write(0x600 + 32, 8, 1);
    for index in 0..queues {
        write_wq(&model, index, &dedicated());
    }
    model
}

pub(crate) fn dedicated() -> WqCfg {
    WqCfg::default()
        .with_size(16)
        .with_dedicated(true)
        .with_priority(1)
        .with_pasid_enable(true)
        .with_pasid(7)
        .with_transfer_bytes_max_log2(20)
        .with_batch_descriptors_max_log2(4)
}

pub(crate) fn write_wq(model: &Model<Nothing>, index: u64, config: &WqCfg) {
    for at in 0..6_usize {
        model.write(wq(index) + at as u64 * 4, 4, config.0[at].into());
    }
}

fn second() -> Hardware {
    Hardware::new(DeviceKind::Dsa, Version::V2)
}

/// Against the values that are known of the first silicon, apart from the size of the message storage (bits 30:25) and
/// bit 38, which has no meaning in the specification.
#[test]
fn first_generation_shows_what_its_silicon_shows() {
    let model = fresh(&Hardware::sapphire_rapids_dsa());
    let known = 0x40_915f_0107_u64 & !(0x3f << 25) & !(1 << 38);
    assert_eq!(model.read(GENCAP, 8) & !(0x3f << 25), known);
    assert_eq!((model.read(VERSION, 4), model.read(CMDCAP, 8)), (0x100, 0));
    let queues = WqCap(model.read(WQCAP, 8));
    assert_eq!((queues.queues(), queues.total_size(), queues.wqcfg_size()), (8, 128, 32));
    assert_eq!(EngCap(model.read(ENGCAP, 8)).engines(), 4);
    assert_eq!(
        (GrpCap(model.read(GRPCAP, 8)).groups(), GrpCap(model.read(GRPCAP, 8)).read_buffers()),
        (4, 96)
    );
    assert_eq!(EngCap(fresh(&Hardware::sapphire_rapids_iaa()).read(ENGCAP, 8)).engines(), 8);
}

#[test]
fn versions_differ_in_what_they_can_do() {
    let cap = |version| {
        let model = fresh(&Hardware::new(DeviceKind::Dsa, version));
        let operations = OpCap([0, 1, 2, 3].map(|word| model.read(OPCAP + word * 8, 8)));
        (GenCap(model.read(GENCAP, 8)), operations, model.read(VERSION, 4))
    };
    let [first, second, third] = [Version::V1, Version::V2, Version::V3].map(cap);
    assert_eq!(
        [first.0, second.0, third.0].map(|cap| cap.event_log_entry_size()),
        [None, Some(64), Some(64)]
    );
    assert_eq!([first.0, second.0, third.0].map(|cap| cap.batch_of_one()), [false, false, true]);
    assert_eq!(
        [&first, &second, &third].map(|cap| cap.1.contains(Opcode::TRANSLATION_FETCH)),
        [false, true, true]
    );
    assert_eq!(
        [&first, &second, &third].map(|cap| cap.1.contains(Opcode::GATHER_COPY)),
        [false, false, true]
    );
    assert_eq!([first.2, second.2, third.2], [0x100, 0x200, 0x300]);
}

#[test]
fn narrow_accesses_are_parts_of_the_wide_ones() {
    let model = fresh(&second());
    let wide = model.read(OFFSETS, 8);
    assert_eq!(TableOffsets([wide, 0]).wq_config(), 0x800);
    for (size, count) in [(1, 8), (2, 4), (4, 2)] {
        let parts = (0..count).map(|at| model.read(OFFSETS + at * size, size as u32) << (at * size * 8));
        assert_eq!(parts.fold(0, |all, part| all | part), wide);
    }
    model.write(0x800 + 4, 2, 0x1234);
    model.write(0x800 + 5, 1, 0x56);
    assert_eq!(model.read(0x800, 8), 0x5634 << 32);
    // Not aligned, not a size, not there.
    assert_eq!([model.read(OFFSETS + 1, 2), model.read(OFFSETS, 3), model.read(BAR0_BYTES, 8)], [0; 3]);
}

#[test]
fn capabilities_cannot_be_written() {
    let model = fresh(&second());
    for offset in [VERSION, GENCAP, WQCAP, GRPCAP, ENGCAP, OPCAP, OFFSETS, GENSTS, CMDSTATUS, CMDCAP, 0x180] {
        let before = model.read(offset, 8);
        model.write(offset, 8, !before);
        assert_eq!(model.read(offset, 8), before, "{offset:#x}");
    }
}

/// Tables 9-4 and 9-7: each register, writable or not while the device and the work queue are as they are.
#[test]
fn configuration_is_locked_while_it_is_in_use() {
    let model = configured(&second(), 1);
    let is_writable = |offset: u64, bit: u32| {
        let before = model.read(offset, 4);
        model.write(offset, 4, before ^ 1 << bit);
        let is_writable = model.read(offset, 4) != before;
        model.write(offset, 4, before);
        is_writable
    };
    // GENCFG, EVLCFG, GRPCFG queues and flags, WQ size; threshold; mode, priority, transfer size, handle; OPCFG.
    let registers = [(GENCFG, 12), (EVLCFG + 8, 3), (0x600, 1), (0x628, 0), (wq(0), 2)];
    let of_the_queue = [(wq(0) + 8, 0), (wq(0) + 8, 5), (wq(0) + 12, 2), (wq(0) + 16, 1), (wq(0) + 32, 4)];
    let state =
        |offsets: &[(u64, u32)]| offsets.iter().map(|(at, bit)| is_writable(*at, *bit)).collect::<Vec<_>>();
    assert_eq!((state(&registers), state(&of_the_queue)), (vec![true; 5], vec![true; 5]));
    assert_eq!(command(&model, CmdCode::ENABLE_DEVICE, 0).error(), CmdError::NONE);
    assert_eq!((state(&registers), state(&of_the_queue)), (vec![false; 5], vec![true; 5]));
    assert_eq!(command(&model, CmdCode::ENABLE_WQ, 0).error(), CmdError::NONE);
    assert_eq!((state(&registers), state(&of_the_queue)), (vec![false; 5], vec![false; 5]));
    assert!(is_writable(wq(0) + 4, 3), "the threshold may change at any time");
    assert!(is_writable(wq(0) + 20, 3), "the occupancy limit may change while its interrupt is off");
    model.write(wq(0) + 20, 4, 1 << 16 | 5);
    model.write(wq(0) + 20, 4, 1 << 16 | 9);
    assert_eq!(model.read(wq(0) + 20, 4), 1 << 16 | 5, "and not while it is on");
    assert_eq!(
        WqCfg([0, 0, 0, 0, 0, 0, model.read(wq(0) + 24, 4) as u32, 0, 0, 0, 0, 0, 0, 0, 0, 0]).state(),
        WqState::ENABLED
    );
}

#[test]
fn reset_brings_the_first_values_back() {
    let model = configured(&second(), 2);
    let blank = fresh(&second());
    command(&model, CmdCode::ENABLE_DEVICE, 0);
    command(&model, CmdCode::ENABLE_WQ, 0);
    model.write(0x88, 4, 7);
    model.write(0x400, 4, 0x5000c);
    model.write(CMD, 4, Cmd::new(CmdCode::ENABLE_WQ).with_operand(99).0.into());
    assert_eq!(command(&model, CmdCode::RESET_DEVICE, 0), CmdStatus(0));
    for offset in (0..BAR0_BYTES).step_by(8) {
        assert_eq!(model.read(offset, 8), blank.read(offset, 8), "{offset:#x}");
    }
}

#[test]
fn reset_of_a_work_queue_keeps_its_size() {
    let model = configured(&second(), 1);
    command(&model, CmdCode::ENABLE_DEVICE, 0);
    command(&model, CmdCode::ENABLE_WQ, 0);
    assert_eq!(command(&model, CmdCode::RESET_WQ, 1), CmdStatus(0));
    assert_eq!([0, 4, 8, 12, 24].map(|at| model.read(wq(0) + at, 4)), [16, 0, 0, 0, 0]);
    assert_eq!(model.read(wq(0) + 32, 8), model.read(OPCAP, 8));
}

/// §9.1.3: the device halts, and only a function-level reset brings it back.
#[test]
fn changed_pci_configuration_halts_a_device_in_use() {
    let model = configured(&second(), 1);
    command(&model, CmdCode::ENABLE_DEVICE, 0);
    model.set_pci(PciConfig { bus_master: false, ..PciConfig::default() });
    let status = GenSts(model.read(GENSTS, 4) as u32);
    assert_eq!((status.state(), status.reset()), (DeviceState::Halted, ResetType::FunctionLevel));
    assert_eq!(model.read(SWERROR, 8) >> 8 & 0xff, 0x51);
    assert_eq!(command(&model, CmdCode::RESET_DEVICE, 0).error(), CmdError::HALTED);
    model.function_level_reset();
    assert_eq!((model.read(GENSTS, 4), model.read(SWERROR, 8), model.read(CMDSTATUS, 4)), (0, 0, 0));
    assert_eq!(command(&model, CmdCode::ENABLE_DEVICE, 0).error(), CmdError::BUS_MASTER_DISABLED);
}

/// Table 9-11, and that only whole 64-byte lines are portals.
#[test]
fn portals_take_the_writes_of_their_mode() {
    let model = configured(&second(), 2);
    let shared = dedicated().with_dedicated(false).with_threshold(16);
    write_wq(&model, 1, &shared);
    command(&model, CmdCode::ENABLE_DEVICE, 0);
    let noop = [0; 64];
    let answers =
        |offset| [Write::Deferrable, Write::Posted].map(|write| model.write_portal(offset, write, &noop));
    let refused = [Submission::Retry, Submission::Accepted];
    assert_eq!((answers(0x1000), answers(0x5000)), (refused, refused), "disabled");
    command(&model, CmdCode::ENABLE_WQ, 0);
    command(&model, CmdCode::ENABLE_WQ, 1);
    assert_eq!(answers(0x1fc0), refused, "dedicated");
    assert_eq!(model.stats().accepted, 1);
    assert_eq!(answers(0x5000), [Submission::Accepted; 2], "shared, where the posted write is lost");
    assert_eq!((model.stats().accepted, model.stats().dropped), (2, 3));
    assert_eq!((answers(0x1008), answers(0x20_0000)), (refused, refused), "no portal");
    assert_eq!(model.stats().accepted, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is written wherever, and whatever comes through the portals meanwhile.
    #[test]
    fn random_register_writes_never_panic(
        kind in prop_oneof![Just(DeviceKind::Dsa), Just(DeviceKind::Iaa)],
        version in prop_oneof![Just(Version::V1), Just(Version::V2), Just(Version::V3)],
        writes in prop::collection::vec(
            (
                prop_oneof![0..0x200_u64, 0x400..0xa00_u64, 0x2000..0x2900_u64, 0x8000..0xb000_u64, any::<u64>()],
                prop_oneof![Just(1_u32), Just(2), Just(4), Just(8), any::<u32>()],
                prop_oneof![any::<u64>(), 0..64_u64],
            ),
            0..200,
        ),
        commands in prop::collection::vec((0..20_u8, any::<u32>()), 0..20),
        starts_enabled: bool,
    ) {
        let hardware = Hardware { interrupt_handles: Some(3), ..Hardware::new(kind, version) };
        let model = configured(&hardware, 1);
        if starts_enabled {
            command(&model, CmdCode::ENABLE_DEVICE, 0);
            command(&model, CmdCode::ENABLE_WQ, 0);
        }
        let mut engine = model.engine(0);
        let mut commands = commands.into_iter();
        for (offset, size, value) in writes {
            model.write(offset & !u64::from(size.saturating_sub(1)), size, value);
            let _ = model.read(offset, size);
            let _ = model.write_portal((value % 0x2_0000) & !63, Write::Posted, &[value as u8; 64]);
            if let Some((code, operand)) = commands.next() {
                model.write(CMD, 4, Cmd::new(CmdCode(code)).with_operand(operand).0.into());
            }
            let _ = engine.run_one();
        }
        while engine.run_one() == Step::Ran {}
        for offset in (0..BAR0_BYTES).step_by(8) {
            let _ = model.read(offset, 8);
        }
        model.function_level_reset();
        prop_assert_eq!((model.read(GENSTS, 4), model.read(INTCAUSE, 4)), (0, 0));
    }
}
