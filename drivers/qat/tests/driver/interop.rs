//! Framed streams against the system's `gzip` and Python's zlib, both ways.

use std::io::Write as _;
use std::process::{Command, Stdio};

use qat_emu::Model;
use svala::{Check, DeflateOptions, block_on};
use svala_software::{CheckKind, Format, Level, Window};

use crate::support::{Machine, noise, text};

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}, which this test needs: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

fn python(code: &str, input: &[u8]) -> Vec<u8> {
    run("python3", &["-c", code], input)
}

fn corpus() -> Vec<Vec<u8>> {
    let mut mixed = text(150_000, 1);
    mixed.extend(noise(50_000, 2));
    mixed.extend(vec![0; 120_000]);
    vec![text(100, 3), text(80_000, 4), noise(70_000, 5), mixed]
}

#[test]
fn gzip_and_zlib_expand_what_the_function_compresses() {
    for model in [Model::Gen4, Model::Gen6] {
        let machine = Machine::of(model);
        for data in corpus() {
            for format in [Format::Gzip, Format::Zlib] {
                let check =
                    if format.check_kind() == CheckKind::Crc32 { Check::Crc32 } else { Check::Adler32 };
                let how = DeflateOptions { level: 6, last: true, check };
                let room = vec![0; data.len() + data.len() / 4 + 2048];
                let done = block_on(machine.runtime.deflate(data.clone(), room, how)).expect("compresses");
                let mut framed = format.header(Level::DEFAULT, Window::DEFLATE).to_vec();
                framed.extend_from_slice(crate::support::stream(&done));
                framed.extend_from_slice(&format.trailer(done.value.check, data.len() as u64));
                let back = match format {
                    Format::Gzip => run("gzip", &["-dc"], &framed),
                    _ => python(
                        "import sys,zlib;i=sys.stdin.buffer.read();sys.stdout.buffer.write(zlib.decompress(i))",
                        &framed,
                    ),
                };
                assert_eq!(back, data, "{model:?} {format:?}");
            }
        }
    }
}

#[test]
fn the_function_expands_what_gzip_and_zlib_compress() {
    let machine = Machine::of(Model::Gen4);
    for data in corpus() {
        for level in ["-1", "-6", "-9"] {
            let framed = run("gzip", &["-nc", level], &data);
            let header = Format::Gzip.parse_header(&framed).expect("a header");
            let body = framed[header.bytes..].to_vec();
            let done =
                block_on(machine.runtime.inflate(body, vec![0; data.len()], Check::Crc32)).expect("expands");
            assert_eq!(done.buffers.1, data);
            let end = header.bytes + usize::try_from(done.value.read).expect("small");
            let trailer = Format::Gzip.check_trailer(&framed[end..], done.value.check, done.value.written);
            trailer.expect("checksum and length of gzip");
        }
        let raw = python(
            "import sys,zlib;c=zlib.compressobj(9,zlib.DEFLATED,-15);i=sys.stdin.buffer.read();\
             sys.stdout.buffer.write(c.compress(i)+c.flush())",
            &data,
        );
        let done = block_on(machine.runtime.inflate(raw, vec![0; data.len()], Check::None)).expect("expands");
        assert_eq!(done.buffers.1, data);
    }
}
