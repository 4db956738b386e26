//! The device's own thread: takes requests, answers them, obeys the physical function.

use std::sync::Arc;
use std::time::Instant;

use crate::bank::Bank;
use crate::cipher::CipherMessage;
use crate::device::{Inner, State};
use crate::execute::{Outcome, Slices};
use crate::message::{Answer, FLAG_VALID, Message};
use crate::pf::Order;
use crate::plan::Action;

/// An answer that is held back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    bank: usize,
    answer: Answer,
    /// Answers to wait for.
    after: u32,
}

/// A request that will not be answered: where it still may write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silent {
    bank: usize,
    /// None where it was refused.
    dst: Option<u64>,
}

/// What a request asks for, by the service of its ring pair.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Compression(Message),
    Cipher(CipherMessage),
}

impl Asked {
    /// Where it writes.
    const fn dst(&self) -> u64 {
        match self {
            Self::Compression(message) => message.dst,
            Self::Cipher(message) => message.dst,
        }
    }
}

/// What there is to do.
enum Next {
    Stop,
    Request { bank: usize, addr: u64 },
    Again,
}

pub(crate) fn run(inner: &Arc<Inner>) {
    let mut slices = Slices::new(inner.config.model);
    loop {
        match next(inner) {
            Next::Stop => return,
            Next::Again => {}
            Next::Request { bank, addr } => request(inner, &mut slices, bank, addr),
        }
    }
}

/// Sees to the physical function, then finds a request, or waits.
fn next(inner: &Inner) -> Next {
    let mut state = inner.state.lock();
    if state.stop {
        return Next::Stop;
    }
    converse(inner, &mut state);
    let first = state.turn;
    for step in 0..state.banks.len() {
        let bank = (first + step) % state.banks.len();
        let Some(addr) = state.banks[bank].next_request() else { continue };
        if state.pf.later == Some(bank) {
            state.pf.later = None;
            reset_and_say(inner, &mut state, bank);
            continue;
        }
        if state.banks[bank].next_response().is_none() {
            if !state.stalled[bank] {
                state.stalled[bank] = true;
                state.stats.stalls += 1;
            }
            continue;
        }
        state.stalled[bank] = false;
        state.turn = bank + 1;
        return Next::Request { bank, addr };
    }
    if !state.held.is_empty() {
        release(inner, &mut state, u32::MAX);
        return Next::Again;
    }
    match state.pf.restart_by {
        Some(by) => {
            let _ = inner.work.wait_until(&mut state, by);
        }
        None => inner.work.wait(&mut state),
    }
    Next::Again
}

/// Takes messages of the driver, and restarts if it is time.
fn converse(inner: &Inner, state: &mut State) {
    loop {
        let (answered, order) = state.pf.receive();
        if answered {
            inner.interrupt_from_pf(state);
        }
        match order {
            Order::Nothing => break,
            Order::Reset(bank) => reset_and_say(inner, state, bank.into()),
            Order::Restart => restart(inner, state),
        }
    }
    if state.pf.restart_by.is_some_and(|by| by <= Instant::now()) {
        state.stats.rude_restarts += 1;
        restart(inner, state);
    }
}

fn reset_and_say(inner: &Inner, state: &mut State, bank: usize) {
    reset(inner, state, bank);
    state.stats.resets += 1;
    if state.pf.send(0x10, 0) {
        inner.interrupt_from_pf(state);
    }
}

/// Lets go of everything a ring pair has under way. What was never going to be answered writes a last time.
fn reset(inner: &Inner, state: &mut State, bank: usize) {
    let mut silent = std::mem::take(&mut state.silent);
    silent.retain(|one| {
        if one.bank != bank {
            return true;
        }
        let Some(dst) = one.dst else { return false };
        if inner.memory.poke(dst, 0xee) {
            state.stats.late_writes += 1
        } else {
            state.stats.late_faults += 1
        }
        false
    });
    state.silent = silent;
    state.held.retain(|one| one.bank != bank);
    state.banks[bank] = Bank::default();
    state.stalled[bank] = false;
}

