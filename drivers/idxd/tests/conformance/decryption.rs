//! Decryption in front of a filter or of an inflate. What is encrypted is what `cipher` holds to OpenSSL; what comes of it is
//! judged by loops over the elements, by zlib's streams and by the `crc` crate.

use pollster::block_on;
use svala::backend::Kind;
use svala::{
    AesKey, Aggregates, BitVec, Check, Cipher, CipherFault, CipherMode, CipherParameters, Column,
    ColumnFault, Error, FilterKind, IoBuf, Operation, Path, Predicate, Reason,
};

use super::analytics::{deflated, elements, packed};
use super::streams::crc32;
use crate::support::{Setup, State, noise, text};

/// A cipher without a tag yet: keys of either length, and something to authenticate besides.
fn cipher(mode: CipherMode, is_long: bool) -> Cipher {
    let key = |seed| AesKey::new(&noise(if is_long { 32 } else { 16 }, seed)).expect("a length of AES");
    match mode {
        CipherMode::Gcm => Cipher::gcm(key(1), [3; 12]).with_aad(*b"column 7"),
        CipherMode::Cfb => Cipher::cfb(key(1), [4; 16]),
        CipherMode::Xts => Cipher::xts(key(1), key(2), [5; 16]).expect("different keys"),
    }
}

/// A message, and the cipher to decrypt it with.
fn encrypted(setup: &Setup, message: &[u8], mode: CipherMode, is_long: bool) -> (Vec<u8>, Cipher) {
    let encrypt = setup.runtime.encrypt(message.to_vec(), vec![0; message.len()], cipher(mode, is_long));
    let done = setup.well(Operation::of_cipher(mode, true), encrypt);
    let cipher = cipher(mode, is_long);
    let cipher = if let Some(tag) = done.value.tag { cipher.with_tag(tag) } else { cipher };
    (done.buffers.1, cipher)
}

/// Each mode the setup has, with short keys and long ones.
fn modes(setup: &Setup) -> impl Iterator<Item = (CipherMode, bool)> {
    let of_setup: Vec<_> = CipherMode::ALL
        .into_iter()
        .filter(|mode| setup.offers(Operation::of_cipher(*mode, false)))
        .flat_map(|mode| [(mode, false), (mode, true)])
        .collect();
    assert_eq!(setup.offers(Operation::DecryptScan), !of_setup.is_empty());
    of_setup.into_iter()
}

/// Columns, plain and deflated, warm and absent.
pub(crate) fn columns(setup: &Setup) {
    for (turn, (mode, is_long)) in modes(setup).enumerate() {
        for (width, count) in [(8, 16_u32), (8, 5001), (12, 20_003), (32, 9)] {
            let values = elements(count as usize, width, u64::from(count));
            let predicate = Predicate::between(values[0].min(values[5]), values[0].max(values[5]));
            let expected: BitVec = values.iter().map(|value| predicate.holds(*value)).collect();
            let plain = packed(&values, width, false);
            for is_deflated in [false, true] {
                let message = if is_deflated { deflated(&plain) } else { plain.clone() };
                let (bytes, cipher) = encrypted(setup, &message, mode, is_long);
                let state = State::BOTH[(turn + usize::from(is_deflated)) % 2];
                let column = || {
                    let column = Column::packed(state.source(&bytes, turn), width, count);
                    let column = if is_deflated { column.deflated() } else { column };
                    column.encrypted(cipher.clone())
                };
                let what = format!("{count} of {width} bits, {mode:?}, deflated: {is_deflated}, {state:?}");
                let done = setup.well(Operation::DecryptScan, setup.runtime.column(column()).scan(predicate));
                assert!(done.value == expected, "{what}");
                let is_cpu =
                    setup.runtime.capabilities().all(|queue| queue.kind == svala::backend::Kind::Software);
                assert!(
                    matches!(done.report.path, Path::Software { .. }) == is_cpu,
                    "{what}: {}",
                    done.report.path
                );
                // The column, cipher and all, is asked again.
                let again =
                    setup.well(Operation::DecryptScan, setup.runtime.column(done.buffers).count(predicate));
                assert_eq!(again.value, expected.count_ones(), "{what}");
                let (first, last) = (count / 3, count / 2);
                let extract = setup.runtime.column(column()).extract(first..=last);
                let done = setup.well(Operation::DecryptExtract, extract);
                assert!(done.value == values[first as usize..=last as usize], "{what}");
                let done = setup.well(Operation::DecryptExtract, setup.runtime.column(column()).aggregates());
                let sum = values.iter().fold(0, |sum: u32, value| sum.wrapping_add(*value));
                let (min, max) = (*values.iter().min().expect("some"), *values.iter().max().expect("some"));
                assert_eq!(done.value, Aggregates { min, max, sum }, "{what}");
            }
        }
    }
}

