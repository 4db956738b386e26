//! What the tests share.

use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use qat_emu::{DeviceConfig, FaultPlan, Model};
use svala::{
    AesKey, Check, Cipher, Completed, DeflateOptions, Deflated, Error, Failed, Lz4Blocks, Path, Runtime,
};
use svala_qat::{EmulatedFunction, QatQueueConfig, emulated};

/// A runtime with an emulated function and nothing else, and the function.
pub(crate) struct Machine {
    pub(crate) runtime: Runtime,
    pub(crate) function: Arc<EmulatedFunction>,
    pub(crate) arena: svala_qat::Arena,
}

/// Patient: a machine that is slow is not taken for a device that does not answer.
pub(crate) fn settings() -> QatQueueConfig {
    QatQueueConfig {
        answer_within: Duration::from_secs(60),
        pf_ack_within: Duration::from_millis(500),
        pf_answer_within: Duration::from_millis(500),
        reset_within: Duration::from_secs(10),
        ..QatQueueConfig::default()
    }
}

/// For what is never answered.
pub(crate) fn impatient() -> QatQueueConfig {
    QatQueueConfig { answer_within: Duration::from_secs(1), ..settings() }
}

impl Machine {
    /// With a plan in which requests may be never answered.
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self::with(DeviceConfig { plan, ..DeviceConfig::default() }, impatient())
    }

    pub(crate) fn of(model: Model) -> Self {
        Self::with(DeviceConfig { model, ..DeviceConfig::default() }, settings())
    }

    pub(crate) fn with(device: DeviceConfig, config: QatQueueConfig) -> Self {
        let (queue, function) = emulated(device, config).expect("a function");
        let arena = queue.arena();
        let runtime = Runtime::builder().queue(queue).build().expect("a runtime");
        Self { runtime, function, arena }
    }

    /// Nothing was done that a device would have objected to.
    pub(crate) fn assert_clean(&self) {
        let stats = self.function.device().stats();
        assert_eq!((stats.malformed, stats.bad_accesses, stats.dma_faults), (0, 0, 0), "{stats:?}");
        assert_eq!(stats.late_faults, 0, "memory was released before a reset: {stats:?}");
    }
}

/// Bytes that look like text: words of a few dozen, so that they compress, and differ with `seed`.
pub(crate) fn text(len: usize, seed: u64) -> Vec<u8> {
    let words = ["swallow", "barn", "martin", "sand", "flight", "wing", "river", "dusk", "insect", "nest"];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let word = words[usize::try_from(state >> 33).expect("31 bits") % words.len()];
        out.extend_from_slice(word.as_bytes());
        out.push(if state & 1 << 40 == 0 { b' ' } else { b'\n' });
    }
    out.truncate(len);
    out
}

/// Bytes without any pattern.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Expands by flate2, which is not what the device computes with alone: zlib's own format rules.
pub(crate) fn inflate(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::DeflateDecoder::new(stream).read_to_end(&mut out).expect("a deflate stream");
    out
}

/// Compresses by flate2.
pub(crate) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(data).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Deflate.
    Deflate,
    /// AES-GCM, and back.
    Gcm,
    /// LZ4, and back.
    Lz4,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Deflate, Self::Gcm, Self::Lz4];

    /// Does it once, and checks what comes of it. Which way it went; what fails gives its buffers back.
    pub(crate) async fn run(self, runtime: &Runtime, data: &[u8]) -> Result<Path, Error> {
        match self {
            Self::Deflate => {
                let how = DeflateOptions { level: 1, last: true, check: Check::None };
                let room = vec![0; 2 * data.len() + 2048];
                let done = runtime.deflate(data.to_vec(), room, how).await.map_err(with_buffers)?;
                assert_eq!(inflate(stream(&done)), data);
                Ok(done.report.path)
            }
            Self::Gcm => {
                let cipher =
                    || Cipher::gcm(AesKey::new(&[7; 32]).expect("a key"), [9; 12]).with_aad(*b"beside");
                let made = runtime.encrypt(data.to_vec(), vec![0; data.len()], cipher()).await;
                let made = made.map_err(with_buffers)?;
                let (encrypted, tag) = (made.buffers.1, made.value.tag.expect("a tag"));
                let back = runtime.decrypt(encrypted, vec![0; data.len()], cipher().with_tag(tag)).await;
                assert_eq!(back.map_err(with_buffers)?.buffers.1, data);
                Ok(made.report.path)
            }
            Self::Lz4 => {
                let room = vec![0; data.len() + data.len() / 64 + 4096];
                let made = runtime.lz4_compress(data.to_vec(), room, 1).await.map_err(with_buffers)?;
                let mut blocks = made.buffers.1;
                blocks.truncate(usize::try_from(made.value).expect("fits"));
                assert_eq!(crate::lz4::theirs(&blocks, data), data);
                let how = Lz4Blocks { linked: false, checked: false, block_bytes_max: 64 << 10 };
                let back = runtime.lz4_decompress(blocks, vec![0; data.len()], how).await;
                assert_eq!(back.map_err(with_buffers)?.buffers.1, data);
                Ok(made.report.path)
            }
        }
    }
}

/// The error of what failed, which has given its buffers back.
fn with_buffers<B>(failed: Failed<B>) -> Error {
    assert!(failed.buffers.is_some(), "{}", failed.error);
    failed.error
}

/// The stream in the destination of a deflate.
pub(crate) fn stream<S, D: svala::IoBuf>(done: &Completed<Deflated, (S, D)>) -> &[u8] {
    &done.buffers.1.bytes()[..usize::try_from(done.value.written).expect("fits")]
}

/// Runs futures at the same time; their answers, in their order.
pub(crate) fn all<F: Future>(futures: Vec<Pin<Box<F>>>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    let mut answers: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    svala::block_on(std::future::poll_fn(move |cx| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if let Some(Poll::Ready(output)) = future.as_mut().map(|future| future.as_mut().poll(cx)) {
                *answer = Some(output);
                *future = None;
            }
        }
        if answers.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(answers.iter_mut().filter_map(Option::take).collect())
    }))
}

/// Waits until something is so, within a bound that is never met otherwise.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
