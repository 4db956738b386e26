//! Whatever is encrypted, in whatever mode: decrypted in front of an inflate, a scan or an extract it gives what the same gives
//! without the encryption, or the same kind of error, on an emulated IAA of long and of short transfers and on the CPU. Where
//! a message is not the one its tag was made of there is no answer, and nothing in the room.
//!
//! Input: sixteen bytes that choose cipher, operation, room and what is forged, then what is encrypted, which is repeated, and
//! may be deflated before.
#![no_main]

use std::io::Read;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::read::DeflateEncoder;
use idxd_emu::{QueueConfig, Version};
use libfuzzer_sys::fuzz_target;
use svala::{
    AesKey, Check, Cipher, CipherMode, CipherParameters, Column, Completed, Filter, FilterKind,
    FilterOptions, OutputWidth, Packing, Runtime, block_on,
};
use svala_idxd::{Emulated, EmulatedConfig};
use svala_software::{SoftwareConfig, SoftwareQueue, cipher};

mod both;

use both::{Ending, room};

const MESSAGE_BYTES_MAX: usize = 40 << 10;

/// The CPU by itself, then behind devices of these transfers: the least that one filters with, and expands with.
static RUNTIMES: LazyLock<[Runtime; 4]> =
    LazyLock::new(|| [None, Some(1 << 10), Some(8 << 10), Some(2 << 20)].map(runtime));

fn runtime(transfer_bytes_max: Option<u32>) -> Runtime {
    // The first queue that does something is asked for it.
    let mut builder = Runtime::builder();
    if let Some(transfer_bytes_max) = transfer_bytes_max {
        let queue = QueueConfig { transfer_bytes_max, ..QueueConfig::default() };
        let device = EmulatedConfig { queue, version: Version::V2, ..EmulatedConfig::default() };
        builder = builder.queue(Emulated::iaa(device).unwrap());
    }
    let cpu = SoftwareConfig { workers: 1, ..SoftwareConfig::default() };
    builder.queue(SoftwareQueue::new(cpu).unwrap()).build().unwrap()
}

/// What is asked of a message.
#[derive(Clone, Copy, Debug)]
enum Question {
    Inflate(Check),
    Filter(Filtering),
}

#[derive(Clone, Copy, Debug)]
struct Filtering {
    kind: FilterKind,
    packing: Packing,
    width: u8,
    count: u32,
    range: (u32, u32),
    is_deflated: bool,
    output: OutputWidth,
    options: FilterOptions,
}

/// The numbers of an inflate or of a filter.
type Answer = Ending<[u64; 5]>;

fn ask(
    runtime: &Runtime,
    question: Question,
    message: &[u8],
    cipher: Option<Cipher>,
    bytes: usize,
) -> Answer {
    let (src, dst) = (message.to_vec(), room(bytes));
    match question {
        Question::Inflate(check) => {
            let done = match cipher {
                Some(cipher) => block_on(runtime.decrypt_inflate(src, dst, cipher, check)),
                None => block_on(runtime.inflate(src, dst, check)),
            };
            let numbers =
                done.map(|done| done.map(|made| [made.read, made.written, made.check.into(), 0, 0]));
            Ending::of(numbers, message, |made| made[1])
        }
        Question::Filter(Filtering { kind, packing, width, count, range, is_deflated, output, options }) => {
            let column = match packing {
                Packing::Little => Column::packed(src, width, count),
                Packing::Big => Column::packed_big_endian(src, width, count),
                _ => Column::parquet_rle(src, width, count),
            };
            let column = if is_deflated { column.deflated() } else { column };
            let column = if let Some(cipher) = cipher { column.encrypted(cipher) } else { column };
            let filter = column.filter(kind).with_parameters(range.0, range.1);
            let filter = filter.with_output(output).with_options(options);
            let done = block_on(runtime.filter(column, Vec::new(), dst, filter));
            let back = |(column, _, dst): (Column<Vec<u8>>, Vec<u8>, both::Room)| (column.into_inner(), dst);
            let done = done.map_err(|failed| failed.map_buffers(back));
            let done = done.map(|Completed { value, report, buffers }| {
                let sums = value.aggregates;
                let sums = [sums.min, sums.max, sums.sum].map(u64::from);
                let value = [value.elements.into(), value.written, sums[0], sums[1], sums[2]];
                Completed { value, report, buffers: back(buffers) }
            });
            Ending::of(done, message, |found| found[1])
        }
    }
}

/// A message, and the cipher to decrypt it with. None: there is no such message.
fn encrypted(plain: &[u8], cipher: Cipher) -> Option<(Vec<u8>, Cipher)> {
    let by_others = match cipher.parameters() {
        CipherParameters::Gcm { key, nonce, aad, .. } => cipher::Cipher::Gcm { key, nonce, aad },
        CipherParameters::Cfb { key, iv } => cipher::Cipher::Cfb { key, iv },
        CipherParameters::Xts { key, tweak_key, tweak } => cipher::Cipher::Xts { key, tweak_key, tweak },
        _ => unreachable!("one of three modes"),
    };
    let mut message = vec![0; plain.len()];
    let tag = cipher::encrypt(&by_others, plain, &mut message).ok()?;
    Some((message, if let Some(tag) = tag { cipher.with_tag(tag) } else { cipher }))
}

