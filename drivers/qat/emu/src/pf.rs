//! The driver of the physical function: answers messages, announces restarts.

use std::collections::VecDeque;
use std::time::Instant;

use crate::config::DeviceConfig;
use crate::plan::{PfFaults, ResetRefusal};

const INTERRUPT: u32 = 1;
const SYSTEM: u32 = 2;

/// What a message makes the device do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Nothing,
    /// Reset a ring pair, then send the answer.
    Reset(u8),
    /// The driver is ready for the restart.
    Restart,
}

/// The state of the conversation.
#[derive(Debug)]
pub(crate) struct Pf {
    /// Register of messages to the physical function.
    pub(crate) to_pf: u32,
    /// Register of messages from it.
    pub(crate) from_pf: u32,
    /// What is sent when the last one has been taken.
    outbox: VecDeque<u32>,
    pub(crate) faults: PfFaults,
    /// A restart is announced; when it happens at the latest.
    pub(crate) restart_by: Option<Instant>,
    /// A message is answered, and is not seen to be taken before its answer is.
    is_answered: bool,
    /// Ring pair of a reset that is put off until the next message comes.
    late: Option<u8>,
    /// Ring pair of a reset that is put off until a request comes.
    pub(crate) later: Option<usize>,
    blocks: [[u8; 10]; 2],
    version: u8,
}

/// A message with its type and data in their bits.
const fn message(kind: u32, data: u32) -> u32 {
    INTERRUPT | SYSTEM | kind << 2 | data << 8
}

impl Pf {
    pub(crate) fn new(config: &DeviceConfig) -> Self {
        let capabilities = config.capabilities.to_le_bytes();
        let [a, b, c, d] = capabilities;
        let [low, high] = config.ring_map.to_le_bytes();
        Self {
            to_pf: 0,
            from_pf: 0,
            outbox: VecDeque::new(),
            faults: config.plan.pf,
            restart_by: None,
            is_answered: false,
            late: None,
            later: None,
            blocks: [[2, 8, 0, 0, 0, 0, a, b, c, d], [1, 2, low, high, 0, 0, 0, 0, 0, 0]],
            version: config.pf_version,
        }
    }

    /// Sends a message, now or when the last one has been taken. Whether it is there now.
    pub(crate) fn send(&mut self, kind: u32, data: u32) -> bool {
        self.outbox.push_back(message(kind, data));
        self.deliver()
    }

    /// Puts the next message where it is read, if there is room. Whether one was put there.
    pub(crate) fn deliver(&mut self) -> bool {
        if self.from_pf & INTERRUPT != 0 {
            return false;
        }
        let Some(next) = self.outbox.pop_front() else { return false };
        self.from_pf = next;
        true
    }

    /// The driver has taken a message.
    pub(crate) fn taken(&mut self) {
        if std::mem::take(&mut self.is_answered) {
            self.to_pf &= !INTERRUPT;
        }
    }

    /// Takes a message of the driver. Whether an answer is there, and what the device has to do.
    pub(crate) fn receive(&mut self) -> (bool, Order) {
        if self.to_pf & INTERRUPT == 0 || self.is_answered {
            return (false, Order::Nothing);
        }
        if let Some(bank) = self.late.take() {
            if self.to_pf >> 2 & 0x3f == 0x10 {
                self.to_pf &= !INTERRUPT;
                self.later = Some((self.to_pf >> 8 & 0xff) as usize);
            }
            return (false, Order::Reset(bank));
        }
        if take(&mut self.faults.lost_messages) {
            // Left where it is: the driver waits in vain. The bit is cleared with the next message.
            return (false, Order::Nothing);
        }
        let kind = self.to_pf >> 2 & 0x3f;
        let data = self.to_pf >> 8;
        let is_question = kind != 0x03 && kind != 0x04 && kind != 0x0a;
        self.is_answered = is_question && take(&mut self.faults.early_answers);
        if !self.is_answered {
            self.to_pf &= !INTERRUPT;
        }
        if is_question && take(&mut self.faults.lost_answers) {
            return (false, Order::Nothing);
        }
        match kind {
            0x06 => {
                let theirs = data & 0xff;
                let fits = if theirs >= 2 { 1 } else { 2 };
                let result =
                    if self.faults.version_result == 0 { fits } else { self.faults.version_result.into() };
                (self.send(0x02, u32::from(self.version) | result << 8), Order::Nothing)
            }
            0x09 => {
                let answer = self.block_byte(data);
                (self.send(0x03, answer), Order::Nothing)
            }
            0x0a => (false, Order::Restart),
            0x10 => self.reset(data),
            _ => (false, Order::Nothing),
        }
    }

    fn reset(&mut self, data: u32) -> (bool, Order) {
        let bank = data & 0xff;
        if bank > 3 {
            return (self.send(0x10, 2), Order::Nothing);
        }
        if self.faults.refusal.is_some() && take(&mut self.faults.refused_resets) {
            let answered = match self.faults.refusal {
                Some(ResetRefusal::NotSupported) => self.send(0x10, 1),
                Some(ResetRefusal::Timeout) => self.send(0x10, 3),
                Some(ResetRefusal::Late) => {
                    self.late = Some(bank.to_le_bytes()[0]);
                    false
                }
                Some(ResetRefusal::Silent) | None => false,
            };
            return (answered, Order::Nothing);
        }
        (false, Order::Reset(bank.to_le_bytes()[0]))
    }

    /// Type in bits 0 to 3, byte in 4 to 8, whether the check is meant in 9; the answer's kind in bits 0 and 1.
    fn block_byte(&mut self, data: u32) -> u32 {
        const CHECK: u32 = 1;
        const ERROR: u32 = 2;
        let byte = (data >> 4 & 0x1f) as usize;
        let block = match data & 0xf {
            2 => &self.blocks[0],
            3 if self.version >= 4 => &self.blocks[1],
            _ => return ERROR,
        };
        let len = usize::from(block[1]) + 2;
        if byte >= len {
            return ERROR | 1 << 2;
        }
        if data >> 9 & 1 == 0 {
            return u32::from(block[byte]) << 2;
        }
        let mut check = check(&block[..=byte]);
        if take(&mut self.faults.bad_checks) {
            check ^= 0x5a;
        }
        CHECK | u32::from(check) << 2
    }
}

/// Counts down. Whether there was something to count.
const fn take(count: &mut u32) -> bool {
    let some = *count != 0;
    *count = count.saturating_sub(1);
    some
}

/// CRC-8, polynomial 0x97, from 0xff: bit by bit over the whole message as one number.
fn check(bytes: &[u8]) -> u8 {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    bits.fold(0xff, |crc: u8, bit| {
        let feed = crc >> 7 ^ bit;
        (crc << 1) ^ (0x97 * feed)
    })
}
