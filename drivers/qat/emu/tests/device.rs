//! The device by its registers and bytes alone: nothing of the driver's, nor of `qat-spec`, is used here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use qat_emu::{Device, DeviceConfig, Region};

/// Two rings and two buffers in memory that was registered.
struct Bench {
    device: Device,
    memory: Box<Memory>,
}

#[repr(C, align(16384))]
struct Memory {
    requests: [AtomicU64; 64 * 16],
    responses: [AtomicU64; 256 * 4],
    src: [AtomicU64; 512],
    dst: [AtomicU64; 512],
}

const EMPTY: u64 = 0x7f7f_7f7f_7f7f_7f7f;

fn addr<T>(of: &T) -> u64 {
    (&raw const *of).expose_provenance() as u64
}

impl Bench {
    #[expect(unsafe_code, reason = "the memory lives as long as the device, and is accessed through atomics")]
    fn new(config: DeviceConfig) -> Self {
        let zero = || AtomicU64::new(0);
        let memory = Box::new(Memory {
            requests: std::array::from_fn(|_| zero()),
            responses: std::array::from_fn(|_| AtomicU64::new(EMPTY)),
            src: std::array::from_fn(|_| zero()),
            dst: std::array::from_fn(|_| zero()),
        });
        let device = Device::start(config).expect("a thread");
        // SAFETY: the box is not dropped before the device (fields in their order), and nothing has references to its
        // plain bytes.
        assert!(unsafe { device.map(addr(&*memory), size_of::<Memory>() as u64) });
        let this = Self { device, memory };
        let low = |addr: u64| u32::try_from(addr & 0xffff_ffff).expect("cut");
        let high = |addr: u64| u32::try_from(addr >> 32).expect("cut");
        let bases = [addr(&this.memory.requests), addr(&this.memory.responses)];
        // Both rings are of 8 KiB: code 7.
        for (ring, base) in (0_u64..).zip(bases) {
            this.ring(0x1000 + 4 * ring, 7);
            this.ring(0x1040 + 4 * ring, low(base));
            this.ring(0x1080 + 4 * ring, high(base));
        }
        this.ring(0x19c, 1);
        this
    }

    fn ring(&self, offset: u64, value: u32) {
        self.device.write32(Region::Rings, offset, value);
    }

    /// Writes a request's bytes at place `at`, and the tail after it.
    fn send(&self, at: usize, bytes: &[u8; 128]) {
        for (word, bytes) in self.memory.requests[16 * at..].iter().zip(bytes.chunks_exact(8)) {
            word.store(u64::from_le_bytes(bytes.try_into().expect("eight")), Ordering::Relaxed);
        }
        self.ring(0x100, u32::try_from((at + 1) * 128).expect("small"));
    }

    fn wait(&self, at: usize) -> [u8; 32] {
        let words = &self.memory.responses[4 * at..][..4];
        let end = Instant::now() + Duration::from_secs(60);
        while words[0].load(Ordering::Acquire) == EMPTY {
            assert!(Instant::now() < end, "no answer: {:?}", self.device.stats());
            std::thread::yield_now();
        }
        let words = words.iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        words.collect::<Vec<_>>().concat().try_into().expect("32 bytes")
    }

    fn ask(&self, message: u32) -> u32 {
        self.device.write32(Region::Misc, 0x100c, message);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.device.read32(Region::Misc, 0x1008);
            if answer & 1 != 0 {
                self.device.write32(Region::Misc, 0x1008, answer & !1);
                return answer;
            }
            assert!(Instant::now() < end, "no answer to {message:#x}");
            std::thread::yield_now();
        }
    }

    /// A dynamic deflate of all of `src`, level 1, as the tables have it.
    fn deflate(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0x00, &[0, 1, 9, 0x80, 0, 0, 2, 0]);
        put(0x08, &0x0f31_0000_u32.to_le_bytes());
        put(0x0c, &0x0305_0200_u32.to_le_bytes());
        put(0x18, b"a cookie");
        put(0x20, &addr(&self.memory.src).to_le_bytes());
        put(0x28, &addr(&self.memory.dst).to_le_bytes());
        for at in [0x30, 0x34, 0x38, 0x3c] {
            put(at, &4096_u32.to_le_bytes());
        }
        put(0x44, &[1]);
        put(0x48, &0x30043_u32.to_le_bytes());
        put(0x63, &[0x45]);
        bytes
    }
}

