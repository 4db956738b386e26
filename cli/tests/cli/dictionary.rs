//! `--dictionary`, judged by Python's zlib, and what it refuses.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::judges::same;
use crate::support::{DEVICES, Place, contents};

const FORMATS: [(&str, &str); 2] = [("zlib", "15"), ("raw", "-15")];

/// Python's zlib makes `to` of `from`, with the dictionary in `dictionary`.
fn python(script: &str, files: [&Path; 3], wbits: &str) {
    let output = Command::new("python3").args(["-c", script]).args(files).arg(wbits).output().unwrap();
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
}

const EXPANDS: &str = "
import sys, zlib
d = zlib.decompressobj(int(sys.argv[4]), open(sys.argv[3], 'rb').read())
data = d.decompress(open(sys.argv[1], 'rb').read())
assert d.eof and not d.unused_data
open(sys.argv[2], 'wb').write(data)
";

const COMPRESSES: &str = "
import sys, zlib
c = zlib.compressobj(6, zlib.DEFLATED, int(sys.argv[4]), 8, 0, open(sys.argv[3], 'rb').read())
open(sys.argv[2], 'wb').write(c.compress(open(sys.argv[1], 'rb').read()) + c.flush())
";

#[test]
fn a_dictionary_is_what_others_take_and_make() {
    let place = Place::new();
    let data = contents((2 << 20) + 321);
    let dictionary = place.file("dictionary", &data[..20_000]);
    for (bytes, name) in [(0, "nothing"), (4000, "short"), (20_000, "that"), (data.len(), "segments")] {
        let source = place.file(name, &data[..bytes]);
        for device in DEVICES {
            for (format, wbits) in FORMATS {
                let (packed, out) = (place.at("packed"), place.at("out"));
                let dictionary_is = ["--dictionary", "dictionary", "--format", format, "-f"];
                place.run(device, [&["compress", name, "-o", "packed"][..], &dictionary_is].concat());
                python(EXPANDS, [&packed, &out, &dictionary], wbits);
                same(&source, &out);
                let without = place.at("without");
                place.run(device, ["compress", name, "-o", "without", "--format", format, "-f"]);
                let sizes = [&packed, &without].map(|file| fs::metadata(file).unwrap().len());
                // An IAA takes the last 4 KiB of a dictionary, and reaches back as far.
                let is_seen = bytes == 20_000 && device == "software";
                assert!(!is_seen || 2 * sizes[0] < sizes[1], "{sizes:?}: the data is the dictionary");
                for _ in 0..2 {
                    place.run(device, [&["decompress", "packed", "-o", "out"][..], &dictionary_is].concat());
                    same(&source, &out);
                    python(COMPRESSES, [&source, &packed, &dictionary], wbits);
                }
            }
        }
    }
}

#[test]
fn pipes_have_dictionaries_too() {
    let place = Place::new();
    let data = contents(100_000);
    place.file("dictionary", &data[..9000]);
    let pipe = |verb: &str, input: Vec<u8>| {
        let args = [verb, "-", "-o", "-", "--format", "zlib", "--dictionary", "dictionary"];
        let output = place.svala("software").args(args).write_stdin(input).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert!(pipe("decompress", pipe("compress", data.clone())) == data);
}

#[test]
fn dictionaries_that_do_not_fit_are_refused_and_leave_nothing() {
    let place = Place::new();
    place.file("src", &contents(50_000));
    place.file("dictionary", &contents(1000));
    place.file("other", &contents(1001));
    place.file("empty", b"");
    place.file("large", &contents((32 << 10) + 1));
    let with = |dictionary: &'static str| ["--format", "zlib", "--dictionary", dictionary];
    place.run("software", [&["compress", "src", "-o", "zlib"][..], &with("dictionary")].concat());
    place.run("software", ["compress", "src", "-o", "gzip"]);
    let cases: [(&[&str], &str); 7] = [
        (&["compress", "src", "-o", "dst", "--dictionary", "dictionary"], "no place for a dictionary"),
        (&["compress", "src", "-o", "dst", "--format", "raw", "--dictionary", "empty"], "empty"),
        (
            &["compress", "src", "-o", "dst", "--format", "raw", "--dictionary", "large"],
            "more than 32768 bytes",
        ),
        (&["compress", "src", "-o", "dst", "--format", "raw", "--dictionary", "none"], "No such file"),
        (&["decompress", "gzip", "-o", "dst", "--dictionary", "dictionary"], "no place for a dictionary"),
        (&["decompress", "zlib", "-o", "dst", "--dictionary", "other"], "dictionary at byte 2"),
        (&["decompress", "zlib", "-o", "dst"], "dictionary required"),
    ];
    for (args, needle) in cases {
        place.trouble("software", args, needle);
    }
}
