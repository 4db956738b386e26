//! Compression with a dictionary, both ways against Python's zlib.

use svala::{Check, DeflateOptions, Dictionary, Error, IoBuf, Operation};

use super::streams::crc32;
use super::zlib::{DEFLATE, INFLATE, pieces, python};
use crate::support::{Setup, State, noise};

/// Pieces of a dictionary without a pattern, then bytes without one: what is small is so by the dictionary.
fn made_of(dictionary: &[u8], behind: usize) -> Vec<u8> {
    [pieces(dictionary), noise(behind, 99)].concat()
}

/// Segments that refer to a dictionary, at every level, of one part and of several.
pub(crate) fn deflate(setup: &Setup) {
    if !setup.offers(Operation::DeflateDictionary) {
        return;
    }
    let cases = [(2048, 0, 1), (2500, 100, 2), (4096, 0, 6), (40_000, 300_000, 6), (5000, 3000, 9)];
    for (dictionary_bytes, behind, level) in cases {
        let dictionary = Dictionary::new(noise(dictionary_bytes, 5));
        let data = made_of(dictionary.as_bytes(), behind);
        for state in State::BOTH {
            let room = state.destination(data.len() + 1000, 3);
            let options = DeflateOptions { level, last: true, check: Check::Crc32 };
            let done = setup.well(
                Operation::DeflateDictionary,
                setup.runtime.deflate_with_dictionary(state.source(&data, 9), room, &dictionary, options),
            );
            let written = usize::try_from(done.value.written).expect("fits");
            let stream = &done.buffers.1.bytes()[..written];
            let what = format!("{dictionary_bytes} and {behind} bytes at level {level}, {state:?}");
            assert!(python(INFLATE, dictionary.as_bytes(), -15, stream) == data, "{what}");
            assert!(written < 200 + behind + behind / 64, "{what}: {written} bytes");
            assert_eq!((done.value.check, done.report.bytes), (crc32(&data), data.len() as u64), "{what}");
        }
    }
}

/// Streams of zlib with the window of the device, and dictionaries around its history.
pub(crate) fn inflate(setup: &Setup) {
    for (dictionary_bytes, behind) in [(1, 0), (700, 10), (4095, 0), (4096, 200_000), (9000, 5000)] {
        let dictionary = Dictionary::new(noise(dictionary_bytes, 7));
        let data = made_of(dictionary.as_bytes(), behind);
        let stream = python(DEFLATE, dictionary.as_bytes(), -12, &data);
        for state in State::BOTH {
            let (source, room) = (state.source(&stream, 5), state.destination(data.len(), 0));
            let inflate = setup.runtime.inflate_with_dictionary(source, room, &dictionary, Check::Crc32);
            let done = setup.well(Operation::InflateDictionary, inflate);
            let what = format!("{dictionary_bytes} and {behind} bytes, {state:?}");
            assert!(done.buffers.1.bytes() == data, "{what}");
            assert_eq!((done.value.read, done.value.check), (stream.len() as u64, crc32(&data)), "{what}");
        }
    }
    // Further back than the device keeps: somebody else's. Without the dictionary: nobody's.
    let dictionary = Dictionary::new(noise(20_000, 8));
    let data = dictionary.as_bytes()[..2000].to_vec();
    let stream = python(DEFLATE, dictionary.as_bytes(), -15, &data);
    let room = vec![0; data.len()];
    let inflate =
        setup.runtime.inflate_with_dictionary(stream.clone(), room.clone(), &dictionary, Check::None);
    match setup.end(Operation::InflateDictionary, inflate) {
        Ok(done) => assert!(done.buffers.1 == data),
        Err(failed) => assert!(matches!(failed.error, Error::Stream { .. }), "{}", failed.error),
    }
    let inflate = setup.runtime.inflate(stream, room, Check::None);
    let failed = setup.end(Operation::Inflate, inflate).expect_err("it refers to what is not there");
    assert!(matches!(failed.error, Error::Stream { .. } | Error::Corrupt { .. }), "{}", failed.error);
}
