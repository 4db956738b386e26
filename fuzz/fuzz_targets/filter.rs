//! Whatever filter an IAA is sent: it ends, writes its output and its record and nothing else, and what it says is what a
//! loop over single bits says.
//!
//! Input: twelve bytes that choose operation, formats and parameters, then the column, then (a third of the rest) the second
//! input. Where the device refuses or finds too few elements, the loop has to agree that there is nothing to say.
#![no_main]

use std::sync::{Arc, Mutex};

use idxd_emu::{Access, Bus, BusFault, DeviceConfig, DeviceKind, Model, QueueConfig, Step};
use idxd_spec::iaa::{Completion, DecompressFlags, Descriptor, Filter, FilterAecs, FilterFlags};
use idxd_spec::{DstAddr, Opcode, SrcAddr, Status};
use libfuzzer_sys::fuzz_target;

const PAGE: u64 = 4096;
const RECORD: u64 = 0x10_0000;
const AECS: u64 = RECORD + PAGE;
const SRC: u64 = AECS + PAGE;
const SECOND: u64 = SRC + 4 * PAGE;
const DST: u64 = SECOND + 4 * PAGE;
const DST_LEN: u64 = 16 * PAGE;
const END: u64 = DST + DST_LEN;

/// Memory from `RECORD` to `END`, and which of it was written.
#[derive(Clone)]
struct Memory(Arc<Mutex<(Vec<u8>, Vec<(u64, u64)>)>>);

impl Memory {
    fn at(addr: u64, len: u64, access: Access) -> Result<std::ops::Range<usize>, BusFault> {
        match addr.checked_add(len) {
            Some(end) if addr >= RECORD && end <= END => {
                Ok((addr - RECORD) as usize..(end - RECORD) as usize)
            }
            _ => Err(BusFault { addr, access }),
        }
    }
}

impl Bus for Memory {
    fn present(&self, addr: u64, len: u64, access: Access) -> u64 {
        if Self::at(addr, len, access).is_ok() { len } else { 0 }
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        let from = Self::at(addr, bytes.len() as u64, Access::Read)?;
        bytes.copy_from_slice(&self.0.lock().unwrap().0[from]);
        Ok(())
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault> {
        let to = Self::at(addr, bytes.len() as u64, Access::Write)?;
        let mut memory = self.0.lock().unwrap();
        memory.1.push((addr, bytes.len() as u64));
        memory.0[to].copy_from_slice(bytes);
        Ok(())
    }

    fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), BusFault> {
        let mut bytes = vec![0; len as usize];
        self.read(src, &mut bytes)?;
        self.write(dst, &bytes)
    }
}

fn element(bytes: &[u8], at: usize, width: usize, big_endian: bool) -> Option<u32> {
    let mut value = 0;
    for step in 0..width {
        let bit = at * width + step;
        let byte = *bytes.get(bit / 8)?;
        let place = if big_endian { 7 - bit % 8 } else { bit % 8 };
        let shift = if big_endian { width - 1 - step } else { step };
        value |= u32::from(byte >> place & 1) << shift;
    }
    Some(value)
}

