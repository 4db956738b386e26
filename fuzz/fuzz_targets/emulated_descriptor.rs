//! Whatever descriptors a DSA or an IAA is sent: an engine runs each to its end, and writes nowhere but where they say.
//!
//! Over a bus of its own: a small memory, some pages of it absent, and nothing anywhere else. Input: a byte of flags, a
//! byte of absent pages, then descriptors of 64 bytes whose addresses are taken into the memory unless a flag says
//! not to.
#![no_main]

use std::sync::Mutex;

use idxd_emu::{Access, Bus, BusFault, DeviceConfig, DeviceKind, Model, PAGE_BYTES, QueueConfig, Step};
use idxd_spec::Descriptor;
use libfuzzer_sys::fuzz_target;

const ARENA: u64 = 0x10_0000;
const PAGES: u64 = 8;
const LEN: u64 = PAGES * PAGE_BYTES;
const DESCRIPTORS_MAX: usize = 8;

struct Memory {
    bytes: Vec<u8>,
    written: Vec<(u64, u64)>,
}

/// The memory, and which of its pages are absent.
struct Arena {
    memory: Mutex<Memory>,
    absent: u8,
}

impl Arena {
    /// Bytes from `addr` on that are there.
    fn run(&self, addr: u64, len: u64) -> u64 {
        let Some(offset) = addr.checked_sub(ARENA).filter(|offset| *offset < LEN) else { return 0 };
        let first = offset / PAGE_BYTES;
        let pages = (first..PAGES).take_while(|page| self.absent >> page & 1 == 0).count() as u64;
        ((first + pages) * PAGE_BYTES).saturating_sub(offset).min(len)
    }

    fn range(&self, addr: u64, len: u64, access: Access) -> Result<std::ops::Range<usize>, BusFault> {
        let run = self.run(addr, len);
        if run < len {
            return Err(BusFault { addr: addr.wrapping_add(run), access });
        }
        if len == 0 {
            return Ok(0..0);
        }
        let from = (addr - ARENA) as usize;
        Ok(from..from + len as usize)
    }
}

impl Bus for Arena {
    fn present(&self, addr: u64, len: u64, _: Access) -> u64 {
        self.run(addr, len)
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        let from = self.range(addr, bytes.len() as u64, Access::Read)?;
        bytes.copy_from_slice(&self.memory.lock().unwrap().bytes[from]);
        Ok(())
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault> {
        let to = self.range(addr, bytes.len() as u64, Access::Write)?;
        let mut memory = self.memory.lock().unwrap();
        memory.written.push((addr, bytes.len() as u64));
        memory.bytes[to].copy_from_slice(bytes);
        Ok(())
    }

    fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), BusFault> {
        let (from, to) = (self.range(src, len, Access::Read)?, self.range(dst, len, Access::Write)?);
        let mut memory = self.memory.lock().unwrap();
        memory.written.push((dst, len));
        memory.bytes.copy_within(from, to.start);
        Ok(())
    }
}

/// Keeps a handle on the memory that the model takes.
struct Shared(std::sync::Arc<Arena>);

impl Bus for Shared {
    fn present(&self, addr: u64, len: u64, access: Access) -> u64 {
        self.0.present(addr, len, access)
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        self.0.read(addr, bytes)
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault> {
        self.0.write(addr, bytes)
    }

    fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), BusFault> {
        self.0.copy(src, dst, len)
    }
}

fuzz_target!(|input: &[u8]| {
    let [flags, absent, rest @ ..] = input else { return };
    let is_iaa = flags & 1 != 0;
    let raw_addresses = flags & 2 != 0;
    let config = DeviceConfig {
        kind: if is_iaa { DeviceKind::Iaa } else { DeviceKind::Dsa },
        queues: vec![QueueConfig { transfer_bytes_max: 1 << 16, ..QueueConfig::dedicated(32) }],
        ..DeviceConfig::default()
    };
    let bytes = rest.iter().copied().cycle().take(LEN as usize).collect::<Vec<_>>();
    let bytes = if bytes.is_empty() { vec![0; LEN as usize] } else { bytes };
    let memory = Mutex::new(Memory { bytes, written: Vec::new() });
    let arena = std::sync::Arc::new(Arena { memory, absent: *absent });
    let model = Model::new(&config, Shared(std::sync::Arc::clone(&arena)), None).unwrap();
    let mut engine = model.engine(0);

    for bytes in rest.as_chunks::<64>().0.iter().take(DESCRIPTORS_MAX) {
        let mut bytes = *bytes;
        if !raw_addresses {
            // Record, first and second operand, and the third.
            for at in [8, 16, 24, 40] {
                let field = &mut bytes[at..at + 8];
                let addr = u64::from_le_bytes(field.try_into().unwrap());
                if addr == 0 {
                    // Reserved, for operations that have no such address.
                    continue;
                }
                let align = if at == 8 { !63 } else { !0 };
                field.copy_from_slice(&(ARENA + (addr % LEN & align)).to_le_bytes());
            }
        }
        let descriptor = Descriptor::from_bytes(bytes);
        let _ = model.submit(0, &descriptor);
        assert_eq!(engine.run_one(), Step::Ran);
        check(&descriptor, is_iaa, &std::mem::take(&mut arena.memory.lock().unwrap().written));
    }
    assert_eq!(engine.run_one(), Step::Idle);
});

/// Writes lie in the record or in an operand. A batch's members name their own.
fn check(descriptor: &Descriptor, is_iaa: bool, written: &[(u64, u64)]) {
    if !is_iaa && descriptor.opcode() == idxd_spec::Opcode::BATCH {
        return;
    }
    let field = |at: usize, size: usize| {
        let mut value = [0; 8];
        value[..size].copy_from_slice(&descriptor.as_bytes()[at..at + size]);
        u64::from_le_bytes(value)
    };
    let record = (descriptor.completion_addr(), if is_iaa { 64 } else { 32 });
    // An IAA: room for the output, and the state of the second source that a job leaves for the next: two areas of its size,
    // one of which is read and the other written (IAA §3.2).
    let operands = if is_iaa {
        vec![(field(24, 8), field(48, 4)), (field(24, 8), field(32, 4)), (field(40, 8), 2 * field(52, 4))]
    } else {
        // A destination, a second one, or a delta record.
        vec![(field(24, 8), field(32, 4)), (field(40, 8), field(32, 4)), (field(40, 8), field(48, 4))]
    };
    for &(addr, len) in written {
        let inside = |&(start, size): &(u64, u64)| {
            start <= addr && u128::from(addr) + u128::from(len) <= u128::from(start) + u128::from(size)
        };
        let named = len == 0 || inside(&record) || operands.iter().any(inside);
        assert!(named, "{len} bytes written at {addr:#x} by {descriptor:?}");
    }
}
