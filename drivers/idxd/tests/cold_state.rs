//! Everything an IAA reads and writes beside the caller's buffers absent, before each descriptor: the AECS in either half,
//! parameters, counts, dictionaries.
//!
//! What a flight keeps for the device lies in shared memory here, of which pages can be taken out of the page tables
//! without losing what is in them; the portal does that to all of it before it hands a descriptor on for the first time. So
//! each descriptor faults on its own state, and has to be run again, as often as the device says so.
//!
//! UNSAFETY: an allocator with mappings of its own.
#![expect(unsafe_code, reason = "an allocator, and advice about its memory")]

mod conformance {
    #[path = "../../../software/tests/vectors/mod.rs"]
    pub(crate) mod vectors;
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use conformance::vectors::vectors;
use idxd_emu::{Capabilities, DeviceKind, QueueConfig, Version};
use idxd_spec::Descriptor;
use parking_lot::Mutex;
use pollster::block_on;
use svala::backend::{Completion, Kind, Notifier};
use svala::{
    AesKey, Check, Cipher, Column, DeflateOptions, Dictionary, FaultPolicy, Predicate, Report, Runtime,
};
use svala_idxd::{Accepted, EmulatedConfig, EmulatedPortal, IaaQueue, IaaQueueConfig, Portal};

/// Bytes from which an allocation aligned as a cache line is a flight's state.
const STATE_BYTES_MIN: usize = 8192;
const MAPPINGS_MAX: usize = 64;

/// Where the mappings are, and how long they are.
static STARTS: [AtomicUsize; MAPPINGS_MAX] = [const { AtomicUsize::new(0) }; MAPPINGS_MAX];
static LENGTHS: [AtomicUsize; MAPPINGS_MAX] = [const { AtomicUsize::new(0) }; MAPPINGS_MAX];

/// Held by each test: what one evicts, another may be about to use, and again.
static ALONE: Mutex<()> = Mutex::new(());

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn is_state(layout: Layout) -> bool {
    layout.align() == 64 && layout.size() >= STATE_BYTES_MIN
}

// SAFETY: memory is the system allocator's, or a mapping of its own, which is page-aligned and lives until it is freed.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_state(layout) {
            let take = |place: &AtomicUsize| place.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
            if let Some(index) = STARTS.iter().position(|place| take(place).is_ok()) {
                let (prot, flags) =
                    (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
                // SAFETY: a new mapping.
                let start = unsafe { libc::mmap(std::ptr::null_mut(), layout.size(), prot, flags, -1, 0) };
                if start == libc::MAP_FAILED {
                    return std::ptr::null_mut();
                }
                LENGTHS[index].store(layout.size(), Ordering::SeqCst);
                STARTS[index].store(start.expose_provenance(), Ordering::SeqCst);
                return start.cast();
            }
        }
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let own = STARTS.iter().position(|place| place.load(Ordering::SeqCst) == ptr.addr());
        if let Some(index) = own.filter(|_| is_state(layout)) {
            LENGTHS[index].store(0, Ordering::SeqCst);
            STARTS[index].store(0, Ordering::SeqCst);
            // SAFETY: the mapping `alloc` made, which nobody uses any more.
            unsafe { libc::munmap(ptr.cast(), layout.size()) };
            return;
        }
        // SAFETY: the caller's contract, and the memory is the system allocator's.
        unsafe { System.dealloc(ptr, layout) };
    }
}

/// Takes the pages of every flight's state out of the page tables.
fn evict() {
    for (start, len) in STARTS.iter().zip(&LENGTHS) {
        let (start, len) = (start.load(Ordering::SeqCst), len.load(Ordering::SeqCst));
        if start > 1 && len > 0 {
            let start = std::ptr::without_provenance_mut(start);
            // SAFETY: shared memory: what is in it stays, and comes back when it is touched.
            unsafe { libc::madvise(start, len, libc::MADV_DONTNEED) };
        }
    }
}

/// Whether any flight's state has `key` in it.
fn holds(key: &[u8]) -> bool {
    STARTS.iter().zip(&LENGTHS).any(|(start, len)| {
        let (start, len) = (start.load(Ordering::SeqCst), len.load(Ordering::SeqCst));
        if start <= 1 || len == 0 {
            return false;
        }
        let start: *const u8 = std::ptr::with_exposed_provenance(start);
        // SAFETY: a mapping of `alloc`'s, and nothing is under way that writes there.
        let state = unsafe { std::slice::from_raw_parts(start, len) };
        state.windows(key.len()).any(|window| window == key)
    })
}

/// A key that a test looks for, and whether it was in some flight's state when a descriptor was submitted.
static KEY: Mutex<(Vec<u8>, bool)> = Mutex::new((Vec::new(), false));

