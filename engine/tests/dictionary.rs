//! Streams with a dictionary, both ways against Python's zlib; and dictionaries that are the wrong ones.

#[path = "../../drivers/software/tests/dictionary/mod.rs"]
mod zlib;

use svala_engine::{
    DecompressError, Device, Dictionary, DictionaryFormat, Engine, FrameError, block_on, compressed_bytes_max,
};
use zlib::{DEFLATE, INFLATE, pieces, python};

fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn streams_are_those_of_zlib_both_ways() {
    for device in [Device::Emulated, Device::Software] {
        let engine = Engine::builder().device(device).open().expect("opens");
        for len in [2048, 5000, 33_000] {
            let dictionary = Dictionary::new(noise(len, 3));
            let data = pieces(dictionary.as_bytes());
            for (format, bits) in [(DictionaryFormat::Zlib, 15), (DictionaryFormat::Raw, -15)] {
                let room = vec![0; compressed_bytes_max(data.len())];
                let made = engine.compress_with_dictionary(data.clone(), room, &dictionary, format, 6);
                let done = block_on(made).expect("room enough");
                let stream = &done.buffers.1[..usize::try_from(done.value.written).expect("fits")];
                assert!(stream.len() < data.len() / 8, "{len}: {} bytes", stream.len());
                assert!(python(INFLATE, dictionary.as_bytes(), bits, stream) == data);

                let stream = python(DEFLATE, dictionary.as_bytes(), bits, &data);
                let (len, room) = (stream.len() as u64, vec![0; data.len()]);
                let expanded = engine.decompress_with_dictionary(stream, room, &dictionary, format);
                let done = block_on(expanded).map_err(|(error, _)| error).expect("expands");
                assert!(done.buffers.1 == data);
                assert_eq!((done.value.read, done.value.written), (len, data.len() as u64));
            }
        }
    }
}

#[test]
fn a_wrong_dictionary_is_an_error_with_both_checksums() {
    let engine = Engine::builder().device(Device::Software).open().expect("opens");
    let (one, other) = (Dictionary::new(noise(3000, 1)), Dictionary::new(noise(3000, 2)));
    let data = pieces(one.as_bytes());
    let room = vec![0; compressed_bytes_max(data.len())];
    let zlib = DictionaryFormat::Zlib;
    let done = block_on(engine.compress_with_dictionary(data.clone(), room, &one, zlib, 6)).expect("room");
    let mut stream = done.buffers.1;
    stream.truncate(usize::try_from(done.value.written).expect("fits"));
    let adler = |dictionary: &Dictionary| svala_software::adler32(1, dictionary.as_bytes());
    let expand = |stream: Vec<u8>, dictionary: &Dictionary, room: usize| {
        let expanded = engine.decompress_with_dictionary(stream, vec![0; room], dictionary, zlib);
        block_on(expanded).map(|done| done.buffers.1).map_err(|(error, buffers)| {
            assert!(buffers.is_some(), "given back");
            error
        })
    };
    let error = expand(stream.clone(), &other, data.len()).expect_err("another dictionary");
    let (stored, computed) = (adler(&one), adler(&other));
    let expected = FrameError::WrongDictionary { offset: 2, stored, computed };
    assert!(matches!(error, DecompressError::Frame { member_at: 0, error } if error == expected));
    // Without one at all, the frame says that it is needed.
    let expanded = engine.decompress(stream.clone(), vec![0; data.len()], svala_engine::Format::Zlib);
    let error = block_on(expanded).map_err(|(error, _)| error).expect_err("no dictionary");
    let needed = FrameError::DictionaryRequired { offset: 1 };
    assert!(matches!(error, DecompressError::Frame { error, .. } if error == needed));
    // Cut anywhere, it is an error and no panic.
    for len in 0..stream.len() {
        assert!(expand(stream[..len].to_vec(), &one, data.len()).is_err(), "{len} bytes");
    }
    assert_eq!(expand(stream, &one, data.len()).expect("its own"), data);
}
