//! What `svala dif` is told.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};
use svala::{DifBlock, DifChecks, DifFields, DifFormat, DifGuard, DifTags};

/// Data integrity fields.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "A field is 8 bytes behind each block: the guard (CRC-16 of the block, T10), the application tag (2 bytes) \
    and the reference tag (4 bytes), big-endian. The reference tag grows by one with each block and the \
    application tag stays, unless options say otherwise.\n\n\
    Examples:\n  \
    svala dif insert disk.img -o disk.dif --block 512\n  \
    svala dif check disk.dif --block 512\n  \
    svala dif strip disk.dif -o disk.img --block 512"
)]
pub struct Dif {
    /// What to do.
    #[command(subcommand)]
    pub action: DifAction,
}

/// What to do with the fields.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DifAction {
    /// Copy a file of whole blocks and put a field behind each
    Insert(DifInsert),
    /// Check the fields; exit status 0 if they match, 1 and the first that does not if one does not
    Check(DifCheck),
    /// Check the fields and copy the blocks without them
    Strip(DifStrip),
}

/// Add fields.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Example:\n  svala dif insert disk.img -o disk.dif --block 4096 --app-tag 0x77")]
pub struct DifInsert {
    /// A file of whole blocks
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The file to make; must not exist, unless --force is given
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Tags
    #[command(flatten)]
    pub tags: Tags,
}

/// Check fields.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Example:\n  svala dif check disk.dif --block 4096 --app-tag 0x77 || echo broken")]
pub struct DifCheck {
    /// A file of whole blocks with their fields
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Tags
    #[command(flatten)]
    pub tags: Tags,
    /// Checks
    #[command(flatten)]
    pub checks: Checks,
}

/// Take fields away.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Example:\n  svala dif strip disk.dif -o disk.img --block 4096 --ignore-ref-tag")]
pub struct DifStrip {
    /// A file of whole blocks with their fields
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The file to make; must not exist, unless --force is given
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Tags
    #[command(flatten)]
    pub tags: Tags,
    /// Checks
    #[command(flatten)]
    pub checks: Checks,
}

/// Blocks and what is in their fields.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Tags {
    /// Bytes of data in a block
    #[arg(long, value_enum, default_value = "512")]
    pub block: Block,
    /// Reference tag of the first block
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u32>)]
    pub ref_tag: u32,
    /// The reference tag is the same in all blocks
    #[arg(long)]
    pub ref_tag_fixed: bool,
    /// Application tag of the first block
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u16>)]
    pub app_tag: u16,
    /// Bits of the application tag that are not used: written as 0, not checked
    #[arg(long, value_name = "BITS", default_value = "0", value_parser = number::<u16>)]
    pub app_tag_mask: u16,
    /// The application tag grows by one with each block
    #[arg(long)]
    pub app_tag_incrementing: bool,
    /// A step of the guard that is not as T10 has it: seed-inverted (begins with 0xffff), result-inverted
    #[arg(long, value_enum, value_name = "STEP", value_delimiter = ',')]
    pub guard: Vec<Guard>,
}

/// What is not checked.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Checks {
    /// Do not check guards
    #[arg(long)]
    pub ignore_guard: bool,
    /// Do not check reference tags
    #[arg(long)]
    pub ignore_ref_tag: bool,
    /// Do not check application tags
    #[arg(long)]
    pub ignore_app_tag: bool,
    /// Do not check a block whose application tag is all ones
    #[arg(long)]
    pub app_tag_f_skips: bool,
    /// Do not check a block whose application and reference tags are all ones
    #[arg(long)]
    pub app_ref_tag_f_skips: bool,
    /// Do not check a block whose field is all ones
    #[arg(long)]
    pub all_f_skips: bool,
    /// A block whose field is all ones does not match, whatever it should be
    #[arg(long)]
    pub all_f_fails: bool,
}

/// Bytes of data in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Block {
    /// 512 bytes
    #[value(name = "512")]
    B512,
    /// 520 bytes
    #[value(name = "520")]
    B520,
    /// 4096 bytes
    #[value(name = "4096")]
    B4096,
    /// 4104 bytes
    #[value(name = "4104")]
    B4104,
}

/// A step of the guard's CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Guard {
    /// The CRC begins with 0xffff
    SeedInverted,
    /// The CRC is inverted at the end
    ResultInverted,
}

impl Tags {
    /// The blocks.
    pub fn format(&self) -> DifFormat {
        let block = match self.block {
            Block::B512 => DifBlock::B512,
            Block::B520 => DifBlock::B520,
            Block::B4096 => DifBlock::B4096,
            Block::B4104 => DifBlock::B4104,
        };
        let steps = self.guard.iter().map(|step| match step {
            Guard::SeedInverted => DifGuard::SEED_INVERTED,
            Guard::ResultInverted => DifGuard::RESULT_INVERTED,
        });
        DifFormat { block, guard: steps.collect() }
    }

    /// The tags of the first block.
    pub const fn first(&self) -> DifTags {
        DifTags { ref_tag: self.ref_tag, app_tag: self.app_tag, app_tag_mask: self.app_tag_mask }
    }

    /// How fields are made.
    pub fn fields(&self) -> DifFields {
        let mut fields = DifFields::empty();
        fields.set(DifFields::REF_TAG_FIXED, self.ref_tag_fixed);
        fields.set(DifFields::APP_TAG_INCREMENTING, self.app_tag_incrementing);
        fields
    }

    /// How fields are checked, and the tags of the first block as they are checked.
    pub fn checks(&self, checks: &Checks) -> (DifChecks, DifTags) {
        let mut flags = DifChecks::empty();
        flags.set(DifChecks::REF_TAG_FIXED, self.ref_tag_fixed);
        flags.set(DifChecks::APP_TAG_INCREMENTING, self.app_tag_incrementing);
        flags.set(DifChecks::GUARD_IGNORED, checks.ignore_guard);
        flags.set(DifChecks::REF_TAG_IGNORED, checks.ignore_ref_tag);
        flags.set(DifChecks::APP_TAG_F_SKIPS, checks.app_tag_f_skips);
        flags.set(DifChecks::APP_REF_TAG_F_SKIPS, checks.app_ref_tag_f_skips);
        flags.set(DifChecks::ALL_F_SKIPS, checks.all_f_skips || checks.all_f_fails);
        flags.set(DifChecks::ALL_F_FAILS, checks.all_f_fails);
        let mut first = self.first();
        if checks.ignore_app_tag {
            // There is no flag for it: no bit is looked at (DSA, appendix B).
            first.app_tag_mask = u16::MAX;
        }
        (flags, first)
    }
}

/// A number in decimal, or in hexadecimal with `0x` in front.
fn number<N: TryFrom<u64>>(word: &str) -> Result<N, String> {
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    let bits = 8 * size_of::<N>();
    let refused = || format!("a number of {bits} bits: 77, 0x4d");
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refused());
    }
    let number = u64::from_str_radix(digits, radix).map_err(|_| refused())?;
    N::try_from(number).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_fits_its_bits_or_is_refused() {
        assert_eq!(number::<u16>("0xffff"), Ok(0xffff));
        assert_eq!(number::<u32>("4294967295"), Ok(u32::MAX));
        for word in ["", "0x", "-1", "+1", "65536", "0x10000", "1x", "ff"] {
            assert!(number::<u16>(word).is_err(), "{word:?}");
        }
    }
}
