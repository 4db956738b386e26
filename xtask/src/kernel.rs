//! `guest kernel`: the kernel of tier 2, with its SVA and page-fault path in Rust, and its C twin.
//!
//! Kernels with Rust want a toolchain of their age: they are built inside a Debian sid root, with the source package
//! and the tools that are there. `kernel-support/linux/build.sh` builds; this brings it what it needs.

mod check;
mod mock;
pub(crate) mod root;
pub(crate) mod seeded;
mod series;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cache::Cache;
use crate::error::Error;

pub(crate) use mock::test;
pub(crate) use root::{Root, image as image_of, installed};

/// Which build of the one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// Page faults, SVA and attach handles in Rust
    Rust,
    /// In C, as they come
    C,
    /// In Rust, with KASAN, lockdep and kmemleak
    Debug,
    /// In C, with iommufd and vfio's device nodes, for `guest test --iommufd`
    Vfio,
    /// In Rust, with the faults of `guest mutate`
    #[value(skip)]
    Seeded,
}

impl Variant {
    /// Whether its page faults are in Rust.
    pub(crate) const fn is_in_rust(self) -> bool {
        matches!(self, Self::Rust | Self::Debug | Self::Seeded)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Debug => "debug",
            Self::Vfio => "vfio",
            Self::Seeded => "seeded",
        }
    }
}

/// What `guest kernel` is told.
#[derive(Debug, Args)]
#[command(
    after_help = "A first build takes some 15 minutes on two free cores, a change of ours a minute or two."
)]
pub(crate) struct Kernel {
    /// Which build
    #[arg(long, value_enum, default_value_t = Variant::Rust)]
    variant: Variant,
    /// Make the Debian sid root that kernels are built in (root, debootstrap and apt; 5 minutes, 4 GB)
    #[arg(long)]
    prepare: bool,
    /// Write the patches in mailing-list form into this directory, and build nothing
    #[arg(long, value_name = "DIR", conflicts_with = "prepare")]
    series: Option<PathBuf>,
    /// Let Linux's checkpatch, rustfmt and clippy look at the patches, and build nothing
    #[arg(long, conflicts_with_all = ["prepare", "series"])]
    check: bool,
}

/// Builds it.
pub(crate) fn run(args: &Kernel) -> Result<ExitCode, Error> {
    let cache = Cache::open()?;
    if args.prepare {
        Root::prepare(&cache)?;
    }
    let root = Root::open(&cache)?;
    if args.check {
        return check::run(&root);
    }
    if let Some(directory) = &args.series {
        series::write(&root, directory)?;
    } else {
        println!("{}", root.build(args.variant)?.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// That it has to be built.
fn missing(variant: Variant) -> Error {
    let name = variant.name();
    Error::missing(format!("the kernel's {name} build"), format!("cargo xtask guest kernel --variant {name}"))
}
