//! Streams through readers and writers, asynchronous and blocking, judged by gzip, Python's zlib, flate2 and the LZ4 project's
//! own library.

#[path = "../../drivers/software/tests/oracle/mod.rs"]
mod oracle;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use svala_engine::{Compression, DecodeError, Decompression, Device, Engine, Format, FrameError, Trailing};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use oracle::filter;

const FORMATS: [Format; 3] = [Format::Gzip, Format::Zlib, Format::Raw];

fn engine(device: Device) -> Engine {
    Engine::builder().device(device).open().expect("opens")
}

fn engines() -> [Engine; 3] {
    [engine(Device::Software), engine(Device::Emulated), engine(Device::EmulatedQat)]
}

/// Text and noise in turn, so that there is something to find and something to leave.
fn mixed(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(len + 64);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(if state & 3 == 0 { b"a swallow " } else { b"underwater " });
        bytes.extend_from_slice(&state.to_le_bytes()[..usize::from(state.to_le_bytes()[3] & 7)]);
    }
    bytes.truncate(len);
    bytes
}

/// What other programs find in the stream.
fn judged(format: Format, stream: &[u8]) -> Vec<u8> {
    let python = |bits: i32| {
        let script = format!(
            "import sys,zlib; d=zlib.decompressobj({bits}); \
             sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read())+d.flush()); \
             sys.exit(not d.eof or len(d.unused_data))"
        );
        filter("python3", &["-c", &script], stream)
    };
    match format {
        Format::Gzip => filter("gzip", &["-dc"], stream),
        Format::Zlib => python(15),
        Format::Raw => python(-15),
        Format::Lz4 => {
            let mut out = Vec::new();
            let mut decoder = lz4::Decoder::new(stream).expect("a decoder");
            io::Read::read_to_end(&mut decoder, &mut out).expect("a frame");
            let (rest, ended) = decoder.finish();
            ended.expect("the frame has ended");
            assert!(rest.is_empty(), "{} bytes behind the frame", rest.len());
            out
        }
    }
}

/// What other programs make of the bytes.
fn made(format: Format, bytes: &[u8]) -> Vec<u8> {
    let python = |bits: i32| {
        let script = format!(
            "import sys,zlib; c=zlib.compressobj(6,8,{bits}); \
             sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read())+c.flush())"
        );
        filter("python3", &["-c", &script], bytes)
    };
    match format {
        Format::Gzip => filter("gzip", &["-c"], bytes),
        Format::Zlib => python(15),
        Format::Raw => python(-15),
        Format::Lz4 => {
            // Blocks that refer to earlier ones, and a checksum at the end.
            let mut encoder = lz4::EncoderBuilder::new().level(4).build(Vec::new()).expect("an encoder");
            io::Write::write_all(&mut encoder, bytes).expect("a vector takes all");
            let (stream, ended) = encoder.finish();
            ended.expect("ends");
            stream
        }
    }
}

const fn expects(format: Format) -> Decompression {
    Decompression { format, output_bytes_max: u64::MAX, trailing: Trailing::Refuse }
}

fn flaw(error: &io::Error) -> DecodeError {
    let flaw = error.get_ref().and_then(|inner| inner.downcast_ref::<DecodeError>());
    flaw.unwrap_or_else(|| panic!("{error}")).clone()
}