/// What another crate makes of a message, and the cipher to decrypt it with.
fn sealed(message: &[u8], mode: CipherMode, is_long: bool) -> (Vec<u8>, Cipher) {
    let cipher = cipher(mode, is_long);
    let by_others = match cipher.parameters() {
        CipherParameters::Gcm { key, nonce, aad, .. } => {
            svala_software::cipher::Cipher::Gcm { key, nonce, aad }
        }
        CipherParameters::Cfb { key, iv } => svala_software::cipher::Cipher::Cfb { key, iv },
        CipherParameters::Xts { key, tweak_key, tweak } => {
            svala_software::cipher::Cipher::Xts { key, tweak_key, tweak }
        }
        _ => unreachable!("one of three modes"),
    };
    let mut bytes = vec![0; message.len()];
    let tag = svala_software::cipher::encrypt(&by_others, message, &mut bytes).expect("a length of the mode");
    (bytes, if let Some(tag) = tag { cipher.with_tag(tag) } else { cipher })
}

/// Columns of several transfers: of each mode, with ends at and beside blocks and transfers, and with bytes behind the last
/// element, which only a tag has to do with. Everything cold, and everything warm.
pub(crate) fn long_columns(setup: &Setup) {
    let transfer = setup.transfer_bytes_max;
    let cases = [
        (8, 2 * transfer + transfer / 3 + 5, 0),
        (12, transfer + 77, 5),
        (32, 2 * transfer + 12, 16),
        (8, 2 * transfer + 1, 0),
        (8, 2 * transfer, 15),
        (3, transfer + 20, transfer + 100),
        (1, transfer + 48, 0),
    ];
    let is_cpu = setup.runtime.capabilities().all(|queue| queue.kind == Kind::Software);
    for (case, (width, bytes, behind)) in cases.into_iter().enumerate() {
        let count = bytes * 8 / usize::from(width);
        let values = elements(count, width, (bytes + case) as u64);
        let plain = [packed(&values, width, case % 2 == 1), noise(behind, 6)].concat();
        let count = u32::try_from(count).expect("fits");
        for (turn, (mode, is_long)) in modes(setup).enumerate() {
            let (message, cipher) = sealed(&plain, mode, is_long);
            let state = State::BOTH[(turn + case) % 2];
            let what = format!("{count} of {width} bits and {behind} bytes, {mode:?}, {state:?}");
            let column = || {
                let bytes = state.source(&message, turn);
                let column = match case % 2 {
                    0 => Column::packed(bytes, width, count),
                    _ => Column::packed_big_endian(bytes, width, count),
                };
                column.encrypted(cipher.clone())
            };
            let (low, high) = (values[0].min(values[5]), values[0].max(values[5]));
            let holds: Vec<bool> = values.iter().map(|value| (low..=high).contains(value)).collect();
            let room = state.destination(count.div_ceil(8) as usize, 3 * turn);
            let filter = column().filter(FilterKind::Scan).with_parameters(low, high);
            let done =
                setup.well(Operation::DecryptScan, setup.runtime.filter(column(), Vec::new(), room, filter));
            let is_set = |at: usize| done.buffers.2.bytes()[at / 8] >> (at % 8) & 1 == 1;
            assert!(holds.iter().enumerate().all(|(at, holds)| is_set(at) == *holds), "{what}");
            let path = done.report.path;
            assert!(matches!(path, Path::Software { .. }) == is_cpu, "{what}: {path}");
            let ones: Vec<u32> = (0..).zip(&holds).filter(|(_, holds)| **holds).map(|(at, _)| at).collect();
            let aggregates = done.value.aggregates;
            assert_eq!((aggregates.sum as usize, aggregates.min), (ones.len(), ones[0]), "{what}");
            assert_eq!(aggregates.max, ones[ones.len() - 1], "{what}");
            let scan = setup.runtime.column(column()).indices(Predicate::between(low, high));
            assert!(setup.well(Operation::DecryptScan, scan).value == ones, "{what}");
            let of_a_transfer = u32::try_from(transfer * 8 / usize::from(width)).expect("fits");
            let ranges = [(of_a_transfer - 1, of_a_transfer), (count / 3, count - 2), (count - 1, count - 1)];
            for (first, last) in ranges {
                let extract = setup.runtime.column(column()).extract(first..=last);
                let done = setup.well(Operation::DecryptExtract, extract);
                assert!(done.value == values[first as usize..=last as usize], "{what}: {first} to {last}");
            }
            let done = setup.well(Operation::DecryptExtract, setup.runtime.column(column()).aggregates());
            let sum = match width {
                1 => values.iter().sum(),
                _ => values.iter().fold(0, |sum: u32, value| sum.wrapping_add(*value)),
            };
            assert_eq!(done.value.sum, sum, "{what}");
            if width > 1 {
                let (min, max) = (values.iter().min().copied(), values.iter().max().copied());
                assert_eq!((Some(done.value.min), Some(done.value.max)), (min, max), "{what}");
            }
        }
    }
}

