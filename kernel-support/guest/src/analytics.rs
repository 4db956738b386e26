//! Compression by an IAA whose memory is not there.

use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use idxd_spec::iaa::{self, Compress, CompressAecs, CompressFlags};
use idxd_spec::{Descriptor, DstAddr, SrcAddr};

use crate::Test;
use crate::cold::each;
use crate::map::{Map, PAGE};
use crate::pagemap::present;
use crate::queue::{Queue, Record, SUCCESS};

pub(crate) const TESTS: &[Test] = &[("cold_aecs", |queues| each(queues, aecs))];

/// Tables, input and output: all in memory, none in the page table. The judge of the stream is another inflate.
fn aecs(queue: &Queue) -> Result<()> {
    let text = b"a swallow does not make a summer, nor does one day; ".repeat(400);
    let tables = CompressAecs::fixed_huffman(true);
    let (aecs, src) = (Map::cold_with(tables.as_bytes())?, Map::cold_with(&text)?);
    let dst = Map::cold(16 * PAGE)?;
    let absent = present(&aecs)? + present(&src)? + present(&dst)? == 0;
    ensure!(absent, "pages are there before anything was done");
    let record = Record::new()?;
    let job = iaa::Descriptor::compress(Compress {
        src: SrcAddr(src.at(0)),
        src_size: u32::try_from(text.len())?,
        dst: DstAddr(dst.at(0)),
        dst_size_max: u32::try_from(dst.len())?,
        aecs: SrcAddr(aecs.at(0)),
        flags: CompressFlags::FLUSH_OUTPUT | CompressFlags::END_EOB,
    });
    let job = job.with_block_on_fault().with_completion(record.prepare());
    queue.submit(&Descriptor::from_bytes(*job.as_bytes()))?;
    record.wait()?.expect(SUCCESS)?;
    // `struct iax_completion_record`: output_size.
    let size = u32::from_le_bytes(record.map().read(24, 4).try_into().unwrap_or_default());
    let stream = dst.read(0, usize::try_from(size)?);
    let mut back = Vec::new();
    flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut back).context("the stream")?;
    ensure!(back == text, "{} bytes came back of {}", back.len(), text.len());
    println!("{} bytes to {size}, from tables on an absent page", text.len());
    Ok(())
}
