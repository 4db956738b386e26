//! Memory that a device may not have: absent for good, or not for writing.

use anyhow::{Result, ensure};

use crate::Test;
use crate::cold::{each, pattern};
use crate::map::{Map, PAGE};
use crate::queue::{PAGE_FAULT, PAGE_REFUSED, Queue, Record, SUCCESS, WRITE, copy};

pub(crate) const TESTS: &[Test] = &[
    ("unmapped_memory_is_refused", |queues| each(queues, unmapped)),
    ("read_only_memory_is_refused", |queues| each(queues, read_only)),
];

/// The hole begins in the middle of what is copied: what is before it is done, and the rest is not.
fn unmapped(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let map = Map::filled(4 * PAGE, pattern(1))?;
    let other = Map::filled(4 * PAGE, |_| 0)?;
    map.unmap(2 * PAGE, PAGE)?;
    for block in [true, false] {
        let allowed = |write| [PAGE_REFUSED, PAGE_FAULT][usize::from(!block)] | write;
        let job = |src, dst| {
            let job = copy(src, dst, 4 * PAGE);
            if block { job.with_block_on_fault() } else { job }
        };
        let read = queue.run(job(map.at(0), other.at(0)), &record)?.expect(allowed(0))?;
        let write = queue.run(job(other.at(0), map.at(0)), &record)?.expect(allowed(WRITE))?;
        for answer in [read, write] {
            ensure!(answer.fault_addr & !0xfff == map.at(2 * PAGE), "the address is another: {answer:x?}");
            ensure!(answer.bytes_completed as usize == 2 * PAGE, "not two pages done: {answer:x?}");
        }
        println!("block on fault {block}: {read:x?}, {write:x?}");
    }
    // The rest of the map is unmapped with the process.
    std::mem::forget(map);
    Ok(())
}

fn read_only(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let (src, dst) = (Map::filled(2 * PAGE, pattern(2))?, Map::filled(2 * PAGE, pattern(3))?);
    dst.protect(PAGE, PAGE, false)?;
    let answer = queue.copy(src.at(0), dst.at(0), 2 * PAGE, &record)?.expect(PAGE_REFUSED | WRITE)?;
    ensure!(answer.fault_addr & !0xfff == dst.at(PAGE), "the address is another: {answer:x?}");
    dst.expect(PAGE, PAGE, |i| pattern(3)(PAGE + i))?;
    // Reading it is nobody's harm.
    queue.copy(dst.at(PAGE), src.at(0), PAGE, &record)?.expect(SUCCESS)?;
    dst.protect(PAGE, PAGE, true)?;
    queue.copy(src.at(0), dst.at(PAGE), PAGE, &record)?.expect(SUCCESS)?;
    dst.expect(PAGE, PAGE, |i| pattern(3)(PAGE + i))?;
    println!("{answer:x?}");
    Ok(())
}
