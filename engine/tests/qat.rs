//! An engine with an emulated QAT: the same calls, framed streams, and who does what.

use std::io::Read as _;

use qat_emu::{Action, FaultPlan};
use svala_engine::{
    Compression, Device, Engine, Format, OpenError, Path, QatFunctions, block_on, compressed_bytes_max,
};

fn engine(device: Device) -> Engine {
    Engine::builder().device(device).open().expect("opens")
}

fn text(len: usize) -> Vec<u8> {
    let line = b"one swallow does not make a summer, two do not either; ";
    line.iter()
        .copied()
        .cycle()
        .enumerate()
        .map(|(at, byte)| byte ^ u8::from(at % 97 == 0))
        .take(len)
        .collect()
}

fn expand(format: Format, stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Gzip => flate2::read::GzDecoder::new(stream).read_to_end(&mut out),
        Format::Zlib => flate2::read::ZlibDecoder::new(stream).read_to_end(&mut out),
        Format::Raw => flate2::read::DeflateDecoder::new(stream).read_to_end(&mut out),
        Format::Lz4 => lz4::Decoder::new(stream).expect("a decoder").read_to_end(&mut out),
    }
    .expect("a stream");
    out
}

#[test]
fn every_frame_goes_there_and_back_on_the_function() {
    let engine = engine(Device::EmulatedQat);
    for format in [Format::Gzip, Format::Zlib, Format::Raw, Format::Lz4] {
        for len in [1, 1000, 300_000] {
            let data = text(len);
            let room = vec![0; compressed_bytes_max(len)];
            let how = Compression { format, level: 6 };
            let done = block_on(engine.compress(data.clone(), room, how)).expect("compresses");
            assert_eq!(done.report.path.to_string(), "emulated (emu-qat)");
            let stream = done.buffers.1[..usize::try_from(done.value.written).expect("fits")].to_vec();
            assert_eq!(expand(format, &stream), data);
            let back = block_on(engine.decompress(stream, vec![0; len], format)).expect("expands");
            assert_eq!(back.report.path.to_string(), "emulated (emu-qat)", "{format:?} {len}");
            assert_eq!(back.buffers.1, data);
        }
    }
}

/// An IAA and a QAT stand in for each other where both can, and the result says which it was.
#[test]
fn the_scheduler_goes_by_capability_and_load() {
    let engine = engine(Device::EmulatedAll);
    let data = text(200_000);
    let how = |format| Compression { format, level: 6 };
    let zlib =
        block_on(engine.compress(data.clone(), vec![0; 300_000], how(Format::Zlib))).expect("compresses");
    assert_eq!(zlib.report.path.to_string(), "emulated (emu-qat)", "an IAA has no Adler-32");
    let copy = block_on(engine.copy(data.clone(), vec![0; data.len()])).expect("copies");
    assert_eq!(copy.report.path.to_string(), "emulated (emu-dsa)");
    let mut futures: Vec<_> = (0..64)
        .map(|_| Some(Box::pin(engine.compress(data.clone(), vec![0; 300_000], how(Format::Gzip)))))
        .collect();
    let mut paths = std::collections::BTreeMap::<String, u32>::new();
    block_on(std::future::poll_fn(|cx| {
        for slot in &mut futures {
            if let Some(std::task::Poll::Ready(done)) = slot.as_mut().map(|future| future.as_mut().poll(cx)) {
                *paths.entry(done.expect("compresses").report.path.to_string()).or_default() += 1;
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    }));
    assert_eq!(paths.values().sum::<u32>(), 64);
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["emulated (emu-iaa)", "emulated (emu-qat)"], "{paths:?}");
}

#[test]
fn a_broken_function_is_left_for_the_cpu_with_the_reason() {
    let plan = FaultPlan::default().every(1, 0, Action::SliceHang);
    let engine = Engine::builder().device(Device::EmulatedQat).emulated_qat_plan(plan).open().expect("opens");
    let failed =
        block_on(engine.compress(text(1000), vec![0; 4000], Compression::default())).expect_err("hangs");
    assert!(failed.error.to_string().contains("SSM_ERROR"), "{}", failed.error);
    assert!(failed.buffers.is_some());
    let copy = block_on(engine.copy(vec![1_u8; 100], vec![0_u8; 100])).expect("copies");
    assert!(matches!(copy.report.path, Path::Software { .. }));
}

#[test]
fn a_function_that_is_not_there_is_refused_by_name() {
    let root = tempfile::tempdir().expect("a directory");
    let open = |device| Engine::builder().device(device).qat_functions(QatFunctions::at(root.path())).open();
    for device in [Device::Qat(None), Device::Qat(Some("0000:6b:00.1".into()))] {
        let Err(error) = open(device.clone()) else { panic!("{device}: there is none") };
        assert!(matches!(error, OpenError::Qat(_)) && error.is_hardware(), "{error}");
        assert!(error.to_string().contains("there is none"), "{error}");
    }
}