/// The message or its cipher with something changed.
fn forged(mut message: Vec<u8>, cipher: Cipher, place: usize) -> (Vec<u8>, Cipher) {
    let at = place % (message.len() + 2);
    match (message.get_mut(at), cipher.parameters()) {
        (Some(byte), _) => *byte ^= 1 << (place % 8),
        (None, CipherParameters::Gcm { tag: Some(tag), .. }) if place % 2 == 0 => {
            let mut tag = *tag;
            tag[place % 16] ^= 1;
            return (message, cipher.with_tag(tag));
        }
        (None, _) => return (message, cipher.with_aad(*b"what was not there")),
    }
    (message, cipher)
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first_chunk::<16>() else { return };
    let [how, long, width, shape, sizes @ ..] = *choice;
    let [count, bytes, low, low_2, high, place] =
        std::array::from_fn(|at| u16::from_le_bytes([sizes[2 * at], sizes[2 * at + 1]]));
    let mut plain = rest.repeat(usize::from(long >> 2) + 1);
    plain.truncate(MESSAGE_BYTES_MAX);
    let width = width % 35;
    // A device does not say what width it has read in Parquet's encoding.
    if how & 0x20 != 0
        && shape >> 1 & 3 == 2
        && let Some(first) = plain.first_mut()
    {
        *first = width;
    }
    if how & 0x10 != 0 {
        let mut stream = Vec::new();
        DeflateEncoder::new(&plain[..], Compression::new(6)).read_to_end(&mut stream).unwrap();
        plain = stream;
    }
    let key = |seed: u8| AesKey::new(&vec![seed ^ width; if how & 4 != 0 { 32 } else { 16 }]).unwrap();
    let cipher = match CipherMode::ALL[usize::from(how & 3) % 3] {
        CipherMode::Gcm => Cipher::gcm(key(1), [shape; 12]).with_aad(vec![width; usize::from(how >> 6) * 9]),
        // Counters and tweaks that carry.
        CipherMode::Cfb => Cipher::cfb(key(1), [0xff; 16]),
        CipherMode::Xts => Cipher::xts(key(1), key(2), [0xff; 16]).unwrap(),
    };
    let question = match how >> 5 & 1 {
        0 => Question::Inflate([Check::None, Check::Crc32, Check::Adler32][usize::from(shape % 3)]),
        _ => Question::Filter(Filtering {
            kind: if shape & 1 == 0 { FilterKind::Scan } else { FilterKind::Extract },
            packing: [Packing::Little, Packing::Big, Packing::ParquetRle, Packing::Little]
                [usize::from(shape >> 1 & 3)],
            width,
            count: count.into(),
            range: (u32::from(low) | u32::from(low_2) << 16, u32::from(high)),
            is_deflated: how & 0x10 != 0,
            output: [OutputWidth::Nominal, OutputWidth::Bits8, OutputWidth::Bits16, OutputWidth::Bits32]
                [usize::from(shape >> 3 & 3)],
            options: FilterOptions::from_bits_retain(shape >> 5 << 2),
        }),
    };
    let bytes = usize::from(bytes);
    let device = match question {
        Question::Inflate(_) => &RUNTIMES[2 + usize::from(long & 1)],
        Question::Filter(_) => &RUNTIMES[1 + usize::from(long & 3) % 3],
    };
    let is_gcm = cipher.mode() == CipherMode::Gcm;
    let is_forged = is_gcm && how & 8 != 0;
    let Some((message, cipher)) = encrypted(&plain, cipher.clone()) else {
        let [by_cpu, by_device] =
            [&RUNTIMES[0], device].map(|it| ask(it, question, &plain, Some(cipher.clone()), bytes));
        assert!(by_device.is_as(&by_cpu), "{question:?}: {by_device:?}, the CPU: {by_cpu:?}");
        return;
    };
    let (message, cipher) = if is_forged { forged(message, cipher, place.into()) } else { (message, cipher) };
    let [by_cpu, by_device] =
        [&RUNTIMES[0], device].map(|it| ask(it, question, &message, Some(cipher.clone()), bytes));
    let of_plain = ask(&RUNTIMES[0], question, &plain, None, bytes);
    let is_nothing = match question {
        Question::Filter(Filtering { kind, packing, width, count, range, .. }) => {
            Filter::new(kind, packing, width, count).with_parameters(range.0, range.1).is_of_nothing()
        }
        Question::Inflate(_) => false,
    };
    for (who, answer) in [("the CPU", by_cpu), ("the device", by_device)] {
        assert!(!is_gcm || answer.value.is_ok() || answer.reveals_nothing(), "{who} reveals {answer:?}");
        match is_forged && !is_nothing {
            true => assert!(
                answer.value.is_err() && (of_plain.value.is_err() || answer.is_forgery()),
                "{who}: {answer:?}"
            ),
            false => assert!(answer.is_as(&of_plain), "{who}: {answer:?}, in plain: {of_plain:?}"),
        }
    }
});