/// The portal of an emulated IAA that evicts before each descriptor it has not seen just before.
struct Evicting {
    portal: EmulatedPortal,
    last: Mutex<Option<[u8; 64]>>,
    descriptors: Arc<AtomicU64>,
}

impl Portal for Evicting {
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        let mut bytes = *descriptor.as_bytes();
        // Where the record goes is another place each time.
        bytes[8..16].fill(0);
        let mut last = self.last.lock();
        if last.replace(bytes) != Some(bytes) {
            self.descriptors.fetch_add(1, Ordering::SeqCst);
            let mut key = KEY.lock();
            key.1 |= !key.0.is_empty() && holds(&key.0);
            evict();
        }
        self.portal.submit(descriptor)
    }

    fn kind(&self) -> Kind {
        self.portal.kind()
    }

    fn completion(&self) -> Completion {
        self.portal.completion()
    }

    fn attach(&self, notifier: Notifier) {
        self.portal.attach(notifier);
    }

    fn close(&self) {
        self.portal.close();
    }
}

const TRANSFER_BYTES_MAX: u32 = 64 << 10;

/// A runtime on such an IAA, and a count of its descriptors.
fn runtime(version: Version) -> (Runtime, Arc<AtomicU64>) {
    let queue = QueueConfig { transfer_bytes_max: TRANSFER_BYTES_MAX, ..QueueConfig::shared(8) };
    let config = EmulatedConfig { version, queue, ..EmulatedConfig::default() };
    let portal = EmulatedPortal::start(config, DeviceKind::Iaa).expect("starts");
    let descriptors = Arc::new(AtomicU64::new(0));
    let portal = Evicting { portal, last: Mutex::new(None), descriptors: Arc::clone(&descriptors) };
    let config = IaaQueueConfig {
        name: "cold".into(),
        depth: 2,
        transfer_bytes_max: TRANSFER_BYTES_MAX,
        iaa_cap: Capabilities::of(DeviceKind::Iaa, version).iaa_cap,
        ..IaaQueueConfig::default()
    };
    let runtime = Runtime::builder()
        .queue(IaaQueue::new(portal, &config))
        .config(|config| config.faults = FaultPolicy::Resolve)
        .build()
        .expect("builds");
    (runtime, descriptors)
}

fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Something that compresses, longer than two transfers.
fn text() -> Vec<u8> {
    noise(150_000, 5).iter().map(|byte| b"etaoin shrdlu. e"[usize::from(byte % 16)]).collect()
}

/// That as many descriptors as there were, each with state that has been evicted, faulted at least once.
fn each_faulted(what: &str, report: &Report, descriptors: u64) {
    let faults = report.faults.faults;
    assert!(descriptors > 0 && faults >= descriptors, "{what}: {faults} faults in {descriptors} descriptors");
}

fn inflated(stream: &[u8], dictionary: &[u8], len: usize) -> Vec<u8> {
    let mut state = flate2::Decompress::new(false);
    if !dictionary.is_empty() {
        state.set_dictionary(dictionary).expect("at the start");
    }
    let mut bytes = vec![0; len];
    state.decompress(stream, &mut bytes, flate2::FlushDecompress::Finish).expect("a stream");
    assert_eq!(state.total_out(), len as u64);
    bytes
}

#[test]
fn compression_with_cold_state_is_right() {
    let _alone = ALONE.lock();
    let bytes = text();
    for version in [Version::V1, Version::V2] {
        let (runtime, descriptors) = runtime(version);
        for level in [1, 2, 6] {
            let options = DeflateOptions { level, last: true, check: Check::Crc32 };
            let room = vec![0; bytes.len() + 1000];
            let before = descriptors.load(Ordering::SeqCst);
            let done = block_on(runtime.deflate(bytes.clone(), room, options)).expect("room enough");
            let count = descriptors.load(Ordering::SeqCst) - before;
            each_faulted(&format!("{version:?}, level {level}"), &done.report, count);
            let written = usize::try_from(done.value.written).expect("fits");
            let stream = done.buffers.1[..written].to_vec();
            assert!(inflated(&stream, &[], bytes.len()) == bytes);

            let before = descriptors.load(Ordering::SeqCst);
            let done =
                block_on(runtime.inflate(stream, vec![0; bytes.len()], Check::Crc32)).expect("inflates");
            let count = descriptors.load(Ordering::SeqCst) - before;
            assert!(count > 1, "state goes from descriptor to descriptor");
            each_faulted("inflate", &done.report, count);
            assert!(done.buffers.1 == bytes);
        }
    }
}

