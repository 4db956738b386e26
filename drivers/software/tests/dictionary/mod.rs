//! Python's zlib with a dictionary, and data that is small with one. For the tests of several crates.

#[path = "../oracle/mod.rs"]
mod oracle;

pub(crate) const DEFLATE: &str = "import sys, zlib
n, bits = int(sys.argv[1]), int(sys.argv[2])
data = sys.stdin.buffer.read()
c = zlib.compressobj(6, zlib.DEFLATED, bits, zdict=data[:n])
sys.stdout.buffer.write(c.compress(data[n:]) + c.flush())";

pub(crate) const INFLATE: &str = "import sys, zlib
n, bits = int(sys.argv[1]), int(sys.argv[2])
data = sys.stdin.buffer.read()
d = zlib.decompressobj(bits, zdict=data[:n])
out = d.decompress(data[n:]) + d.flush()
assert d.eof and not d.unused_data
sys.stdout.buffer.write(out)";

/// Runs a script with the dictionary's length and zlib's window bits as its arguments, and the dictionary and `data` as its
/// input.
pub(crate) fn python(script: &str, dictionary: &[u8], bits: i32, data: &[u8]) -> Vec<u8> {
    let arguments = ["-c", script, &dictionary.len().to_string(), &bits.to_string()];
    oracle::filter("python3", &arguments, &[dictionary, data].concat())
}

/// Nothing but pieces of the dictionary: small with it, and as large as it is without.
pub(crate) fn pieces(dictionary: &[u8]) -> Vec<u8> {
    let end = dictionary.len();
    let piece = |back: usize, len: usize| &dictionary[end.saturating_sub(back)..][..len.min(back.min(end))];
    [piece(900, 400), piece(300, 290), piece(1900, 500)].concat()
}
