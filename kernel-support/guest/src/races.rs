//! What a process does to its memory while a device works on it.
//!
//! The device may see memory before or after; it must never write where the process has since mapped something else,
//! and the kernel must not complain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::Test;
use crate::cold::{each, pattern};
use crate::map::{HUGE_PAGE, Map, PAGE};
use crate::queue::{PAGE_FAULT, PAGE_REFUSED, PATIENCE, Queue, Record, SUCCESS, WRITE, copy};

pub(crate) const TESTS: &[Test] = &[
    ("munmap_in_flight", |queues| each(queues, munmap)),
    ("mprotect_in_flight", |queues| each(queues, mprotect)),
    ("discard_storm", |queues| each(queues, discard)),
    ("merge_in_flight", |queues| each(queues, merge)),
    ("first_submission_by_another_thread", |queues| each(queues, other_thread)),
];

const ROUNDS: usize = 48;
const PAGES: usize = 256;

/// Unmapped under the device: it is done already, or it is refused; what is mapped afterwards is not touched.
fn munmap(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let (mut done, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let len = PAGES * PAGE;
        let (src, dst) = (Map::filled(len, pattern(round))?, Map::cold(len)?);
        let job = copy(src.at(0), dst.at(0), len).with_block_on_fault();
        queue.submit(&job.with_completion(record.prepare()))?;
        // From the end in one round, from the front in the next.
        let half = len / 2;
        dst.unmap(if round % 2 == 0 { half } else { 0 }, half)?;
        // Most likely at the same place, before the device is done.
        let next = Map::filled(half, |_| 0x5a)?;
        let answer = record.wait()?;
        match answer.status {
            SUCCESS => done += 1,
            status if status == PAGE_REFUSED | WRITE => refused += 1,
            _ => return Err(anyhow!("{answer:x?}")),
        }
        // Only a device that is still under way may write here: by the record it is not.
        let before = next.read(0, half);
        queue.copy(src.at(0), src.at(0), PAGE, &Record::new()?)?.expect(SUCCESS)?;
        ensure!(next.read(0, half) == before, "round {round}: written to after the record");
        // The other half is unmapped by the next round's luck or with the process; nobody may unmap `next`'s place
        // twice.
        dst.unmap(if round % 2 == 0 { 0 } else { half }, half)?;
        std::mem::forget(dst);
    }
    println!("{ROUNDS} rounds: {done} done, {refused} refused");
    Ok(())
}

/// Forbidden under the device, and allowed again: what it was refused it did not write.
fn mprotect(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let (mut done, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let len = PAGES * PAGE;
        let (src, dst) = (Map::filled(len, pattern(round))?, Map::filled(len, |_| 0)?);
        queue.submit(
            &copy(src.at(0), dst.at(0), len).with_block_on_fault().with_completion(record.prepare()),
        )?;
        dst.protect(0, len, false)?;
        // From here on no byte may change.
        let seen = dst.read(0, len);
        let answer = record.wait()?;
        ensure!(dst.read(0, len) == seen, "round {round}: a read-only page was written to");
        match answer.status {
            SUCCESS => {
                done += 1;
                dst.expect(0, len, pattern(round))?;
            }
            status if status == PAGE_REFUSED | WRITE => {
                refused += 1;
                let completed = usize::try_from(answer.bytes_completed)?;
                dst.expect(0, completed, pattern(round))?;
            }
            _ => return Err(anyhow!("{answer:x?}")),
        }
    }
    println!("{ROUNDS} rounds: {done} done, {refused} refused");
    Ok(())
}

/// One thread takes the pages away again and again while the device reads and writes them.
///
/// A device may give a page up that is absent again after each of its requests (status 0x04: "excessive Page Request
/// retries for the same address without a successful translation"). Then the record has to say where, and all before it
/// has to be done: the rest, given to the device again from there, makes the copy whole. In quiet nothing is given up.
fn discard(queue: &Queue) -> Result<()> {
    const LEN: usize = 64 * PAGE;
    let record = Record::new()?;
    let src = Map::filled(LEN, pattern(7))?;
    let dst = Map::cold(LEN)?;
    let stop = AtomicBool::new(false);
    let (copies, given_up, discards) = thread::scope(|scope| -> Result<(u64, u64, usize)> {
        let storm = scope.spawn(|| -> Result<usize> {
            let mut discards: usize = 0;
            while !stop.load(Ordering::Relaxed) {
                dst.discard(discards % 64 * PAGE, PAGE)?;
                discards += 1;
                thread::yield_now();
            }
            Ok(discards)
        });
        let began = Instant::now();
        let (mut copies, mut given_up) = (0, 0);
        let copied = loop {
            if began.elapsed() > Duration::from_secs(3) && copies >= 4 {
                break Ok(());
            }
            match copy_in_a_storm(queue, &src, &dst, &record) {
                Ok(times) => (copies, given_up) = (copies + 1, given_up + times),
                Err(error) => break Err(error),
            }
        };
        stop.store(true, Ordering::Relaxed);
        let discards = storm.join().map_err(|_| anyhow!("the storm died"))??;
        copied.map(|()| (copies, given_up, discards))
    })?;
    each_page_is_copied_or_gone(&dst, pattern(7))?;
    // And in quiet it all comes through.
    for _ in 0..8 {
        dst.discard(0, LEN)?;
        queue.copy(src.at(0), dst.at(0), LEN, &record)?.expect(SUCCESS)?;
        dst.expect(0, LEN, pattern(7))?;
    }
    println!("{copies} copies, {given_up} pages given up and asked for again, {discards} pages taken away");
    Ok(())
}

