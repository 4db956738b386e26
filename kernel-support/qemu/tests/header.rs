//! The C header against the Rust side of it, by a C compiler.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Every size, offset and value that Rust has is what a C program prints that includes the header.
#[test]
fn layout_is_what_the_header_says() {
    let mut source = "#include <stdio.h>\n#include \"idxd-emu.h\"\nint main(void) {\n".to_owned();
    for (expression, _) in idxd_qemu::ffi::LAYOUT {
        writeln!(source, "    printf(\"%zu\\n\", (size_t)({expression}));").unwrap();
    }
    source += "    return 0;\n}\n";

    let dir = tempfile::tempdir().unwrap();
    let (file, program) = (dir.path().join("layout.c"), dir.path().join("layout"));
    fs::write(&file, source).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(compiler)
        .args(["-Wall", "-Werror", "-I"])
        .arg(include)
        .arg("-o")
        .args([&program, &file])
        .status()
        .unwrap();
    assert!(status.success(), "the header does not compile: {status}");
    let output = Command::new(program).output().unwrap();
    let values: Vec<usize> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    let expected: Vec<usize> = idxd_qemu::ffi::LAYOUT.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, expected, "in the order of ffi::LAYOUT");
}