#[test]
fn a_request_by_the_table_is_answered_by_the_table() {
    let bench = Bench::new(DeviceConfig::default());
    for (index, word) in bench.memory.src.iter().enumerate() {
        word.store(0x7377_616c_6c6f_7700 + (index as u64 % 7), Ordering::Relaxed);
    }
    bench.send(0, &bench.deflate());
    let answer = bench.wait(0);
    assert_eq!(answer[..8], [0, 9, 0, 0xc0, 0, 0, 0, 1], "valid, verified, without an error");
    assert_eq!(&answer[8..16], b"a cookie");
    assert_eq!(answer[16..20], 4096_u32.to_le_bytes());
    let produced = u32::from_le_bytes(answer[20..24].try_into().expect("four"));
    let dst: Vec<u8> =
        bench.memory.dst.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    let src: Vec<u8> =
        bench.memory.src.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    let mut back = Vec::new();
    let stream = &dst[..usize::try_from(produced).expect("small")];
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(stream), &mut back).expect("a stream");
    assert_eq!(back, src);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&src);
    assert_eq!(answer[24..28], crc.to_le_bytes());
}

/// With room for one answer, the second request waits until the first answer has been read; and the ring goes round.
#[test]
fn a_full_response_ring_stalls_its_pair_until_the_head_moves() {
    let bench = Bench::new(DeviceConfig::default());
    // 64 bytes: two answers, of which one place stays free.
    bench.ring(0x1004, 0);
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < end, "{what}: {:?}", bench.device.stats());
            std::thread::yield_now();
        }
    };
    (0..8).for_each(|at| bench.send(at, &bench.deflate()));
    for read in 1..=6_u32 {
        let at = (read as usize - 1) % 2;
        assert_eq!(bench.wait(at)[3] & 0x80, 0x80);
        until("it stands still", &|| bench.device.stats().stalls >= read.into());
        assert_eq!(bench.device.stats().responses, read.into());
        bench.memory.responses[4 * at].store(EMPTY, Ordering::Relaxed);
        bench.ring(0x0c4, read % 2 * 32);
    }
}

#[test]
fn what_no_driver_writes_is_refused() {
    let bench = Bench::new(DeviceConfig::default());
    // Reserved bytes, a stateful session, another service, a second length that differs, a configuration nobody has.
    let spoilt: [(usize, u8); 6] = [(0x10, 1), (0x04, 4), (0x02, 4), (0x34, 1), (0x08, 1), (0x4c, 1)];
    for (at, (byte, value)) in spoilt.into_iter().enumerate() {
        let mut request = bench.deflate();
        request[byte] = value;
        bench.send(at, &request);
        let answer = bench.wait(at);
        assert!(answer[6] & 0b110 != 0, "byte {byte:#x}: {answer:02x?}");
    }
    assert_eq!(bench.device.stats().malformed, 6);
}

#[test]
fn only_registered_memory_is_reached() {
    let bench = Bench::new(DeviceConfig::default());
    let mut request = bench.deflate();
    request[0x20..0x28].copy_from_slice(&(addr(&*bench.memory) - 4096).to_le_bytes());
    bench.send(0, &request);
    let answer = bench.wait(0);
    assert_eq!((answer[5].cast_signed(), answer[6]), (-17, 0x20), "an error on the bus");
    // A write that is not translated brings no answer; the next request has one.
    let mut request = bench.deflate();
    request[0x28..0x30]
        .copy_from_slice(&(addr(&*bench.memory) + size_of::<Memory>() as u64 - 64).to_le_bytes());
    bench.send(1, &request);
    bench.send(2, &bench.deflate());
    assert_eq!(bench.wait(1)[3] & 0x80, 0x80);
    assert_eq!((bench.device.stats().dma_faults, bench.device.stats().responses), (2, 2));
}

#[test]
fn messages_are_answered_in_their_bits() {
    let bench = Bench::new(DeviceConfig::default());
    // Versions: type 6, version 5. Type 2, version 5, fits.
    assert_eq!(bench.ask(0x51b), 0x0001_050b);
    // Bytes of block 2: 2, 8; and a type there is not.
    assert_eq!(bench.ask(3 | 9 << 2 | 2 << 8), 3 | 3 << 2 | (2 << 2) << 8);
    assert_eq!(bench.ask(3 | 9 << 2 | (2 | 1 << 4) << 8), 3 | 3 << 2 | (8 << 2) << 8);
    assert_eq!(bench.ask(3 | 9 << 2 | 9 << 8) >> 8 & 3, 2, "an error");
    // A ring pair reset, and one of a ring pair there is not.
    assert_eq!(bench.ask(3 | 0x10 << 2 | 1 << 8), 3 | 0x10 << 2);
    assert_eq!(bench.ask(3 | 0x10 << 2 | 7 << 8) >> 8, 2);
}

#[test]
fn registers_that_do_not_exist_are_counted() {
    let bench = Bench::new(DeviceConfig::default());
    for offset in [0x0, 0x102, 0x2000 * 4, 0x1048] {
        assert_eq!(bench.device.read32(Region::Rings, offset), u32::MAX);
    }
    bench.device.write32(Region::Misc, 0x8, 1);
    assert_eq!(bench.device.stats().bad_accesses, 5);
}