/// Each page is what was copied, or was taken away.
pub(crate) fn each_page_is_copied_or_gone(dst: &Map, byte: impl Fn(usize) -> u8) -> Result<()> {
    for page in 0..dst.len() / PAGE {
        let bytes = dst.read(page * PAGE, PAGE);
        let copied = bytes.iter().enumerate().all(|(i, &found)| found == byte(page * PAGE + i));
        ensure!(copied || bytes.iter().all(|&byte| byte == 0), "page {page} is neither");
    }
    Ok(())
}

/// Copies all of it, from where the device gave up if it does; how often it did.
fn copy_in_a_storm(queue: &Queue, src: &Map, dst: &Map, record: &Record) -> Result<u64> {
    let (mut at, mut given_up) = (0, 0);
    let began = Instant::now();
    loop {
        let left = src.len() - at;
        let answer = queue.copy(src.at(at), dst.at(at), left, record)?;
        if answer.status == SUCCESS {
            return Ok(given_up);
        }
        answer.expect(PAGE_REFUSED | WRITE)?;
        let completed = usize::try_from(answer.bytes_completed)?;
        ensure!(completed < left, "given up behind the end: {answer:x?}");
        at += completed;
        let page = dst.at(at) & !0xfff;
        ensure!(answer.fault_addr & !0xfff == page, "given up elsewhere than at {page:#x}: {answer:x?}");
        given_up += 1;
        ensure!(began.elapsed() < PATIENCE, "{given_up} times given up, {at} bytes done");
    }
}

/// The kernel makes a huge page of many under the device, and for a moment none of them is there: a device that does not
/// wait may stop at memory that was written long before. What it says it has done is done, and the rest can be given to it.
fn merge(queue: &Queue) -> Result<()> {
    const MERGES: usize = 16;
    let record = Record::new()?;
    let src = Map::filled(HUGE_PAGE, pattern(11))?;
    let mut stops = 0;
    for round in 0..MERGES {
        let dst = Map::filled(2 * HUGE_PAGE, |_| 0)?;
        let to = dst.huge_page();
        queue.submit(&copy(src.at(0), dst.at(to), HUGE_PAGE).with_completion(record.prepare()))?;
        dst.merge()?;
        let (mut done, mut answer) = (0, record.wait()?);
        while answer.status != SUCCESS {
            answer.expect(PAGE_FAULT | WRITE)?;
            done += usize::try_from(answer.bytes_completed)?;
            ensure!(done < HUGE_PAGE, "round {round}: stopped behind the end: {answer:x?}");
            ensure!(answer.fault_addr & !0xfff == dst.at(to + done) & !0xfff, "round {round}: {answer:x?}");
            dst.expect(to, done, pattern(11))?;
            stops += 1;
            answer = queue.run(copy(src.at(done), dst.at(to + done), HUGE_PAGE - done), &record)?;
        }
        dst.expect(to, HUGE_PAGE, pattern(11))?;
    }
    println!("{MERGES} huge pages made under copies, {stops} stops at pages that had been written");
    Ok(())
}

/// The PASID is the process's, and a thread that has not used it gets it from the kernel at its first `ENQCMD`.
fn other_thread(queue: &Queue) -> Result<()> {
    let copy_once = |seed: usize| -> Result<()> {
        let record = Record::new()?;
        let (src, dst) = (Map::filled(PAGE, pattern(seed))?, Map::cold(PAGE)?);
        queue.copy(src.at(0), dst.at(0), PAGE, &record)?.expect(SUCCESS)?;
        dst.expect(0, PAGE, pattern(seed))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || copy_once(seed))).collect();
        for one in threads {
            one.join().map_err(|_| anyhow!("a thread died"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    copy_once(9)?;
    println!("8 threads, each its first, then the one that opened it");
    Ok(())
}