async fn there_and_back(engine: &Engine, format: Format, bytes: &[u8]) {
    let what = format!("{format:?}, {} bytes", bytes.len());
    let compression = Compression { format, level: 6 };
    let mut writer = engine.compress_writer(Vec::new(), compression);
    for part in bytes.chunks(77_777) {
        writer.write_all(part).await.expect("writes");
    }
    writer.shutdown().await.expect("ends");
    let streamed = writer.streamed().clone();
    let stream = writer.into_inner();
    assert_eq!((streamed.bytes, streamed.compressed_bytes), (bytes.len() as u64, stream.len() as u64));
    assert!(judged(format, &stream) == bytes, "{what}: written");

    let mut read = Vec::new();
    engine.compress_reader(bytes, compression).read_to_end(&mut read).await.expect("reads");
    assert!(judged(format, &read) == bytes, "{what}: read");

    let stream = made(format, bytes);
    let mut out = Vec::new();
    let mut reader = engine.decompress_reader(&stream[..], expects(format));
    reader.read_to_end(&mut out).await.expect("expands");
    assert!(out == bytes, "{what}: expanded by a reader");
    assert_eq!(reader.streamed().compressed_bytes, stream.len() as u64);
    let mut writer = engine.decompress_writer(Vec::new(), expects(format));
    for part in stream.chunks(1000) {
        writer.write_all(part).await.expect("expands");
    }
    writer.shutdown().await.expect("has ended");
    assert!(writer.into_inner() == bytes, "{what}: expanded by a writer");
}

async fn all_there_and_back(lens: &[usize]) {
    for engine in engines() {
        for &len in lens {
            for format in FORMATS.into_iter().chain([Format::Lz4]) {
                there_and_back(&engine, format, &mixed(len)).await;
            }
        }
    }
}