/// Of a message of several transfers a byte changed in the part that is filtered, in what is only hashed in front of it and
/// behind it, and the tag.
pub(crate) fn forged_long(setup: &Setup) {
    if !setup.offers(Operation::DecryptGcm) {
        return;
    }
    let transfer = setup.transfer_bytes_max;
    let (count, len) = (2 * transfer + 500, 4 * transfer + 9);
    let (message, cipher) = sealed(&text(len), CipherMode::Gcm, false);
    let places = [0, transfer + 5, 2 * transfer + 400, 3 * transfer, len - 1, len];
    for (case, place) in places.into_iter().enumerate() {
        let (mut bytes, mut cipher) = (message.clone(), cipher.clone());
        match bytes.get_mut(place) {
            Some(byte) => *byte ^= 0x10,
            None => cipher = cipher.with_tag([9; 16]),
        }
        let count = u32::try_from(count).expect("fits");
        let column = Column::packed(State::BOTH[case % 2].source(&bytes, case), 8, count).encrypted(cipher);
        let (kind, operation) = match case % 2 {
            0 => (FilterKind::Scan, Operation::DecryptScan),
            _ => (FilterKind::Extract, Operation::DecryptExtract),
        };
        let first = if case % 2 == 0 { 0 } else { u32::try_from(transfer).expect("fits") };
        let filter = column.filter(kind).with_parameters(first, count);
        let room = vec![0xee; 2 * transfer];
        let failed =
            setup.end(operation, setup.runtime.filter(column, Vec::new(), room, filter)).expect_err("forged");
        let is_tag = matches!(failed.error, Error::Cipher { fault: CipherFault::Tag, .. });
        assert!(is_tag, "byte {place}: {}", failed.error);
        let (_, _, room) = failed.buffers.expect("given back");
        assert!(room.iter().all(|byte| *byte == 0), "byte {place}");
    }
}

/// Streams of one descriptor and of many, on either side: what is expanded may be far longer than its message.
pub(crate) fn streams(setup: &Setup) {
    let long = 3 * setup.transfer_bytes_max;
    let inputs = [noise(33, 4), text(20_000), vec![7; long], noise(long / 2 + 5, 9), text(long + 77)];
    for (turn, (mode, is_long)) in modes(setup).enumerate() {
        for data in &inputs {
            let stream = deflated(data);
            let (message, cipher) = encrypted(setup, &stream, mode, is_long);
            let state = State::BOTH[turn % 2];
            let (source, room) = (state.source(&message, turn), state.destination(data.len(), 3 * turn));
            let inflate = setup.runtime.decrypt_inflate(source, room, cipher, Check::Crc32);
            let done = setup.well(Operation::DecryptInflate, inflate);
            let what = format!("{} bytes, {mode:?}, {state:?}", data.len());
            assert!(done.buffers.1.bytes() == data, "{what}");
            assert_eq!((done.value.read, done.value.check), (stream.len() as u64, crc32(data)), "{what}");
            assert_eq!(
                (done.value.written, done.report.bytes),
                (data.len() as u64, message.len() as u64),
                "{what}"
            );
        }
    }
}

