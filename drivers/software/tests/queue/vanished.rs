//! Files that are truncated under their maps. What this must not do is end the process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use svala::{Check, Crc, DeflateOptions, DifFormat, DifSource, Error, FileMap, FileMapMut, IoBuf, Runtime};

use super::{never_inline, noise, runtime, runtime_with};

/// A map of a file of so many bytes, which is empty by now.
fn gone(len: usize) -> FileMap {
    let (file, map) = mapped(len);
    file.set_len(0).unwrap();
    map
}

fn mapped(len: usize) -> (File, FileMap) {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&noise(len), 0).unwrap();
    let map = FileMap::open(&file).unwrap();
    (file, map)
}

fn assert_vanished(error: &Error, span: svala::Span) {
    let Error::Vanished { addr, .. } = *error else { panic!("{error}") };
    assert!(addr >= span.addr && addr < span.end(), "{addr} in {span:?}");
}

fn try_all(runtime: &Runtime, len: usize) {
    let map = gone(len);
    let span = map.span();
    let failed = pollster::block_on(runtime.copy(map, vec![0_u8; len])).unwrap_err();
    assert_vanished(&failed.error, span);
    assert!(failed.buffers.is_some());

    let map = gone(len);
    let span = map.span();
    assert_vanished(&pollster::block_on(runtime.crc32c(map, 0)).unwrap_err().error, span);

    let map = gone(len);
    let span = map.span();
    let other = mapped(len).1;
    assert_vanished(&pollster::block_on(runtime.compare(map, other)).unwrap_err().error, span);

    let map = gone(len);
    let span = map.span();
    let room = vec![0_u8; svala_software::deflate_bound(len)];
    let failed = pollster::block_on(runtime.deflate(map, room, DeflateOptions::default())).unwrap_err();
    assert_vanished(&failed.error, span);

    let map = gone(len);
    let span = map.span();
    let failed = pollster::block_on(runtime.inflate(map, vec![0_u8; len], Check::None)).unwrap_err();
    assert_vanished(&failed.error, span);

    let file = tempfile::tempfile().unwrap();
    file.set_len(len as u64).unwrap();
    let map = FileMapMut::range(&file, 0, len as u64).unwrap();
    file.set_len(0).unwrap();
    let span = map.span();
    assert_vanished(&pollster::block_on(runtime.fill(map, 7)).unwrap_err().error, span);
}

fn try_others(runtime: &Runtime, len: usize) {
    let vanishes = |run: &dyn Fn(FileMap) -> Error| {
        let map = gone(len);
        let span = map.span();
        assert_vanished(&run(map), span);
    };
    let room = || vec![0_u8; len];
    vanishes(&|map| pollster::block_on(runtime.dualcast(map, room(), room())).unwrap_err().error);
    vanishes(&|map| pollster::block_on(runtime.compare_pattern(map, 0)).unwrap_err().error);
    vanishes(&|map| pollster::block_on(runtime.copy_crc(map, room(), Crc::CRC64, 0)).unwrap_err().error);
    vanishes(&|map| pollster::block_on(runtime.cache_flush(map)).unwrap_err().error);
    let format = DifFormat::default();
    vanishes(&|map| {
        let check = runtime.dif_check(map, format, DifSource::default());
        pollster::block_on(check).unwrap_err().error
    });
    let len = len.min(512 << 10);
    let map = gone(len);
    let span = map.span();
    let failed = pollster::block_on(runtime.create_delta(map, noise(len), vec![0_u8; 2 * len])).unwrap_err();
    assert_vanished(&failed.error, span);
    assert!(failed.buffers.is_some());
}

#[test]
fn truncated_map_is_an_error_to_every_operation() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for blocks in [10, 5000] {
            try_others(&runtime, blocks * 520);
        }
    }
}

#[test]
fn truncated_map_is_an_error_on_the_callers_thread_and_on_workers() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [3000, 100_000, (3 << 20) + 17] {
            try_all(&runtime, len);
        }
        let done = pollster::block_on(runtime.crc32c(noise(9), 0));
        assert!(done.is_ok(), "the engine goes on");
    }
}

/// Another thread cuts the file while jobs run over it again and again, until one has noticed.
#[test]
fn file_truncated_under_running_jobs_ends_them_with_an_error() {
    const LEN: usize = 64 << 20;
    let runtime = runtime();
    for truncate_to in [0, 5 << 20] {
        let (file, mut map) = mapped(LEN);
        let span = map.span();
        let running = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !running.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                file.set_len(truncate_to).unwrap();
            });
            let mut dst = vec![0_u8; LEN];
            loop {
                running.store(true, Ordering::SeqCst);
                match pollster::block_on(runtime.copy(map, dst)) {
                    Ok(done) => (map, dst) = done.buffers,
                    Err(failed) => return assert_vanished(&failed.error, span),
                }
                match pollster::block_on(runtime.crc32c(map, 0)) {
                    Ok(done) => map = done.buffers,
                    Err(failed) => return assert_vanished(&failed.error, span),
                }
            }
        });
    }
}
