//! Descriptors nobody sane would send: no panic, no signal, and not one byte outside what they name.

use idxd_emu::{Access, Bus, BusFault, DeviceConfig, DeviceKind, Model, QueueConfig, Step, Submission};
use idxd_spec::Descriptor;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::support::{Memory, PAGE, Rig};

/// A small memory at a fixed address, and nothing anywhere else.
struct Arena(Mutex<Vec<u8>>);

const ARENA: u64 = 0x10_0000;
const ARENA_LEN: usize = 8 * PAGE;

impl Arena {
    fn inside(addr: u64, len: usize, access: Access) -> Result<usize, BusFault> {
        let offset = addr.wrapping_sub(ARENA);
        if offset >= ARENA_LEN as u64 {
            return Err(BusFault { addr, access });
        }
        let offset = usize::try_from(offset).unwrap();
        if offset + len > ARENA_LEN {
            return Err(BusFault { addr: ARENA + ARENA_LEN as u64, access });
        }
        Ok(offset)
    }
}

impl Bus for Arena {
    fn present(&self, addr: u64, len: u64, _: Access) -> u64 {
        let offset = addr.wrapping_sub(ARENA);
        (ARENA_LEN as u64).saturating_sub(offset).min(len)
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        let from = Self::inside(addr, bytes.len(), Access::Read)?;
        bytes.copy_from_slice(&self.0.lock()[from..from + bytes.len()]);
        Ok(())
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault> {
        let to = Self::inside(addr, bytes.len(), Access::Write)?;
        self.0.lock()[to..to + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), BusFault> {
        let len = usize::try_from(len).unwrap();
        let (from, to) = (Self::inside(src, len, Access::Read)?, Self::inside(dst, len, Access::Write)?);
        self.0.lock().copy_within(from..from + len, to);
        Ok(())
    }
}

/// 64 bytes: anything, with a likely opcode and likely addresses in many of them.
fn descriptor() -> impl Strategy<Value = [u8; 64]> {
    let addr = || {
        prop_oneof![
            (0..ARENA_LEN as u64).prop_map(|offset| ARENA + offset),
            (0..ARENA_LEN as u64 / 64).prop_map(|line| ARENA + line * 64),
            any::<u64>(),
        ]
    };
    let opcode = prop_oneof![0..0x30_u8, 0x40..0x58_u8, any::<u8>()];
    let flags = prop_oneof![Just(0x0c_u32), Just(0), (0..0x10_u32), any::<u32>()];
    let tail = prop_oneof![Just([0; 24]), any::<[u8; 24]>()];
    let size = prop_oneof![0..20_000_u32, any::<u32>()];
    (opcode, flags, addr(), addr(), addr(), size, tail).prop_map(
        |(opcode, flags, record, src, dst, size, tail)| {
            let mut bytes = [0; 64];
            bytes[4..7].copy_from_slice(&flags.to_le_bytes()[..3]);
            bytes[7] = opcode;
            bytes[8..16].copy_from_slice(&record.to_le_bytes());
            bytes[16..24].copy_from_slice(&src.to_le_bytes());
            bytes[24..32].copy_from_slice(&dst.to_le_bytes());
            bytes[32..36].copy_from_slice(&size.to_le_bytes());
            bytes[40..].copy_from_slice(&tail);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Stepped by hand over a bus of its own: whatever comes, an engine runs it to its end.
    #[test]
    fn model_survives_any_descriptor(
        kind in prop_oneof![Just(DeviceKind::Dsa), Just(DeviceKind::Iaa)],
        descriptors in prop::collection::vec(descriptor(), 1..20),
        memory in any::<u64>(),
    ) {
        let queues = vec![QueueConfig { transfer_bytes_max: 1 << 16, ..QueueConfig::dedicated(32) }];
        let config = DeviceConfig { kind, queues, ..DeviceConfig::default() };
        let arena = Arena(Mutex::new(crate::support::bytes(ARENA_LEN, memory)));
        let model = Model::new(&config, arena, None).unwrap();
        let mut engine = model.engine(0);
        for descriptor in &descriptors {
            prop_assert_eq!(model.submit(0, &Descriptor::from_bytes(*descriptor)), Submission::Accepted);
        }
        // Batches whose list is other descriptors' leavings, too.
        prop_assert_eq!(model.submit(0, &Descriptor::batch(idxd_spec::SrcAddr(ARENA), 400)), Submission::Accepted);
        for _ in 0..=descriptors.len() {
            prop_assert_eq!(engine.run_one(), Step::Ran);
        }
        prop_assert_eq!(engine.run_one(), Step::Idle);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// In this process, with addresses that are ours, nobody's, or next to pages we watch.
    #[test]
    fn process_memory_outside_the_named_ranges_is_untouched(
        mut raw in descriptor(),
        src in 0..6 * PAGE,
        dst in 0..3 * PAGE,
        wild in prop::option::of(prop_oneof![0..0x1_0000_u64, 0x8000_0000_0000..u64::MAX]),
        len in 0..3 * PAGE as u32,
    ) {
        let rig = Rig::dsa();
        // Canaries on both sides of the destination, in the same map.
        let memory = Memory::with(&[0xa5; 6 * PAGE]);
        let target = Memory::with(&[0xa5; 8 * PAGE]);
        let to = wild.unwrap_or(target.addr(PAGE + dst));
        raw[8..16].copy_from_slice(&rig.record(1).to_le_bytes());
        raw[16..24].copy_from_slice(&memory.addr(src).to_le_bytes());
        raw[24..32].copy_from_slice(&to.to_le_bytes());
        raw[32..36].copy_from_slice(&len.to_le_bytes());
        raw[40..].fill(0);
        rig.submit(&Descriptor::from_bytes(raw));
        rig.drain();
        let seen = target.read(0, 8 * PAGE);
        let touched = PAGE + dst..PAGE + dst + len as usize;
        let outside = |at: &usize| wild.is_some() || !touched.contains(at);
        prop_assert!((0..8 * PAGE).filter(outside).all(|at| seen[at] == 0xa5));
        prop_assert!(memory.read(0, 6 * PAGE).iter().all(|byte| *byte == 0xa5));
        prop_assert_eq!(rig.run(&Descriptor::noop()).status(), idxd_spec::Status::SUCCESS);
    }
}