fn restart(inner: &Inner, state: &mut State) {
    if state.pf.restart_by.take().is_none() {
        return;
    }
    for bank in 0..state.banks.len() {
        reset(inner, state, bank);
    }
    state.stats.restarts += 1;
    if state.pf.send(0x05, 0) {
        inner.interrupt_from_pf(state);
    }
}

fn request(inner: &Inner, slices: &mut Slices, bank: usize, addr: u64) {
    let words = inner.memory.read::<16>(addr);
    let number = {
        let mut state = inner.state.lock();
        // The ring may have been reset meanwhile by nobody but this thread.
        state.banks[bank].take_request();
        state.stats.requests += 1;
        state.stats.requests
    };
    let Some(words) = words else {
        inner.state.lock().stats.dma_faults += 1;
        return;
    };
    let action = inner.config.plan.action(number);
    let parsed = match inner.config.is_symmetric(bank) {
        true => CipherMessage::parse(&words, inner.config.model).map(Asked::Cipher),
        false => Message::parse(&words).map(Asked::Compression),
    };
    let outcome = match parsed {
        Ok(asked) => {
            if action == Some(Action::NeverAnswers) {
                inner.state.lock().silent.push(Silent { bank, dst: Some(asked.dst()) });
                return;
            }
            match asked {
                Asked::Compression(message) => slices.execute(&message, &inner.memory, action),
                Asked::Cipher(message) => message.execute(&inner.memory, action),
            }
        }
        Err((opaque, at)) => {
            tracing::debug!(at, "malformed request");
            Outcome::Malformed(Answer { status: 1 << 1, ..Answer::to(0, opaque) })
        }
    };
    let mut state = inner.state.lock();
    match outcome {
        Outcome::Answer(answer) => answer_with(inner, &mut state, bank, answer, action),
        Outcome::Malformed(answer) => {
            state.stats.malformed += 1;
            put(inner, &mut state, bank, answer);
        }
        Outcome::ReadFault(answer) => {
            state.stats.dma_faults += 1;
            put(inner, &mut state, bank, answer);
        }
        Outcome::WriteFault => {
            state.stats.dma_faults += 1;
            state.silent.push(Silent { bank, dst: None });
        }
    }
}

fn answer_with(inner: &Inner, state: &mut State, bank: usize, mut answer: Answer, action: Option<Action>) {
    match action {
        Some(Action::Late(after)) => return state.held.push(Held { bank, answer, after }),
        Some(Action::StrayInterrupt) => inner.interrupt(state),
        Some(Action::StrayAnswer) => put(inner, state, bank, Answer { opaque: !answer.opaque, ..answer }),
        Some(Action::Twice) => put(inner, state, bank, answer),
        Some(Action::Boasts) => answer.produced = u32::MAX,
        Some(Action::NotValid) => answer.flags &= !FLAG_VALID,
        Some(Action::Restart) => inner.announce_restart(state),
        _ => {}
    }
    put(inner, state, bank, answer);
    release(inner, state, 1);
}

/// Counts so many answers for those that are held back, and puts out the ones that are due.
fn release(inner: &Inner, state: &mut State, count: u32) {
    let mut due = Vec::new();
    state.held.retain_mut(|held| {
        held.after = held.after.saturating_sub(count);
        if held.after == 0 {
            due.push(*held);
        }
        held.after != 0
    });
    for held in due {
        put(inner, state, held.bank, held.answer);
    }
}

/// Writes an answer to the ring, and announces it. What finds the ring full is held back.
fn put(inner: &Inner, state: &mut State, bank: usize, answer: Answer) {
    let Some(addr) = state.banks[bank].next_response() else {
        state.held.push(Held { bank, answer, after: 1 });
        return;
    };
    if !inner.memory.write(addr, answer.words()) {
        state.stats.dma_faults += 1;
        return;
    }
    state.banks[bank].put_response();
    state.stats.responses += 1;
    inner.announce(state, bank);
}