#[tokio::test]
async fn streams_are_whole_on_one_thread() {
    all_there_and_back(&[0, 1, 70_000, 256 << 10, (256 << 10) + 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_whole_on_several_threads() {
    let tasks: Vec<_> = (0..2).map(|_| tokio::spawn(all_there_and_back(&[2_000_000]))).collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

#[test]
fn blocking_streams_are_whole() {
    for engine in engines() {
        for format in FORMATS {
            let bytes = mixed(1_000_000);
            let compression = Compression { format, level: 6 };
            let mut writer = engine.compress_writer(Vec::new(), compression);
            io::Write::write_all(&mut writer, &bytes).expect("writes");
            let stream = writer.finish().expect("ends");
            assert!(judged(format, &stream) == bytes, "{format:?}: written");
            let mut stream = Vec::new();
            io::Read::read_to_end(&mut engine.compress_reader(&bytes[..], compression), &mut stream)
                .expect("reads");
            assert!(judged(format, &stream) == bytes, "{format:?}: read");
            let mut out = Vec::new();
            let mut reader = engine.decompress_reader(&stream[..], expects(format));
            io::Read::read_to_end(&mut reader, &mut out).expect("expands");
            assert!(out == bytes);
            let mut writer = engine.decompress_writer(Vec::new(), expects(format));
            io::Write::write_all(&mut writer, &stream).expect("expands");
            assert!(writer.finish().expect("has ended") == bytes);
        }
    }
}

/// Gives and takes a few bytes at a time, and is not ready every other time.
struct Slow<T> {
    inner: T,
    turn: usize,
}

impl<T> Slow<T> {
    fn turn(&mut self, cx: &Context<'_>) -> Poll<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(1 + self.turn * 7 % 1000)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Slow<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = std::task::ready!(self.turn(cx)).min(buf.remaining());
        let mut part = buf.take(bytes);
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let filled = part.filled().len();
        buf.advance(filled);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Slow<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = std::task::ready!(self.turn(cx)).min(buf.len());
        Pin::new(&mut self.inner).poll_write(cx, &buf[..bytes])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn slow_ends_lose_nothing() {
    let bytes = mixed(700_000);
    for engine in engines() {
        let slow = Slow { inner: Vec::new(), turn: 0 };
        let mut writer = engine.compress_writer(slow, Compression::default());
        writer.write_all(&bytes).await.expect("writes");
        writer.shutdown().await.expect("ends");
        let stream = writer.into_inner().inner;
        assert!(judged(Format::Gzip, &stream) == bytes);
        let mut out = Vec::new();
        let slow = Slow { inner: &stream[..], turn: 0 };
        engine
            .decompress_reader(slow, Decompression::default())
            .read_to_end(&mut out)
            .await
            .expect("expands");
        assert!(out == bytes);
        let mut out = Vec::new();
        let slow = Slow { inner: &bytes[..], turn: 0 };
        engine.compress_reader(slow, Compression::default()).read_to_end(&mut out).await.expect("reads");
        assert!(judged(Format::Gzip, &out) == bytes);
        let slow = Slow { inner: Vec::new(), turn: 0 };
        let mut writer = engine.decompress_writer(slow, Decompression::default());
        writer.write_all(&stream).await.expect("expands");
        writer.shutdown().await.expect("has ended");
        assert!(writer.into_inner().inner == bytes);
    }
}

/// After a flush everything written before it can be read, and the stream goes on.
#[tokio::test]
async fn what_is_flushed_can_be_read() {
    for engine in engines() {
        let mut writer = engine.compress_writer(Vec::new(), Compression { format: Format::Raw, level: 6 });
        let mut state = flate2::Decompress::new(false);
        let (mut seen, mut expected) = (0, 0);
        for len in [1, 100, 0, 300_000, 5] {
            writer.write_all(&mixed(len)).await.expect("writes");
            writer.flush().await.expect("flushes");
            let mut out = Vec::with_capacity(len + 64);
            let stream = writer.get_ref();
            let flush = flate2::FlushDecompress::Sync;
            while out.len() < len {
                let before = (state.total_in(), out.len());
                state.decompress_vec(&stream[seen..], &mut out, flush).expect("valid");
                seen += usize::try_from(state.total_in() - before.0).expect("small");
                assert!(before != (state.total_in(), out.len()), "{} of {len} bytes can be read", out.len());
            }
            assert!(out == mixed(len));
            expected += len;
        }
        writer.shutdown().await.expect("ends");
        assert_eq!(judged(Format::Raw, writer.get_ref()).len(), expected);
        let after = writer.write_all(b"more").await.expect_err("has ended");
        assert_eq!(after.kind(), io::ErrorKind::BrokenPipe);
    }
}

/// Takes nothing, ever.
struct Stuck;

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[test]
fn a_writer_that_takes_nothing_keeps_its_own_writer_waiting() {
    let mut cx = Context::from_waker(Waker::noop());
    for engine in engines() {
        let mut writer = pin!(engine.compress_writer(Stuck, Compression::default()));
        let (bytes, mut taken) = (mixed(100_000), 0);
        for _ in 0..2000 {
            match writer.as_mut().poll_write(&mut cx, &bytes) {
                Poll::Ready(Ok(some)) => taken += some,
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => std::thread::yield_now(),
            }
        }
        // Eight in flight, one that waits to be written, one that is filled.
        assert!(taken <= 10 * (256 << 10), "{taken} bytes taken");
        let stream = made(Format::Gzip, &vec![0; 50_000_000]);
        let mut writer = pin!(engine.decompress_writer(Stuck, Decompression::default()));
        let mut taken = 0;
        for _ in 0..2000 {
            if let Poll::Ready(some) = writer.as_mut().poll_write(&mut cx, &stream[taken..]) {
                taken += some.expect("valid");
            }
        }
        assert!(taken < stream.len() / 10, "{taken} of {} bytes taken", stream.len());
    }
}

/// Each future is dropped as soon as it has to wait; the next goes on where it was.
#[tokio::test]
async fn dropped_futures_lose_nothing() {
    async fn once<F: Future>(future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if polled.is_pending() {
            tokio::task::yield_now().await;
        }
        match polled {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
    let bytes = mixed(1_500_000);
    for engine in engines() {
        let slow = Slow { inner: Vec::new(), turn: 0 };
        let mut writer = engine.compress_writer(slow, Compression::default());
        let mut at = 0;
        while at < bytes.len() {
            if let Some(taken) = once(writer.write(&bytes[at..])).await {
                at += taken.expect("writes");
            }
            if at % 5 == 0 {
                let _ = once(writer.flush()).await;
            }
        }
        while once(writer.shutdown()).await.is_none() {}
        let stream = writer.into_inner().inner;
        assert!(judged(Format::Gzip, &stream) == bytes);
        let slow = Slow { inner: &stream[..], turn: 0 };
        let mut reader = engine.decompress_reader(slow, Decompression::default());
        let (mut out, mut part) = (Vec::new(), vec![0; 10_000]);
        loop {
            match once(reader.read(&mut part)).await {
                Some(Ok(0)) => break,
                Some(read) => out.extend_from_slice(&part[..read.expect("expands")]),
                None => {}
            }
        }
        assert!(out == bytes);
    }
}

/// Everything a reader gives of `stream`, and how that ends.
fn read_all(engine: &Engine, decompression: Decompression, stream: &[u8]) -> (Vec<u8>, io::Result<usize>) {
    let mut out = Vec::new();
    let mut reader = engine.decompress_reader(stream, decompression);
    let end = io::Read::read_to_end(&mut reader, &mut out);
    (out, end)
}

#[test]
fn members_follow_each_other_and_nothing_else_does() {
    let engine = engine(Device::Software);
    let (one, two) = (mixed(5000), mixed(300));
    let both = [made(Format::Gzip, &one), made(Format::Gzip, &two), made(Format::Gzip, &[])].concat();
    let mut reader = engine.decompress_reader(&both[..], Decompression::default());
    let mut out = Vec::new();
    io::Read::read_to_end(&mut reader, &mut out).expect("expands");
    assert_eq!((reader.members(), out), (3, [&one[..], &two[..]].concat()));
    for format in FORMATS {
        let stream = made(format, &one);
        for garbage in [&b"x"[..], b"garbage", &[0; 512], &[0x1f], &[0x1f, 0x8c]] {
            let longer = [&stream[..], garbage].concat();
            let (out, end) = read_all(&engine, expects(format), &longer);
            let error = flaw(&end.expect_err("trailing garbage"));
            let at = stream.len() as u64;
            let right = match error {
                DecodeError::Trailing { at: found } => found == at,
                // The beginning of a member that does not go on.
                DecodeError::Frame { at: found, .. } => garbage == [0x1f] && found == at,
                _ => false,
            };
            assert!(right && out == one, "{format:?}, {garbage:?}: {error}");
            let leave = Decompression { trailing: Trailing::Leave, ..expects(format) };
            if garbage != [0x1f] {
                let mut reader = engine.decompress_reader(&longer[..], leave);
                let mut out = Vec::new();
                io::Read::read_to_end(&mut reader, &mut out).expect("the rest is left");
                let (rest, ahead) = reader.into_parts();
                assert_eq!((out == one, [&ahead[..], rest].concat()), (true, garbage.to_vec()), "{format:?}");
            }
        }
    }
}

#[test]
fn a_cap_on_output_stops_a_bomb() {
    let engine = engine(Device::Software);
    let bomb = made(Format::Gzip, &vec![0; 20_000_000]);
    for output_bytes_max in [0, 1, 65_536, 1_000_000, 19_999_999] {
        let (out, end) =
            read_all(&engine, Decompression { output_bytes_max, ..Decompression::default() }, &bomb);
        let error = flaw(&end.expect_err("a bomb"));
        assert!(
            matches!(error, DecodeError::OutputFull { output_bytes_max: max, .. } if max == output_bytes_max)
        );
        assert_eq!(out.len() as u64, output_bytes_max);
        let mut writer = engine
            .decompress_writer(Vec::new(), Decompression { output_bytes_max, ..Decompression::default() });
        let error = io::Write::write_all(&mut writer, &bomb).expect_err("a bomb");
        assert!(matches!(flaw(&error), DecodeError::OutputFull { .. }), "{error}");
    }
    let just = Decompression { output_bytes_max: 20_000_000, ..Decompression::default() };
    assert_eq!(read_all(&engine, just, &bomb).1.expect("just fits"), 20_000_000);
}

/// Every beginning of a stream is an error with its length, and gives no more than what is in it.
#[test]
fn streams_that_end_early_are_truncated() {
    let engine = engine(Device::Software);
    let bytes = mixed(900);
    for format in FORMATS {
        let stream = made(format, &bytes);
        for len in 0..stream.len() {
            let (out, end) = read_all(&engine, expects(format), &stream[..len]);
            let error = end.expect_err("too short");
            let right = match flaw(&error) {
                DecodeError::Truncated { len: found } => found == len as u64,
                DecodeError::Frame { error: FrameError::Truncated { .. }, .. } => true,
                _ => false,
            };
            assert!(right && bytes.starts_with(&out), "{format:?}, {len} bytes: {error}");
            let mut writer = engine.decompress_writer(Vec::new(), expects(format));
            io::Write::write_all(&mut writer, &stream[..len]).expect("may go on");
            writer.finish().map(drop).expect_err("has not ended");
        }
    }
}

/// Every bit of a small stream, turned: what comes out is right, or an error says where.
#[test]
fn broken_streams_are_errors_with_offsets() {
    let engine = engine(Device::Software);
    let bytes = mixed(400);
    for format in [Format::Gzip, Format::Zlib] {
        let stream = made(format, &bytes);
        for bit in 0..8 * stream.len() {
            let mut broken = stream.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let (out, end) = read_all(&engine, expects(format), &broken);
            match end {
                // Some bits mean nothing to the data: the time in a gzip header, what fills the last byte.
                Ok(_) => assert!(out == bytes, "{format:?}, bit {bit}"),
                Err(error) => {
                    let at = match flaw(&error) {
                        DecodeError::Frame { at, .. }
                        | DecodeError::Corrupt { at }
                        | DecodeError::Trailing { at }
                        | DecodeError::Truncated { len: at } => at,
                        other => panic!("{other}"),
                    };
                    assert!(at <= stream.len() as u64, "{format:?}, bit {bit}: {error}");
                }
            }
        }
    }
}

/// Most memory that was resident since [`forget_peak`], in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("there");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own peak");
}

/// 4 GiB that are made on the way, through both adapters at once.
///
/// `cargo test --release -p svala-engine --test adapters four_gib -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn four_gibibytes_go_there_and_back_in_bounded_memory() {
    const LEN: u64 = 4 << 30;
    for device in [Device::Software, Device::Emulated] {
        let start = std::time::Instant::now();
        let engine = engine(device.clone());
        let piece = mixed(1 << 20);
        forget_peak();
        let before = peak_kib();
        let (pipe, stream) = tokio::io::duplex(64 << 10);
        let mut writer = engine.compress_writer(pipe, Compression { format: Format::Gzip, level: 1 });
        let made = tokio::spawn({
            let piece = piece.clone();
            async move {
                for _ in 0..LEN >> 20 {
                    writer.write_all(&piece).await.expect("writes");
                }
                writer.shutdown().await.expect("ends");
                writer.streamed().clone()
            }
        });
        let mut reader = engine.decompress_reader(stream, Decompression::default());
        let mut part = vec![0; 1 << 20];
        for turn in 0..LEN >> 20 {
            reader.read_exact(&mut part).await.expect("reads");
            assert!(part == piece, "{device:?}: MiB {turn}");
        }
        assert_eq!(reader.read(&mut part).await.expect("ends"), 0);
        let made = made.await.expect("no panic");
        let peak = peak_kib();
        println!(
            "{device:?}: {} bytes to {} and back in {:.0} s; {peak} KiB resident at the peak, {before} before",
            made.bytes,
            made.compressed_bytes,
            start.elapsed().as_secs_f64()
        );
        assert_eq!(made.bytes, LEN);
        assert!(peak - before < 64 << 10, "{} KiB", peak - before);
    }
}
