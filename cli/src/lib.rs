//! The svala command: files through an accelerator.
//!
//! A library so that the binary stays thin and [`args`] can be fuzzed. Each command is one module. They share:
//!
//! ```text
//!  args       what was asked for               source     a file that is read, checked before anything starts
//!  run        engine, signals, exit code       output     a temporary file that becomes the destination, or goes
//!  stop       Ctrl-C, between chunks           window     how much of a file is mapped at a time
//!  pipeline   operations in flight, in order   tally, report, progress   what happened, for people and programs
//! ```
//!
//! The rules: memory is bounded whatever the files' sizes; a destination appears whole or not at all; an error is
//! one line that names the file; which path ran is never hidden. There is no `unsafe` here: mapped files are only
//! touched by the engines.
//!
//! # Memory
//!
//! `copy` and `compare` map two windows of 32 MiB of two files at a time, `crc` and `fill` one or two of one file;
//! `compress` has two segments of 1 MiB per CPU in flight (4 to 32), with room for their output; `decompress` works
//! in half a mebibyte, or with twice what one job of the device takes. Of an `--index` there are 16 bytes for each segment and 8
//! for each miniblock, 1 GiB at most; with `--range` eight segments are under way. `delta` has eight stretches of half a mebibyte
//! in flight, twice mapped and once read or made; `encrypt` and `decrypt` have four chunks of 1 MiB in flight, as they are
//! read and as they are made; `dif` maps a window of two files. `scan` maps two windows of one file,
//! or all of it in Parquet's encoding or deflated, with room for what is found, and of an encrypted one reads chunks as `decrypt`. `bench` takes at most half of the memory
//! there is, and says so before it begins; `faults` three times its `--size`, which has to be there.
//!
//! # JSON
//!
//! With `--json`, one object on standard output; with `--json=FILE`, in a file. In each: `command`, `exit` (the status) and, after trouble, `error`
//! alone; otherwise `stats` and what the command found:
//!
//! | command | fields |
//! | --- | --- |
//! | `copy` | `source`, `destination`, `bytes`; with `--crc` also `crc32c` or `crc64` |
//! | `crc` | `files`: of each `name`, and `crc32c` (eight digits) or `crc64` (sixteen) with `bytes`, or `error` |
//! | `compare` | `a`, `b`, `equal`, `difference_offset` (from 0, or null), `eof_on` (the shorter file, or null); with `--pattern`: `a`, `pattern` (sixteen digits), `equal`, `difference_offset` |
//! | `fill` | `destination`, `bytes` |
//! | `compress` | `source`, `destination`, `bytes` (of input), `compressed_bytes`; with `--index` also `index`, `index_bytes` |
//! | `decompress` | the same with `format` and `members`; `bytes` are those of output; with `--range`: `range` (first byte, and the one behind the last) for `members`, and `compressed_bytes` that were read |
//! | `encrypt` | `source`, `destination`, `mode`, `authenticated`, `bytes` (of the data), `encrypted_bytes` |
//! | `decrypt` | the same |
//! | `delta create` | `action`, `old`, `new`, `delta`, `old_bytes`, `new_bytes`, `delta_bytes`, `old_crc32c`, `new_crc32c`, `stretches`, `stretches_whole` (stored as they are) |
//! | `delta apply` | the same without the stretches |
//! | `dif` | `action`, `file`, `bytes`, `blocks`, `block_bytes`; `insert` and `strip`: `output`; `check`: `ok`, `mismatch` (null, or `block`, `block_offset`, `field_offset`, `what`, `field`) |
//! | `scan` | `file`, `elements`, `matches`, `first`, `last` (indices, or null); with `--aggregates`: `aggregates` (`min`, `max`, `sum_modulo_2_32`); with `-o`: `output`; with `--key-file`: `mode`, `authenticated` |
//! | `list` | `device`, `queues`, `emulated` (queues, or `emulated_error`), `qat` (virtual functions, and what each lacks), `devices` and `drivers` (of the idxd driver, with the kernel's names for attributes), `hardware` (`name`, `found`, `detail`), `resolver`, `resolver_reason`, `waiting` |
//! | `doctor` | `usable` (queues), `accelerators` (their number), `summary`, `findings`: of each `id`, `group`, `subject`, `title`, `verdict` (`ok`, `wrong`, `unknown`, `not_needed`), `required`, `text`, `evidence` (`place`, `value` or `error`), `remedy`; no `stats` |
//! | `bench` | `note`, `interrupted`, `machine`, `settings`, `rows` (of each `queue`, `operation`, `size_bytes`, `depth`, `batch`, `buffers`, `operations`, `seconds`, `ops_per_second`, `gb_per_second`, `latency_ns` with `p50`, `p99`, `p99.9`, `max`, `paths`, the counts of faults, `cpu` with the same figures or null, `ratio` or null), `skipped` (with `why`); no `stats` |
//! | `faults` | `note`, `interrupted`, `machine`, `settings`, `rows` (of each `workload`, `policy`, `seconds` (the median), `runs_seconds`, `bytes`, `pages`, `gb_per_second`, `ns_per_page`, `times_floor` or null, the counts, `host_cpu_seconds` or null, `small_operations`, `probe_alone` and `probe` with `samples` and `p50_ns` to `max_ns`, or null), `not_run` (`workload`, `why`), `auto` (what that policy knows and chose, or null); with `--explain`: `note`, `auto`, `estimates` (`situation`, `estimate`); no `stats` |
//! | `top` | `bonds`: of each the columns of the kernel's file, `latency` as pairs of `below_ns` and `answers`, `median_ns` and `p99_ns` (or null); no `stats` |
//! | `configure save` | `action`, `file`, `devices` (names); no `stats` |
//! | `configure load` | `action`, `file`, `dry_run`, `writes` (`path`, `value`), `notes` (`at`, `attribute`, `why`); no `stats` |
//!
//! `stats` has `device`, `operations`, `bytes` (of input), `seconds`, `sync_seconds` (waiting for the disk, not part
//! of `seconds`), `gb_per_second`, `note` (about numbers of a device model, or null), `paths` (of each way that was
//! taken `kind`, `queue` or `reason`, `text`, `operations`, `bytes`), `faults`, `resolutions`, `pages_populated`,
//! `resubmissions`, `resolver`, `resolver_reason`, `peak_rss_bytes`.
#![forbid(unsafe_code)]

pub mod args;
pub mod index;

mod bench;
mod bonds;
mod compare;
mod compress;
mod configure;
mod copy;
mod crc;
mod decompress;
mod delta;
mod dictionary;
mod dif;
mod doctor;
mod encrypt;
mod error;
mod exit;
mod faults;
mod fill;
mod hardware;
mod list;
mod output;
mod pipeline;
mod progress;
mod report;
mod run;
mod scan;
mod sink;
mod source;
mod stop;
mod tally;
mod top;
mod window;

pub use run::main;
