//! The C program: generated for the names at hand, compiled, run.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::header::Header;

const INCLUDES: &str = "#include <linux/idxd.h>\n#include <stddef.h>\n#include <stdio.h>\n#include <string.h>\n#include <stdint.h>\n";

/// What every scalar field is set to, cut to its width. No two bytes are the same.
pub(crate) const VALUE: u64 = 0x8976_5432_1fed_cba9;

/// A field as C sees it, in a structure of at most 64 bytes.
pub(crate) struct Layout {
    /// The bytes with all bits of the field set and no others.
    pub(crate) mask: [u8; 64],
    /// The bytes with the field set to [`VALUE`]; zero for an array.
    pub(crate) value: [u8; 64],
}

/// The value of each macro or enumerator.
pub(crate) fn constants(names: &[&'static str]) -> BTreeMap<String, u64> {
    let body = names.iter().fold(String::new(), |mut body, name| {
        writeln!(body, r#"printf("{name} %llu\n", (unsigned long long){name});"#).expect("a string grows");
        body
    });
    run(&body).into_iter().map(|(name, rest)| (name, rest[0].parse().expect("a number"))).collect()
}

/// The size of each structure.
pub(crate) fn sizes(names: &[&'static str]) -> BTreeMap<String, usize> {
    let body = names.iter().fold(String::new(), |mut body, name| {
        writeln!(body, r#"printf("{name} %zu\n", sizeof(struct {name}));"#).expect("a string grows");
        body
    });
    run(&body).into_iter().map(|(name, rest)| (name, rest[0].parse().expect("a number"))).collect()
}

/// The layout of each `structure.field`.
pub(crate) fn fields(names: &[&'static str], header: &Header) -> BTreeMap<String, Layout> {
    let body = names.iter().fold(String::new(), |mut body, name| {
        let (structure, field) = name.split_once('.').expect("structure.field");
        let (ones, value) = if header.is_array(name) {
            (format!("memset(s.{field}, 0xff, sizeof(s.{field}));"), String::new())
        } else {
            (format!("s.{field} = ~0ull;"), format!("s.{field} = {VALUE:#x}ull;"))
        };
        let zero = "memset((void *)&s, 0, sizeof(s));";
        writeln!(
            body,
            r#"{{ struct {structure} s; printf("{name} ");
               {zero} {ones} dump((void *)&s, sizeof(s)); printf(" ");
               {zero} {value} dump((void *)&s, sizeof(s)); printf("\n"); }}"#
        )
        .expect("a string grows");
        body
    });
    let layout = |rest: Vec<String>| Layout { mask: bytes(&rest[0]), value: bytes(&rest[1]) };
    run(&body).into_iter().map(|(name, rest)| (name, layout(rest))).collect()
}

/// Where the compiler finds the header.
pub(crate) fn header_path() -> PathBuf {
    let mut child = Command::new(compiler())
        .args(["-M", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| no_compiler(&error));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(b"#include <linux/idxd.h>\n").expect("the compiler reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("the compiler ends");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = listed.split_whitespace().find(|word| word.ends_with("linux/idxd.h"));
    match path {
        Some(path) if output.status.success() => PathBuf::from(path),
        _ => panic!(
            "linux/idxd.h or what it needs is missing: apt-get install linux-libc-dev libc6-dev\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// The lines that `body` prints, with structures of its own.
pub(crate) fn with_structures(structures: &str, body: &str) -> Vec<(String, Vec<String>)> {
    compile_and_run(structures, body)
}

fn run(body: &str) -> Vec<(String, Vec<String>)> {
    compile_and_run("", body)
}

/// Compiles `body` into a program, runs it, and splits its lines into the first word and the others.
fn compile_and_run(structures: &str, body: &str) -> Vec<(String, Vec<String>)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (source, program) = (dir.path().join("uapi.c"), dir.path().join("uapi"));
    let dump = "static void dump(const unsigned char *bytes, size_t size)\n\
                { for (size_t at = 0; at < 64; at++) printf(\"%02x\", at < size ? bytes[at] : 0); }\n";
    std::fs::write(&source, format!("{INCLUDES}{structures}{dump}int main(void)\n{{\n{body}return 0;\n}}\n"))
        .expect("the source is written");
    let compiled = Command::new(compiler())
        .args(["-std=gnu11", "-w", "-o"])
        .args([&program, &source])
        .output()
        .unwrap_or_else(|error| no_compiler(&error));
    assert!(
        compiled.status.success(),
        "linux/idxd.h does not compile (apt-get install gcc libc6-dev linux-libc-dev):\n{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let output = Command::new(&program).output().expect("the program runs");
    assert!(output.status.success(), "the program ended with {}", output.status);
    let lines = String::from_utf8(output.stdout).expect("the program prints ASCII");
    lines.lines().map(words).collect()
}

fn words(line: &str) -> (String, Vec<String>) {
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("a name"), words.collect())
}

fn bytes(hex: &str) -> [u8; 64] {
    std::array::from_fn(|at| {
        u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("two hexadecimal digits")
    })
}

/// `$CC`, or `cc`.
fn compiler() -> OsString {
    env::var_os("CC").unwrap_or_else(|| "cc".into())
}

fn no_compiler(error: &std::io::Error) -> ! {
    panic!(
        "{}: {error}; a C compiler is needed: apt-get install gcc libc6-dev linux-libc-dev",
        compiler().display()
    )
}
