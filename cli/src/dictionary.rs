//! `--dictionary`: a file that the data has much in common with.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use svala_engine::{Dictionary, DictionaryFormat, Format};

use crate::error::Trouble;

/// Reads the dictionary at `path`, for streams of `format`.
pub(crate) fn read(path: &Path, format: Format) -> Result<(Dictionary, DictionaryFormat), Trouble> {
    let trouble = |what: String| Trouble::Stream { path: path.to_owned(), what };
    let format = match format {
        Format::Zlib => DictionaryFormat::Zlib,
        Format::Raw => DictionaryFormat::Raw,
        _ => {
            return Err(trouble(
                "no place for a dictionary in this format (--format zlib or raw has)".into(),
            ));
        }
    };
    let file = File::open(path).map_err(|error| Trouble::file(path, error))?;
    let mut bytes = Vec::new();
    let bytes_max = Dictionary::BYTES_MAX;
    // Of a larger one other programs name the whole, and nobody could use its beginning.
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| Trouble::file(path, error))?;
    match bytes.len() {
        0 => Err(trouble("empty: no dictionary".into())),
        len if len > bytes_max => Err(trouble(format!("more than {bytes_max} bytes: no dictionary"))),
        _ => Ok((Dictionary::new(bytes), format)),
    }
}
