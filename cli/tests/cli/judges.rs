//! Other people's programs, which say whether what came out is right.

use std::path::Path;
use std::process::Command;

use crc::{CRC_32_ISCSI, CRC_64_NVME, Crc};

/// `cmp`: the files are equal.
pub(crate) fn same(a: &Path, b: &Path) {
    let output = Command::new("cmp").args([a, b]).output().unwrap();
    assert!(output.status.success(), "cmp: {}", String::from_utf8_lossy(&output.stdout));
}

/// `gzip -t` likes the file, and `gzip -dc` makes `original` of it.
pub(crate) fn gzip_expands(packed: &Path, original: &Path) {
    assert!(Command::new("gzip").arg("-t").arg(packed).status().unwrap().success(), "gzip -t {packed:?}");
    let expanded = Command::new("gzip").arg("-dc").arg(packed).output().unwrap().stdout;
    assert!(expanded == std::fs::read(original).unwrap(), "gzip -dc {packed:?}");
}

/// Python's zlib makes the second file of each pair of the first. `wbits` as there: 31 gzip, 15 zlib, -15 raw.
pub(crate) fn python_expands(pairs: &[(&Path, &Path, i32)]) {
    const SCRIPT: &str = "
import sys, zlib
for packed, original, wbits in zip(*[iter(sys.argv[1:])] * 3):
    expander = zlib.decompressobj(int(wbits))
    data = expander.decompress(open(packed, 'rb').read())
    assert expander.eof and not expander.unused_data, packed
    assert data == open(original, 'rb').read(), packed
";
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]);
    for (packed, original, wbits) in pairs {
        python.arg(packed).arg(original).arg(wbits.to_string());
    }
    let output = python.output().unwrap();
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compresses with Python's zlib, 32 KiB window and dynamic codes.
pub(crate) fn python_compresses(original: &Path, packed: &Path, wbits: i32) {
    const SCRIPT: &str = "
import sys, zlib
packer = zlib.compressobj(6, zlib.DEFLATED, int(sys.argv[3]))
data = packer.compress(open(sys.argv[1], 'rb').read()) + packer.flush()
open(sys.argv[2], 'wb').write(data)
";
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).arg(original).arg(packed).arg(wbits.to_string());
    assert!(python.status().unwrap().success());
}

/// CRC-64 as NVMe has it, by the `crc` crate.
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    Crc::<u64>::new(&CRC_64_NVME).checksum(bytes)
}

/// CRC-32C by the `crc` crate.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes)
}
