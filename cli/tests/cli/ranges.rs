//! compress --index and decompress --range: the streams are what others read, the index is what its description says, any range
//! is that of the data, and what does not fit together is refused.

use std::fs;
use std::process::Command;

use crate::judges::{gzip_expands, python_expands};
use crate::support::{DEVICES, Place, contents};

const SEGMENT: usize = 1 << 20;

/// What `--miniblocks` is given, and bytes of a miniblock.
const SIZES: [(&[&str], usize); 4] = [
    (&[], 0),
    (&["--miniblocks", "512"], 512),
    (&["--miniblocks", "4K"], 4096),
    (&["--miniblocks", "32K"], 32 << 10),
];

/// Python goes over an index as its description says: each segment is a stream of its data, each entry has the CRC of the
/// data up to its end.
fn python_reads(index: &str, stream: &str, data: &str, place: &Place) {
    const SCRIPT: &str = "
import struct, sys, zlib
index, stream, data = (open(name, 'rb').read() for name in sys.argv[1:])
magic, version, form, size, total, tail, count, length, at = struct.unpack('<8sBBB5xQIIQI', index[:44])
assert magic == b'\\x89svalaI\\n' and version == 1 and (total, length) == (len(stream), len(data))
size = 256 << size if size else 0
place, start = 48, 0
for _ in range(count):
    bytes_, raw, check, blocks = struct.unpack('<IIII', index[place:place + 16])
    place += 16
    piece = data[start:start + raw]
    assert zlib.decompressobj(-15).decompress(stream[at:at + bytes_]) == piece
    assert check == (zlib.crc32(piece), zlib.adler32(piece), 0)[form]
    if size:
        headers = struct.unpack('<%dI' % (2 * blocks), index[place:place + 8 * blocks])
        assert headers[:2] == (0, 0) and max(headers[::2]) < 8 * bytes_
        place += 8 * blocks
        entries = struct.unpack('<%dQ' % -(-raw // size), index[place:place + -(-raw // size) * 8])
        place += 8 * len(entries)
        assert [entry >> 32 for entry in entries] == [zlib.crc32(piece[:end * size + size]) for end in range(len(entries))]
    at, start = at + bytes_, start + raw
assert start == len(data) and place + 4 == len(index), (place, len(index))
";
    let output = Command::new("python3")
        .args(["-c", SCRIPT, index, stream, data])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn any_range_is_that_of_the_data_and_the_stream_is_as_others_read_it() {
    let place = Place::new();
    let data = contents(SEGMENT + SEGMENT / 3 + 5);
    let source = place.file("src", &data);
    let packed = place.at("packed");
    for device in DEVICES {
        for (format, wbits, sizes) in
            [("gzip", 31, &SIZES[..]), ("zlib", 15, &SIZES[2..3]), ("raw", -15, &SIZES[..1])]
        {
            for (sizes, size) in sizes.iter().copied() {
                let args = ["compress", "src", "-f", "-o", "packed", "--index", "idx", "--format", format];
                place.run(device, [&args, sizes].concat());
                if format == "gzip" {
                    gzip_expands(&packed, &source);
                }
                python_expands(&[(&packed, &source, wbits)]);
                python_reads("idx", "packed", "src", &place);
                let (start, all) = (SEGMENT + 7 * size, data.len());
                for range in [
                    0..1,
                    start..start + 1,
                    start + 1..start + 5000,
                    SEGMENT - 1..SEGMENT + 1,
                    5..all,
                    0..all,
                ] {
                    let asked = format!("{}..{}", range.start, range.end);
                    let args = ["decompress", "packed", "-o", "-", "--index", "idx", "--range", &asked];
                    let found = place.run(device, args);
                    assert!(found == data[range], "{asked} of {format} in {size}, on {device}");
                }
            }
        }
    }
    let found =
        place.run("software", ["decompress", "packed", "-o", "-", "--index", "idx", "--range", "1M.."]);
    assert!(found == data[SEGMENT..]);
}

/// What comes from a pipe has the same index, and a range says what was read for it.
#[test]
fn a_range_of_a_few_bytes_reads_little() {
    let place = Place::new();
    let data = contents(3 * SEGMENT);
    place.file("src", &data);
    for (sizes, most) in [(&SIZES[0].0, SEGMENT), (&SIZES[2].0, 8192)] {
        place
            .run("software", [&["compress", "src", "-f", "-o", "packed", "--index", "idx"], *sizes].concat());
        let mut piped = place.svala("software");
        piped.args(["compress", "-", "-f", "-o", "piped", "--index", "piped.idx"]).args(*sizes);
        let piped = piped.write_stdin(data.clone()).output().unwrap();
        assert!(piped.status.success());
        python_reads("piped.idx", "piped", "src", &place);
        let args =
            ["decompress", "packed", "-f", "-o", "dst", "--index", "idx", "--range", "1500000..1500010"];
        let result = place.run("software", [&args[..], &["--json"]].concat());
        let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
        assert!(fs::read(place.at("dst")).unwrap() == data[1_500_000..1_500_010]);
        assert_eq!((&result["bytes"], &result["range"][1]), (&10.into(), &1_500_010.into()), "{result}");
        assert!(result["compressed_bytes"].as_u64().unwrap() <= most as u64, "{result}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let place = Place::new();
    place.file("src", &contents(SEGMENT + 9));
    place.file("other", &contents(SEGMENT + 8));
    for name in ["src", "other"] {
        let (packed, index) = (format!("{name}.gz"), format!("{name}.idx"));
        place.run("software", ["compress", name, "-o", &packed, "--index", &index, "--miniblocks", "4K"]);
    }
    let range = |index: &str, range: &str, needle: &str| {
        for device in DEVICES {
            let args = ["decompress", "src.gz", "-o", "dst", "--index", index, "--range", range];
            place.trouble(device, args, needle);
        }
    };
    range("other.idx", "0..1", "other.idx: not the index of src.gz: ");
    range("src.idx", "0..2M", "src.gz: bytes 0..2097152 of the 1048585 that are in it");
    range("src.idx", "1048585..", "bytes 1048585.. of the 1048585");
    range("src.gz", "0..1", "src.gz: at byte 0: not an index of svala");
    let index = fs::read(place.at("src.idx")).unwrap();
    for (bytes, needle) in [
        (&index[..index.len() - 1], "truncated: "),
        (&index[..20], "at byte 20: truncated: 20 bytes, at least 52 wanted"),
        (&index[..0], "not an index of svala"),
        (&[&index[..], &[0; 8]].concat(), "8 bytes behind the end"),
        (
            &[&index[..8], &[2], &index[9..]].concat(),
            "at byte 8: an index of version 2; this svala reads version 1",
        ),
        (&[&index[..2000], &[!index[2000]], &index[2001..]].concat(), "corrupt: CRC-32C"),
    ] {
        place.file("bad.idx", bytes);
        range("bad.idx", "0..1", needle);
    }
    // Of the same length, with the same end, and another inside.
    let mut stream = fs::read(place.at("src.gz")).unwrap();
    let at = stream.len() / 2;
    stream[at] ^= 0x55;
    place.file("src.gz", &stream);
    range("src.idx", "0..", "src.gz: at byte ");

    let compress = |args: &[&str], needle: &str| {
        place.trouble("software", [&["compress", "src"], args].concat(), needle);
    };
    compress(&["-o", "new", "--index", "src"], "src and src are the same file");
    compress(&["-o", "new", "--index", "./new"], "new and ./new are the same file");
    compress(&["-f", "-o", "src.gz", "--index", "src.gz"], "src.gz and src.gz are the same file");
    compress(&["-o", "new", "--index", "src.idx"], "src.idx: exists (--force replaces it)");
    compress(&["-o", "new", "--index", "no/idx"], "no/idx: creating it: ");
    compress(&["-o", "new", "--index", "new.idx", "--format", "lz4"], "new.idx: no index of LZ4");
}

#[test]
fn nothing_has_an_index_of_nothing() {
    let place = Place::new();
    let empty = place.file("src", b"");
    for (sizes, _) in SIZES {
        place.run("software", [&["compress", "src", "-f", "-o", "packed", "--index", "idx"], sizes].concat());
        gzip_expands(&place.at("packed"), &empty);
        python_reads("idx", "packed", "src", &place);
        let args = ["decompress", "packed", "-o", "dst", "--index", "idx", "--range", "0.."];
        place.trouble("software", args, "packed: bytes 0.. of the 0 that are in it");
    }
}