/// A byte, a tag or what is authenticated besides changed: no answer, and nothing of the message to be seen.
pub(crate) fn forged(setup: &Setup) {
    if !setup.offers(Operation::DecryptGcm) {
        return;
    }
    let data = text(30_000);
    let other_tag = |cipher: &Cipher| cipher.clone().with_tag([9; 16]);
    for is_deflated in [true, false] {
        let plain = if is_deflated { deflated(&data) } else { data.clone() };
        let (message, cipher) = encrypted(setup, &plain, CipherMode::Gcm, true);
        let mut flipped = message.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let mut longer = message.clone();
        longer.push(0);
        let cases = [
            (flipped, cipher.clone()),
            (longer, cipher.clone()),
            (message[..message.len() - 1].to_vec(), cipher.clone()),
            (message.clone(), other_tag(&cipher)),
            (message, cipher.with_aad(*b"column 8")),
        ];
        for (case, (bytes, cipher)) in cases.into_iter().enumerate() {
            if is_deflated {
                let inflate =
                    setup.runtime.decrypt_inflate(bytes, vec![0xee; data.len()], cipher, Check::None);
                let failed = setup.end(Operation::DecryptInflate, inflate).expect_err("forged");
                assert!(is_forgery(setup, &failed.error), "case {case}: {}", failed.error);
                let (_, room) = failed.buffers.expect("given back");
                assert!(room.iter().all(|byte| *byte == 0), "case {case}");
                continue;
            }
            let column = Column::packed(bytes, 8, 29_000).encrypted(cipher);
            let filter = column.filter(svala::FilterKind::Scan).with_parameters(0, 255);
            let scan = setup.runtime.filter(column, Vec::new(), vec![0xee; 29_000 / 8], filter);
            let failed = setup.end(Operation::DecryptScan, scan).expect_err("forged");
            assert!(is_forgery(setup, &failed.error), "case {case}: {}", failed.error);
            let (_, _, room) = failed.buffers.expect("given back");
            assert!(room.iter().all(|byte| *byte == 0), "case {case}");
        }
    }
    // A stored block that is made shorter: a stream as good as any, of too few elements.
    let stored = [&[1, 0x2c, 1, 0xd3, 0xfe][..], &text(300)].concat();
    let (mut message, cipher) = encrypted(setup, &stored, CipherMode::Gcm, false);
    // And one for which there is no room.
    let changed = [&message[..9], &[!message[9]], &message[10..]].concat();
    let inflate = setup.runtime.decrypt_inflate(changed, vec![0; 299], cipher.clone(), Check::None);
    let failed = setup.end(Operation::DecryptInflate, inflate).expect_err("forged");
    assert!(is_forgery(setup, &failed.error), "{}", failed.error);
    (message[2], message[4]) = (message[2] ^ 1, message[4] ^ 1);
    let column = Column::packed(message, 8, 300).deflated().encrypted(cipher);
    let scan = setup.runtime.column(column).scan(Predicate::between(1, 200));
    let failed = setup.end(Operation::DecryptScan, scan).expect_err("forged");
    assert!(is_forgery(setup, &failed.error), "{}", failed.error);
}

/// What a device cannot decode is, without a CPU engine behind it, all that can be said of a message that was changed.
fn is_forgery(setup: &Setup, error: &Error) -> bool {
    let has_cpu = setup.runtime.capabilities().any(|queue| queue.kind == svala::backend::Kind::Software);
    match error {
        Error::Cipher { fault: CipherFault::Tag, .. } => true,
        Error::Stream { .. } => !has_cpu,
        _ => false,
    }
}

/// What is refused before it gets anywhere, and a message whose stream ends before it does.
pub(crate) fn refused(setup: &Setup) {
    let column = || Column::packed(vec![1_u8; 40], 8, 40);
    let gcm = || cipher(CipherMode::Gcm, true).with_tag([0; 16]);
    let mask = BitVec::from_bytes(vec![0xff; 5], 40);
    let failed =
        block_on(setup.runtime.column(column().encrypted(gcm())).select(&mask)).expect_err("two inputs");
    assert!(matches!(failed.error, Error::Column { fault: ColumnFault::Encrypted, .. }), "{}", failed.error);
    assert!(failed.buffers.is_some());
    let failed = block_on(
        setup.runtime.column(column().encrypted(cipher(CipherMode::Gcm, true))).count(Predicate::eq(1)),
    )
    .expect_err("no tag");
    assert!(matches!(failed.error, Error::Cipher { fault: CipherFault::NoTag, .. }), "{}", failed.error);
    let short = Column::packed(vec![1_u8; 9], 8, 9).encrypted(cipher(CipherMode::Xts, true));
    let failed =
        block_on(setup.runtime.column(short).count(Predicate::eq(1))).expect_err("less than a block");
    let is_short = matches!(failed.error, Error::Cipher { fault: CipherFault::TooShort { bytes: 9 }, .. });
    assert!(is_short, "{}", failed.error);
    if !setup.offers(Operation::DecryptScan) {
        let failed = block_on(setup.runtime.column(column().encrypted(gcm())).count(Predicate::eq(1)));
        let error = failed.expect_err("not offered").error;
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        return;
    }
    // A whole transfer and more of something else behind the stream.
    let data = text(500);
    let message = [deflated(&data), noise(2 * setup.transfer_bytes_max, 3)].concat();
    let (message, cipher) = encrypted(setup, &message, CipherMode::Gcm, false);
    let inflate = setup.runtime.decrypt_inflate(message, vec![0; 500], cipher, Check::None);
    match block_on(inflate) {
        Ok(done) => {
            assert!(done.buffers.1 == data);
            assert!(matches!(done.report.path, Path::Software { reason: Reason::Stream | Reason::NoDevice }));
        }
        Err(failed) => assert!(matches!(failed.error, Error::Stream { .. }), "{}", failed.error),
    }
}