/// What comes of a column, element by element, before it is written; none if the inputs are too short.
fn expected(
    opcode: Opcode,
    elements: &dyn Fn(usize) -> Option<u32>,
    second: &dyn Fn(usize) -> Option<u32>,
    count: usize,
    (low, high): (u32, u32),
) -> Option<Vec<u32>> {
    match opcode {
        Opcode::SCAN => (0..count).map(|at| elements(at).map(|e| u32::from(low <= e && e <= high))).collect(),
        Opcode::EXTRACT => {
            let end = (high as usize).saturating_add(1).min(count);
            (low as usize..end.max(low as usize)).map(elements).collect()
        }
        Opcode::SELECT => {
            let mut out = Vec::new();
            for at in 0..count {
                let value = elements(at)?;
                if second(at)? == 1 {
                    out.push(value);
                }
            }
            Some(out)
        }
        Opcode::EXPAND => {
            let mut next = 0;
            let mut out = Vec::new();
            for at in 0..count {
                let bit = second(at)?;
                out.push(if bit == 1 { elements(next)? } else { 0 });
                next += bit as usize;
            }
            Some(out)
        }
        _ => None,
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first_chunk::<12>() else { return };
    let opcodes = [
        Opcode::SCAN,
        Opcode::EXTRACT,
        Opcode::SELECT,
        Opcode::EXPAND,
        Opcode::SET_MEMBERSHIP,
        Opcode::RLE_BURST,
        Opcode::FIND_UNIQUE,
    ];
    let opcode = opcodes[usize::from(choice[0]) % opcodes.len()];
    let width = choice[1] % 32 + 1;
    let (second, src) = rest.split_at(rest.len() / 3);
    let (src, second) =
        (&src[..src.len().min(4 * PAGE as usize)], &second[..second.len().min(4 * PAGE as usize)]);
    let count = u32::from(u16::from_le_bytes([choice[2], choice[3]])) % 5000;
    let low = u32::from_le_bytes([choice[4], choice[5], 0, choice[6] & 0x7f]);
    let high = u32::from_le_bytes([choice[7], choice[8], choice[9], 0]);
    let mut flags = FilterFlags::from_bits_retain(u32::from(choice[10]) << 12)
        & (FilterFlags::SRC2_BE | FilterFlags::OUTPUT_BE | FilterFlags::INVERT_OUTPUT);
    flags =
        flags.with_src1_parser(u32::from(choice[11] & 3)).with_output_width(u32::from(choice[11] >> 2 & 3));
    if flags.src1_parser() != 2 {
        flags = flags.with_src1_width(u32::from(width - 1));
    }
    let reads_second =
        matches!(opcode, Opcode::SELECT | Opcode::EXPAND | Opcode::SET_MEMBERSHIP | Opcode::RLE_BURST);
    if !reads_second {
        flags -= FilterFlags::SRC2_BE;
    }
    if opcode == Opcode::RLE_BURST {
        flags = flags.with_src2_width(u32::from(choice[4] % 32));
    }
    let suppresses = choice[11] & 0x80 != 0;

    let mut bytes = vec![0xa5; (END - RECORD) as usize];
    let mut put = |addr: u64, data: &[u8]| {
        let at = (addr - RECORD) as usize;
        bytes[at..at + data.len()].copy_from_slice(data);
    };
    put(SRC, src);
    put(SECOND, second);
    put(AECS, FilterAecs::new().with_low(low).with_high(high).as_bytes());
    let memory = Memory(Arc::new(Mutex::new((bytes, Vec::new()))));
    let config = DeviceConfig {
        kind: DeviceKind::Iaa,
        queues: vec![QueueConfig { transfer_bytes_max: 1 << 17, ..QueueConfig::dedicated(4) }],
        ..DeviceConfig::default()
    };
    let model = Model::new(&config, memory.clone(), None).unwrap();
    let mut descriptor = Descriptor::filter(
        opcode,
        Filter {
            src: SrcAddr(SRC),
            src_size: src.len() as u32,
            dst: DstAddr(DST),
            dst_size_max: DST_LEN as u32,
            flags,
            input_count: count,
        },
    )
    .with_completion(RECORD);
    if suppresses {
        descriptor = descriptor.with_decompress_flags(DecompressFlags::SUPPRESS_OUTPUT);
    }
    descriptor = match reads_second {
        true => descriptor.with_second_input(SrcAddr(SECOND), second.len() as u32),
        false => descriptor.with_filter_aecs(SrcAddr(AECS)),
    };
    let mut engine = model.engine(0);
    let _ = model.submit(0, &idxd_spec::Descriptor::from_bytes(*descriptor.as_bytes()));
    assert_eq!(engine.run_one(), Step::Ran);
    let memory = memory.0.lock().unwrap();
    let (bytes, written) = &*memory;
    for (addr, len) in written {
        let in_record = *addr >= RECORD && addr + len <= RECORD + 64;
        let in_output = *addr >= DST && addr + len <= END;
        assert!(in_record || (in_output && !suppresses), "{len} bytes at {addr:#x}");
    }
    let record = Completion::from_bytes(bytes[..64].try_into().unwrap());
    assert_ne!(record.status(), Status::NONE);
    if flags.src1_parser() > 1 {
        return;
    }
    let big_endian = flags.src1_parser() == 1;
    let elements = |at: usize| element(src, at, width.into(), big_endian);
    let bits = |at: usize| element(second, at, 1, flags.contains(FilterFlags::SRC2_BE));
    let Some(mut kept) = expected(opcode, &elements, &bits, count as usize, (low, high)) else {
        let is_judged = opcodes[..4].contains(&opcode);
        assert!(!is_judged || record.status() != Status::SUCCESS, "{record:?} of too little");
        return;
    };
    if record.status() != Status::SUCCESS {
        return;
    }
    let nominal = if opcode == Opcode::SCAN { 1 } else { usize::from(width) };
    if nominal == 1 && flags.contains(FilterFlags::INVERT_OUTPUT) {
        kept.iter_mut().for_each(|bit| *bit ^= 1);
    }
    let sum = kept.iter().fold(0_u32, |sum, value| sum.wrapping_add(*value));
    assert_eq!(record.sum(), sum, "{descriptor:?}");
    if suppresses {
        return;
    }
    if nominal == 1 && flags.output_width() != 0 {
        kept = (0..).zip(&kept).filter(|(_, bit)| **bit == 1).map(|(index, _)| index).collect();
    }
    let out = [nominal, 8, 16, 32][flags.output_width() as usize];
    let output = &bytes[(DST - RECORD) as usize..][..record.output_size() as usize];
    assert_eq!(output.len(), (kept.len() * out).div_ceil(8), "{descriptor:?}");
    for (at, value) in kept.iter().enumerate() {
        let found = element(output, at, out, flags.contains(FilterFlags::OUTPUT_BE));
        assert_eq!(found, Some(*value), "element {at} of {descriptor:?}");
    }
});
