//! Interrupts by an eventfd.

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use svala::IoBuf as _;

use super::edu::{BUFFER_BYTES, DMA_ENDED, Edu};
use crate::Test;
use crate::queue::PATIENCE;

pub(crate) const TESTS: &[Test] = &[("vfio_interrupts_by_eventfd", |_| interrupts())];

/// Waits for interrupts; how many there were.
fn wait(edu: &Edu) -> Result<u64> {
    let mut waited = [PollFd::new(edu.eventfd().as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut waited, PollTimeout::try_from(PATIENCE)?)?;
    ensure!(ready == 1, "no interrupt within {PATIENCE:?}");
    edu.eventfd().read().context("the eventfd")
}

/// Whether there is none. One that was raised comes before the device answers a read that follows, or not at all; but the
/// kernel takes it at a time of its own, so another one that is wanted is waited for in between.
fn none_is_left(edu: &Edu) -> bool {
    edu.eventfd().read() == Err(Errno::EAGAIN)
}

fn interrupts() -> Result<()> {
    let (edu, arena) = Edu::with_arena(1 << 20)?;
    let buffer = arena.allocate(BUFFER_BYTES)?;
    let addr = buffer.span().addr.get();
    ensure!(none_is_left(&edu), "an interrupt before anything was done");
    // One that ends a DMA. When it is there, so are the data.
    let mut seen = 0;
    for round in 0..20 {
        edu.store_and_interrupt(addr, BUFFER_BYTES)?;
        seen += wait(&edu)?;
        ensure!(edu.reason() == DMA_ENDED, "round {round}: not for the DMA");
    }
    ensure!(seen == 20, "{seen} interrupts for 20");
    // A DMA that is to raise none, then one that is: one interrupt for both.
    edu.store(addr, BUFFER_BYTES)?;
    edu.store_and_interrupt(addr, BUFFER_BYTES)?;
    ensure!(wait(&edu)? == 1 && none_is_left(&edu), "an interrupt that nobody asked for");
    edu.reason();
    for bit in [1, 2, 0x8000_0000] {
        edu.raise(bit);
        ensure!(wait(&edu)? == 1, "one raise, several interrupts");
        ensure!(edu.reason() == bit, "another reason than {bit:#x}");
    }
    edu.device().no_interrupt()?;
    edu.raise(1);
    ensure!(edu.reason() == 1, "the device did not raise it");
    ensure!(none_is_left(&edu), "an interrupt after they were turned off");
    // Turned on anew: by another eventfd.
    let again = edu.device().interrupt()?;
    edu.raise(4);
    let mut waited = [PollFd::new(again.as_fd(), PollFlags::POLLIN)];
    ensure!(
        poll(&mut waited, PollTimeout::try_from(PATIENCE)?)? == 1,
        "none after they were turned on again"
    );
    ensure!(none_is_left(&edu), "the eventfd of before got one");
    println!("20 DMAs with an interrupt, 3 raised, none when off, again when on");
    Ok(())
}
