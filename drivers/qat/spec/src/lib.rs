//! QAT (generations 4 to 6): firmware messages, configuration words, ring registers, PFVF messages, capabilities and
//! output bounds.
//!
//! The words of the vendor's headers in Rust: no device is opened here and no memory is touched. "FW" is
//! `icp_qat_fw.h`, `icp_qat_fw_comp.h` and `icp_qat_fw_la.h`, "HW" `icp_qat_hw.h` and `icp_qat_hw_20_comp.h` with its definitions, "PFVF" `adf_pfvf_msg.h`
//! (all under the BSD 3-clause licence, or a choice of it), "CSR" the access macros of the fourth generation's rings.
//! Values are checked against a C program compiled with such headers (`tests/headers.rs`), and against tables with their
//! source where those are not installed. Nothing here has been seen by a device.
//!
//! A QAT function assigned to a process reaches memory by I/O addresses that were mapped, and pinned, before.

#![no_std]
#![forbid(unsafe_code)]

mod bound;
mod capability;
mod command;
mod config_word;
mod error_code;
mod gcm;
mod generation;
pub mod pfvf;
mod request;
mod response;
pub mod ring;

pub use bound::{deflate_bytes_max, dst_bytes_min, lz4_bytes_max};
pub use capability::{Capabilities, CapabilityBlock, RingMap, Service};
pub use command::Command;
pub use config_word::{ConfigWords, Depth};
pub use error_code::ErrorCode;
pub use gcm::{GCM_AAD_BYTES_MAX, GCM_CONFIG_BYTES, GCM_TAG_BYTES, Gcm, GcmKey, SymmetricFlags, gcm_config};
pub use generation::Generation;
pub use request::{Compress, Decompress, Request, RequestFlags};
pub use response::{HeaderFlags, Response, Status};
