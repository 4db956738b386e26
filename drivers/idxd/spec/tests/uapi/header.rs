//! The installed header: which names it has.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::program;

/// What `linux/idxd.h` declares.
pub(crate) struct Header {
    /// Where the compiler found it.
    pub(crate) path: PathBuf,
    /// Macros with a value, and enumerators.
    constants: BTreeSet<String>,
    /// `structure.field`, unions and structures without a name flattened as C does.
    fields: BTreeSet<String>,
    /// Those of [`fields`](Self::fields) that are arrays.
    arrays: BTreeSet<String>,
}

impl Header {
    /// Reads the header that the compiler includes.
    pub(crate) fn installed() -> Self {
        let path = program::header_path();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut header =
            Self { path, constants: BTreeSet::new(), fields: BTreeSet::new(), arrays: BTreeSet::new() };
        header.parse(&without_comments(&text));
        header
    }

    /// All names, constants and fields.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.constants.union(&self.fields).cloned().collect()
    }

    /// Those of `names` that the header has.
    pub(crate) fn present(&self, names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
        names.filter(|&name| self.constants.contains(name) || self.fields.contains(name)).collect()
    }

    /// Whether `name` is an array, which C cannot assign to.
    pub(crate) fn is_array(&self, name: &str) -> bool {
        self.arrays.contains(name)
    }

    fn parse(&mut self, text: &str) {
        let mut enclosing = Enclosing::Nothing;
        let mut depth = 0;
        for line in text.lines().map(str::trim) {
            if let Some(define) = line.strip_prefix("#define ") {
                let mut words = define.split_whitespace();
                if let (Some(name), Some(_)) = (words.next(), words.next()) {
                    self.constants.insert(name.to_owned());
                }
                continue;
            }
            if depth == 0 {
                enclosing = Enclosing::opened_by(line);
            }
            match &enclosing {
                Enclosing::Enum if depth > 0 => self.add_enumerators(line),
                Enclosing::Struct(name) if depth > 0 => self.add_field(name, line),
                _ => {}
            }
            depth += line.matches('{').count();
            depth -= line.matches('}').count();
        }
    }

    fn add_enumerators(&mut self, line: &str) {
        for item in line.trim_end_matches(['}', ';']).split(',') {
            let name = item.split('=').next().unwrap_or_default().trim();
            if !name.is_empty() {
                self.constants.insert(name.to_owned());
            }
        }
    }

    fn add_field(&mut self, structure: &str, line: &str) {
        let Some(declaration) = line.strip_suffix(';').filter(|line| !line.contains(['{', '}'])) else {
            return;
        };
        let declarator = declaration.split_whitespace().last().unwrap_or_default();
        let field = declarator.split([':', '[']).next().unwrap_or_default();
        let name = format!("{structure}.{field}");
        if declarator.contains('[') {
            self.arrays.insert(name.clone());
        }
        self.fields.insert(name);
    }
}

enum Enclosing {
    Nothing,
    Enum,
    Struct(String),
}

impl Enclosing {
    fn opened_by(line: &str) -> Self {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("enum"), Some(_)) => Self::Enum,
            (Some("struct"), Some(name)) => Self::Struct(name.to_owned()),
            _ => Self::Nothing,
        }
    }
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        let end = rest[start..].find("*/").expect("a comment in the header does not end");
        rest = &rest[start + end + 2..];
    }
    code + rest
}
