//! Pages that are absent while a device works: it asks for them, or says how far it came.

use anyhow::{Result, ensure};
use idxd_spec::{Descriptor, SrcAddr};

use crate::map::{Map, PAGE};
use crate::pagemap::present;
use crate::queue::{PAGE_FAULT, PATIENCE, Queue, Record, SUCCESS, WRITE, copy};
use crate::{Test, queue};

pub(crate) const TESTS: &[Test] = &[
    ("device_waits_for_cold_pages", |queues| each(queues, waits)),
    ("device_says_how_far_it_came", |queues| each(queues, partial)),
    ("cold_completion_record", |queues| each(queues, record)),
    ("cold_batch_list", |queues| each(queues, batch_list)),
];

const PAGES: usize = 64;

/// A byte for each place, different from page to page.
pub(crate) fn pattern(seed: usize) -> impl Fn(usize) -> u8 {
    move |i| (i.wrapping_mul(31) ^ (i >> 12).wrapping_mul(97) ^ seed.wrapping_mul(151)).to_le_bytes()[0]
}

/// Runs a body on each of the queues.
pub(crate) fn each(queues: &[String], body: fn(&Queue) -> Result<()>) -> Result<()> {
    ensure!(!queues.is_empty(), "no queue was given");
    for name in queues {
        let queue = Queue::open(name)?;
        println!("{}", queue.way());
        body(&queue).map_err(|error| error.context(queue.name.clone()))?;
    }
    Ok(())
}

/// Neither source nor destination is there, and the CPU does not help.
fn waits(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let len = PAGES * PAGE;
    let bytes: Vec<u8> = (0..len).map(pattern(1)).collect();
    let (src, dst) = (Map::cold_with(&bytes)?, Map::cold(len)?);
    ensure!(present(&src)? == 0 && present(&dst)? == 0, "pages are there before anything was done");
    queue.copy(src.at(0), dst.at(0), len, &record)?.expect(SUCCESS)?;
    let (read, written) = (present(&src)?, present(&dst)?);
    ensure!(written == PAGES, "{written} of {PAGES} pages of the destination are there");
    dst.expect(0, len, pattern(1))?;
    println!("{read} pages read and {written} written that were not there");
    Ok(())
}

/// Without block-on-fault: stops at the first absent page, says where, and goes on from there.
fn partial(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let len = PAGES * PAGE;
    let (src, dst) = (Map::filled(len, pattern(2))?, Map::cold(len)?);
    let (mut done, mut stops) = (0, 0);
    while done < len {
        let answer = queue.run(copy(src.at(done), dst.at(done), len - done), &record)?;
        if answer.status == SUCCESS {
            done = len;
            continue;
        }
        answer.expect(PAGE_FAULT | WRITE)?;
        let completed = usize::try_from(answer.bytes_completed)?;
        let fault = answer.fault_addr & !(PAGE as u64 - 1);
        let here = dst.at(done + completed) & !(PAGE as u64 - 1);
        ensure!(fault == here, "fault at {fault:#x}, {completed} bytes done from {:#x}", dst.at(done));
        done += completed;
        stops += 1;
        // One page only, so that it stops in front of the next one as well.
        dst.write(done, &[0]);
    }
    ensure!(stops == PAGES, "{stops} stops for {PAGES} absent pages");
    dst.expect(0, len, pattern(2))?;
    println!("{stops} stops");
    Ok(())
}

/// The record's page is not there; nobody looks at it until the kernel says that it is.
fn record(queue: &Queue) -> Result<()> {
    for round in 0..16 {
        let (src, dst) = (Map::filled(PAGE, pattern(round))?, Map::filled(PAGE, |_| 0)?);
        let record = Record::cold()?;
        let descriptor = copy(src.at(0), dst.at(0), PAGE).with_block_on_fault();
        queue.submit(&descriptor.with_completion(record.map().at(0)))?;
        let started = std::time::Instant::now();
        while present(record.map())? == 0 {
            ensure!(started.elapsed() < PATIENCE, "the record was never written");
            std::thread::yield_now();
        }
        record.wait()?.expect(SUCCESS)?;
        dst.expect(0, PAGE, pattern(round))?;
    }
    println!("16 records on absent pages");
    Ok(())
}

/// The list of a batch is in memory, but not in the page table.
fn batch_list(queue: &Queue) -> Result<()> {
    const COUNT: usize = 16;
    let (src, dst) = (Map::filled(COUNT * PAGE, pattern(3))?, Map::cold(COUNT * PAGE)?);
    let records = Map::filled(PAGE, |_| 0)?;
    let list: Vec<u8> = (0..COUNT)
        .flat_map(|i| {
            let one = queue::copy(src.at(i * PAGE), dst.at(i * PAGE), PAGE).with_block_on_fault();
            *one.with_completion(records.at(i * 32)).as_bytes()
        })
        .collect();
    let list = Map::cold_with(&list)?;
    ensure!(present(&list)? == 0, "the list is there already");
    let record = Record::new()?;
    let batch = Descriptor::batch(SrcAddr(list.at(0)), u32::try_from(COUNT)?);
    queue.run(batch, &record)?.expect(SUCCESS)?;
    for i in 0..COUNT {
        let status = records.load(i * 32);
        ensure!(status == SUCCESS, "member {i}: status {status:#04x}");
    }
    dst.expect(0, COUNT * PAGE, pattern(3))?;
    println!("a batch of {COUNT} from an absent list");
    Ok(())
}