#[test]
fn dictionaries_in_cold_state_are_used() {
    let _alone = ALONE.lock();
    let (runtime, descriptors) = runtime(Version::V2);
    let dictionary = Dictionary::new(noise(5000, 3));
    let bytes = [&dictionary.as_bytes()[4000..4700], &dictionary.as_bytes()[4800..]].concat();
    let options = DeflateOptions { level: 6, last: true, check: Check::None };
    let room = vec![0; bytes.len() + 100];
    let deflate = runtime.deflate_with_dictionary(bytes.clone(), room, &dictionary, options);
    let done = block_on(deflate).expect("room enough");
    each_faulted("deflate", &done.report, descriptors.load(Ordering::SeqCst));
    let stream = done.buffers.1[..usize::try_from(done.value.written).expect("fits")].to_vec();
    assert!(stream.len() < 100, "{} bytes", stream.len());
    assert!(inflated(&stream, dictionary.as_bytes(), bytes.len()) == bytes);
    let before = descriptors.load(Ordering::SeqCst);
    let inflate = runtime.inflate_with_dictionary(stream, vec![0; bytes.len()], &dictionary, Check::None);
    let done = block_on(inflate).expect("inflates");
    each_faulted("inflate", &done.report, descriptors.load(Ordering::SeqCst) - before);
    assert!(done.buffers.1 == bytes);
}

#[test]
fn parameters_of_filters_in_cold_memory_are_read() {
    let _alone = ALONE.lock();
    let (runtime, descriptors) = runtime(Version::V1);
    let bytes = noise(150_000, 11);
    let predicate = Predicate::between(10, 90);
    let column = Column::packed(bytes.clone(), 8, 150_000);
    let done = block_on(runtime.column(column).scan(predicate)).expect("scans");
    let count = descriptors.load(Ordering::SeqCst);
    assert!(count > 2, "in parts");
    each_faulted("scan", &done.report, count);
    assert!(
        (0..150_000_u32).zip(&bytes).all(|(at, byte)| done.value.get(at) == predicate.holds((*byte).into()))
    );
    let done = block_on(runtime.column(done.buffers).extract(70_000..=140_000)).expect("extracts");
    each_faulted("extract", &done.report, descriptors.load(Ordering::SeqCst) - count);
    assert!(done.value.iter().zip(&bytes[70_000..=140_000]).all(|(word, byte)| *word == u32::from(*byte)));
    assert_eq!(done.value.len(), 70_001);
}

#[test]
fn messages_with_cold_keys_are_right_both_ways() {
    let _alone = ALONE.lock();
    let (runtime, descriptors) = runtime(Version::V2);
    for vector in vectors().filter(|vector| vector.message.len() > 60_000) {
        let key = |bytes: &[u8]| AesKey::new(bytes).expect("a length of AES");
        let cipher = || match vector.mode {
            "gcm" => Cipher::gcm(key(&vector.key), vector.iv[..].try_into().expect("a nonce")),
            "cfb" => Cipher::cfb(key(&vector.key), vector.iv[..].try_into().expect("a block")),
            _ => {
                let tweak = vector.iv[..].try_into().expect("a block");
                Cipher::xts(key(&vector.key), key(&vector.tweak_key), tweak).expect("different keys")
            }
        };
        let sealing = cipher().with_aad(&vector.aad[..]);
        let opening = cipher().with_aad(&vector.aad[..]).with_tag(vector.tag.unwrap_or_default());
        let len = vector.message.len();
        let before = descriptors.load(Ordering::SeqCst);
        let done =
            block_on(runtime.encrypt(vector.message.clone(), vec![0; len], sealing)).expect("encrypts");
        each_faulted(vector.mode, &done.report, descriptors.load(Ordering::SeqCst) - before);
        assert!(vector.is_encrypted(&done.buffers.1) && done.value.tag == vector.tag, "{len} bytes");
        let done = block_on(runtime.decrypt(done.buffers.1, vec![0; len], opening)).expect("decrypts");
        assert!(done.buffers.1 == vector.message, "{} of {len} bytes", vector.mode);
    }
}

