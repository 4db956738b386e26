//! What the documents say about the repository is true: code that is shown exists, links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first block of this language.
fn block(document: &str, language: &str) -> String {
    let start = format!("```{language}\n");
    let (_, rest) = document.split_once(&start).unwrap_or_else(|| panic!("no block of {language}"));
    rest.split_once("```").expect("blocks end").0.to_owned()
}

#[test]
fn the_code_of_the_readme_is_the_copy_example() {
    let code = block(&text("README.md"), "rust");
    assert!(text("examples/copy.rs").ends_with(&code), "README.md and examples/copy.rs differ");
    let lines = code.lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= 15, "{lines} lines of code on the first screen");
}

#[test]
fn the_sentence_and_the_code_fit_on_the_first_screen() {
    let readme = text("README.md");
    let (first, _) = readme.split_once("| operation |").expect("the table of operations");
    assert!(first.lines().count() <= 45, "{} lines before the table", first.lines().count());
}

/// Relative links only: nothing is asked of the network.
#[test]
fn links_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        for target in text(document).split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let path = target.0.split('#').next().unwrap_or_default();
            let relative = !path.is_empty() && !path.contains("://");
            assert!(!relative || root().join(path).exists(), "{document}: nothing at {path}");
        }
    }
}

/// Each crate and file that a document names in backticks with a slash in it.
#[test]
fn named_files_exist() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let document_text = text(document);
        let words = document_text.split('`').skip(1).step_by(2);
        let tops =
            ["runtime/", "engine/", "drivers/", "kernel-support/", "cli/", "examples/", "benches/", "fuzz/"];
        for word in words.filter(|word| tops.iter().any(|top| word.starts_with(top))) {
            let path = word.split(['{', '*', ' ', ':']).next().unwrap_or_default();
            assert!(root().join(path).exists(), "{document}: nothing at {word}");
        }
    }
}
