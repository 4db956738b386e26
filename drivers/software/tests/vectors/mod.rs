//! Messages that OpenSSL has encrypted: `cipher.txt`, which `cipher.py` has written.

/// One of them.
pub(crate) struct Vector {
    pub(crate) mode: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) tweak_key: Vec<u8>,
    /// Nonce, initial vector or tweak.
    pub(crate) iv: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    pub(crate) message: Vec<u8>,
    pub(crate) tag: Option<[u8; 16]>,
    encrypted: &'static str,
}

fn hex(digits: &str) -> Vec<u8> {
    if digits == "-" {
        return Vec::new();
    }
    let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(digit).collect()
}

/// All of them.
pub(crate) fn vectors() -> impl Iterator<Item = Vector> {
    include_str!("cipher.txt").lines().map(|line| {
        let fields: Vec<&'static str> = line.split(' ').collect();
        let [mode, key, tweak_key, iv, aad, seed, len, encrypted, tag] = fields[..] else { panic!("{line}") };
        let (seed, len): (usize, usize) = (seed.parse().expect("seed"), len.parse().expect("length"));
        let message = (0..len).map(|at| (131 * at + 17 * (at >> 8) + seed).to_le_bytes()[0]).collect();
        let tag = hex(tag).try_into().ok();
        let (key, tweak_key, iv, aad) = (hex(key), hex(tweak_key), hex(iv), hex(aad));
        Vector { mode, key, tweak_key, iv, aad, message, tag, encrypted }
    })
}

impl Vector {
    /// Whether these bytes are the message encrypted.
    pub(crate) fn is_encrypted(&self, bytes: &[u8]) -> bool {
        let crc = || crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes);
        bytes.len() == self.message.len()
            && match self.encrypted.split_once(':') {
                Some((sum, last)) => sum == format!("{:08x}", crc()) && bytes.ends_with(&hex(last)),
                None => bytes == hex(self.encrypted),
            }
    }
}