#[test]
fn decryption_in_front_with_cold_state_is_right() {
    let _alone = ALONE.lock();
    let (runtime, descriptors) = runtime(Version::V2);
    let bytes = text();
    let mut deflate = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut stream = Vec::with_capacity(bytes.len());
    for block in bytes.chunks(4096) {
        deflate.compress_vec(block, &mut stream, flate2::FlushCompress::Full).expect("room");
    }
    deflate.compress_vec(&[], &mut stream, flate2::FlushCompress::Finish).expect("room");
    let cipher = || Cipher::gcm(AesKey::new(&[7; 32]).expect("a length of AES"), [1; 12]);
    let encrypt = |bytes: Vec<u8>| {
        let room = vec![0; bytes.len()];
        let done = block_on(runtime.encrypt(bytes, room, cipher())).expect("encrypts");
        (done.buffers.1, cipher().with_tag(done.value.tag.expect("of GCM")))
    };
    let (message, opening) = encrypt(stream);
    let before = descriptors.load(Ordering::SeqCst);
    let room = vec![0; bytes.len()];
    let done = block_on(runtime.decrypt_inflate(message, room, opening, Check::None)).expect("expands");
    let count = descriptors.load(Ordering::SeqCst) - before;
    assert!(count > 2, "state goes from descriptor to descriptor");
    each_faulted("decrypt and inflate", &done.report, count);
    assert!(done.buffers.1 == bytes);

    let (message, opening) = encrypt(bytes[..50_000].to_vec());
    let before = descriptors.load(Ordering::SeqCst);
    let column = Column::packed(message, 8, 50_000).encrypted(opening);
    let done = block_on(runtime.column(column).count(Predicate::eq(b'e'.into()))).expect("scans");
    each_faulted("decrypt and scan", &done.report, descriptors.load(Ordering::SeqCst) - before);
    assert_eq!(done.value as usize, bytes[..50_000].iter().filter(|byte| **byte == b'e').count());
}

/// Of each mode, and of a message of more than two transfers: what the driver makes for each part, and the block that the
/// device fetches for CFB.
#[test]
fn parts_of_encrypted_columns_with_cold_state_are_right() {
    let _alone = ALONE.lock();
    let (runtime, descriptors) = runtime(Version::V2);
    let bytes = text();
    let key = |byte| AesKey::new(&[byte; 16]).expect("a length of AES");
    let ciphers = [
        ("gcm", 4, Cipher::gcm(key(7), [1; 12])),
        ("cfb", 4, Cipher::cfb(key(7), [2; 16])),
        ("xts", 2, Cipher::xts(key(7), key(8), [3; 16]).expect("different keys")),
    ];
    for (mode, fewest, cipher) in ciphers {
        let room = vec![0; bytes.len()];
        let done = block_on(runtime.encrypt(bytes.clone(), room, cipher.clone())).expect("encrypts");
        let opening = if let Some(tag) = done.value.tag { cipher.with_tag(tag) } else { cipher };
        let message = done.buffers.1;
        let before = descriptors.load(Ordering::SeqCst);
        let column = Column::packed(message, 8, 150_000).encrypted(opening);
        let done = block_on(runtime.column(column).extract(70_000..=140_000)).expect("extracts");
        let count = descriptors.load(Ordering::SeqCst) - before;
        assert!(count >= fewest, "{mode}: {count} descriptors");
        each_faulted(mode, &done.report, count);
        let expected = &bytes[70_000..=140_000];
        assert!(done.value.iter().zip(expected).all(|(word, byte)| *word == u32::from(*byte)), "{mode}");
        assert_eq!(done.value.len(), expected.len());
    }
}

/// Keys are where a device reads them for as long as a job takes, and nowhere in a flight when it is over, well or not.
#[test]
fn keys_are_gone_when_a_job_is_over() {
    let _alone = ALONE.lock();
    let (runtime, _) = runtime(Version::V2);
    let bytes = text();
    let key = noise(32, 77);
    let cipher = |key: &[u8]| Cipher::gcm(AesKey::new(key).expect("a length of AES"), [1; 12]);
    let is_gone = |what: &str| {
        let mut place = KEY.lock();
        assert!(std::mem::take(&mut place.1), "{what}: it has not been there");
        assert!(!holds(&key), "{what}: it is still there");
    };
    *KEY.lock() = (key.clone(), false);
    let len = bytes.len();
    let done = block_on(runtime.encrypt(bytes.clone(), vec![0; len], cipher(&key))).expect("encrypts");
    is_gone("encrypt");
    let (message, tag) = (done.buffers.1, done.value.tag.expect("of GCM"));
    let decrypt = runtime.decrypt(message.clone(), vec![0; len], cipher(&key).with_tag(tag));
    assert!(block_on(decrypt).expect("decrypts").buffers.1 == bytes);
    is_gone("decrypt");
    let forged = runtime.decrypt(message.clone(), vec![0; len], cipher(&key).with_tag([0; 16]));
    assert!(block_on(forged).is_err());
    is_gone("forged");
    for count in [60_000, 140_000] {
        let column = Column::packed(message[..count as usize].to_vec(), 8, count);
        let column = column.encrypted(cipher(&key).with_tag(tag));
        assert!(block_on(runtime.column(column).count(Predicate::eq(1))).is_err(), "not all of a message");
        is_gone("scan");
    }
    // What is in it is no stream.
    let inflate = runtime.decrypt_inflate(message, vec![0; 100], cipher(&key).with_tag(tag), Check::None);
    assert!(block_on(inflate).is_err());
    is_gone("inflate");
    *KEY.lock() = (Vec::new(), false);
}
