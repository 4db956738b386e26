//! Whatever bytes a response is: reading it does not panic, says the same as the bytes, and a request reads back as made.
//!
//! Input: 32 bytes of response, 128 of request; what is missing is zero.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qat_spec::{CapabilityBlock, Request, Response, RingMap};

fuzz_target!(|input: &[u8]| {
    let mut bytes = [0; 160];
    let len = input.len().min(bytes.len());
    bytes[..len].copy_from_slice(&input[..len]);
    let (response, request) = bytes.split_first_chunk::<32>().unwrap();
    let read = Response::from_bytes(response);
    let _ = format!("{read:?} {:?}", read.error().name());
    assert_eq!(read.words().map(u64::to_le_bytes).concat(), response);
    assert_eq!(read.opaque().to_le_bytes(), response[8..16]);
    assert_eq!(read.consumed().to_le_bytes(), response[16..20]);
    assert_eq!(read.produced().to_le_bytes(), response[20..24]);

    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(request.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap());
    }
    let made = Request::from_words(words);
    let _ = format!("{made:?}");
    assert_eq!(made.to_bytes(), request);

    if let Some(block) = CapabilityBlock::parse(input) {
        assert!(block.version != 0 && input.len() >= 6);
    }
    if let Some(map) = RingMap::parse(input) {
        let _ = (0..8).map(|pair| map.service(pair).name().len()).sum::<usize>();
    }
});
