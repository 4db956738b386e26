//! Talking to the driver of the physical function.
//!
//! One conversation at a time. Waits are bounded; what the other side says unasked meanwhile is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use qat_spec::pfvf::{
    self, Block, BlockAnswer, Fit, Message, ResetAnswer, VERSION, from_pf, to_pf, version_answer,
};
use qat_spec::ring::{RING_PAIRS_MAX, misc};
use qat_spec::{Capabilities, CapabilityBlock, RingMap};

use crate::config::QatQueueConfig;
use crate::error::{Error, PfError};
use crate::function::{Region, VirtualFunction};

/// How long to sleep between looks at a register.
const LOOK: Duration = Duration::from_micros(20);
/// Messages that are kept until somebody wants them; a register that always has another does not fill memory.
const UNASKED_MAX: usize = 64;

/// What each ring pair of a function does, as the driver of its physical function says: `dc`, `sym` and others.
///
/// The function is in use for as long as it takes to ask. Nothing is pinned.
///
/// # Errors
///
/// [`Error::Pf`].
pub fn ring_pairs(function: Arc<dyn VirtualFunction>) -> Result<[&'static str; RING_PAIRS_MAX], Error> {
    let name = function.name().to_owned();
    // Answers are looked for.
    function.write32(Region::Misc, misc::PF2VM_MASK, 1);
    let mut conversation = Conversation::new(function, &QatQueueConfig::default());
    let said = conversation.greet().and_then(|greeting| conversation.shut_down().map(|()| greeting.map));
    let map = said.map_err(|source| Error::Pf { function: name, source })?;
    Ok(std::array::from_fn(|pair| map.service(pair).name()))
}

/// What was learnt when the conversation began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeting {
    pub(crate) version: u8,
    pub(crate) capabilities: Capabilities,
    pub(crate) map: RingMap,
}

/// The conversation.
#[derive(Debug)]
pub(crate) struct Conversation {
    function: Arc<dyn VirtualFunction>,
    ack_within: Duration,
    answer_within: Duration,
    reset_within: Duration,
    tries_max: u32,
    /// Said unasked.
    unasked: Vec<Message>,
    /// The answer to a reset may still come, and does not say which ring pair it is about.
    is_reset_late: bool,
}

impl Conversation {
    pub(crate) fn new(function: Arc<dyn VirtualFunction>, config: &QatQueueConfig) -> Self {
        Self {
            function,
            ack_within: config.pf_ack_within,
            answer_within: config.pf_answer_within,
            reset_within: config.reset_within,
            tries_max: config.pf_tries_max.max(1),
            unasked: Vec::new(),
            is_reset_late: false,
        }
    }

    /// Versions, capabilities, what ring pairs do; then the function is in use.
    pub(crate) fn greet(&mut self) -> Result<Greeting, PfError> {
        let (version, fit) = self.version()?;
        // An older driver leaves the judgement to this side; version 2 is the first with capabilities.
        let fits = fit == Fit::Compatible || fit == Fit::Unknown && version >= 2;
        if !fits {
            return Err(PfError::Incompatible { ours: VERSION, theirs: version });
        }
        let block = self.block(Block::CAPABILITIES)?;
        let capabilities = CapabilityBlock::parse(&block).ok_or(PfError::Nonsense {
            block: Block::CAPABILITIES,
            what: "shorter than its version has it",
        })?;
        // Version 1 has no more than that the device compresses.
        let capabilities = capabilities.capabilities.unwrap_or(Capabilities::COMPRESSION);
        let map = if version >= pfvf::VERSION_RING_MAP {
            let block = self.block(Block::RING_MAP)?;
            RingMap::parse(&block)
                .ok_or(PfError::Nonsense { block: Block::RING_MAP, what: "shorter than a map" })?
        } else {
            RingMap(0)
        };
        self.tell(Message::new(to_pf::INIT, 0))?;
        Ok(Greeting { version, capabilities, map: map.corrected(capabilities) })
    }

    /// The version of the other side. Questions are answered in their order: what was late until now does not come any more.
    fn version(&mut self) -> Result<(u8, Fit), PfError> {
        let question = Message::new(to_pf::COMPAT_VER_REQ, VERSION.into());
        let answer = self.ask(question, from_pf::VERSION_RESP)?;
        self.is_reset_late = false;
        Ok(version_answer(answer))
    }

    /// Resets a ring pair. Ok: nothing of it reads or writes memory any more.
    pub(crate) fn reset(&mut self, pair: u64) -> Result<(), PfError> {
        if self.is_reset_late {
            // Its answer would be taken for that of this one.
            self.version()?;
        }
        let question = Message::new(to_pf::RP_RESET, u32::try_from(pair).unwrap_or(u32::MAX));
        let answer = self.ask_once(question, from_pf::RP_RESET_RESP, self.reset_within)?;
        match answer.map(ResetAnswer::of) {
            Some(ResetAnswer::DONE) => Ok(()),
            Some(answer) => Err(PfError::Reset { pair, answer }),
            None => {
                self.is_reset_late = true;
                Err(PfError::NotAnswered { message: question, tries: 1 })
            }
        }
    }

    /// Says that the driver is ready for a restart.
    pub(crate) fn ready_for_restart(&mut self) -> Result<(), PfError> {
        self.tell(Message::new(to_pf::RESTARTING_COMPLETE, 0))
    }

    /// Says that the function is no longer in use.
    pub(crate) fn shut_down(&mut self) -> Result<(), PfError> {
        self.tell(Message::new(to_pf::SHUTDOWN, 0))
    }

    /// What was said unasked, the oldest first.
    pub(crate) fn hear(&mut self) -> Option<Message> {
        if self.unasked.is_empty() {
            return self.look();
        }
        Some(self.unasked.remove(0))
    }

    /// Reads a block, and checks it.
    fn block(&mut self, block: Block) -> Result<Vec<u8>, PfError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let bytes = self.block_once(block)?;
            let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            let question = Message::small_block_check(block, len);
            let theirs = match BlockAnswer::of(self.ask(question, from_pf::BLOCK_RESP)?) {
                BlockAnswer::Check(check) => check,
                BlockAnswer::Error(code) => return Err(PfError::Block { block, byte: len, code }),
                _ => return Err(PfError::Nonsense { block, what: "a byte instead of the check" }),
            };
            let ours = pfvf::crc8(&bytes);
            if ours == theirs {
                return Ok(bytes);
            }
            tracing::warn!(function = self.function.name(), ?block, ours, theirs, "a block arrived damaged");
            if tries >= self.tries_max {
                return Err(PfError::Check { block, theirs, ours, tries });
            }
        }
    }

    fn block_once(&mut self, block: Block) -> Result<Vec<u8>, PfError> {
        let mut bytes = Vec::with_capacity(Block::BYTES_MAX);
        let mut len = Block::HEADER_BYTES;
        while bytes.len() < len {
            let byte = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            let answer = self.ask(Message::small_block_byte(block, byte), from_pf::BLOCK_RESP)?;
            match BlockAnswer::of(answer) {
                BlockAnswer::Byte(value) => bytes.push(value),
                BlockAnswer::Error(code) => return Err(PfError::Block { block, byte, code }),
                _ => return Err(PfError::Nonsense { block, what: "a check instead of a byte" }),
            }
            if bytes.len() == Block::HEADER_BYTES {
                if bytes.contains(&0) {
                    return Err(PfError::Nonsense { block, what: "version or length 0" });
                }
                // A newer, longer block is read as far as a small one goes.
                len = (Block::HEADER_BYTES + usize::from(bytes[1])).min(Block::BYTES_MAX);
            }
        }
        Ok(bytes)
    }

    /// Sends a message until it is answered. The data of the answer.
    fn ask(&mut self, question: Message, kind: u8) -> Result<u32, PfError> {
        for tries in 1.. {
            if let Some(data) = self.ask_once(question, kind, self.answer_within)? {
                return Ok(data);
            }
            if tries >= self.tries_max {
                return Err(PfError::NotAnswered { message: question, tries });
            }
        }
        unreachable!("the tries are counted")
    }

    /// Sends a message, and waits for an answer of this kind. None: there was none.
    fn ask_once(&mut self, question: Message, kind: u8, within: Duration) -> Result<Option<u32>, PfError> {
        // What is there by now is the answer to another.
        self.unasked.retain(|message| message.kind() != kind);
        self.send(question)?;
        Ok(self.wait(kind, Instant::now() + within))
    }

    /// Sends a message that has no answer.
    fn tell(&mut self, message: Message) -> Result<(), PfError> {
        self.send(message)
    }

    /// Sends a message until it is taken.
    fn send(&mut self, message: Message) -> Result<(), PfError> {
        for _ in 0..self.tries_max {
            self.function.write32(Region::Misc, misc::VM2PF, message.0);
            let until = Instant::now() + self.ack_within;
            loop {
                if !Message(self.function.read32(Region::Misc, misc::VM2PF)).is_pending() {
                    return Ok(());
                }
                if Instant::now() >= until {
                    break;
                }
                // Both sides may wait for each other to take something.
                if let Some(message) = self.look() {
                    self.keep(message);
                }
                std::thread::sleep(LOOK);
            }
        }
        Err(PfError::NotTaken { message, tries: self.tries_max })
    }

    /// Waits for an answer. It may have come before the question was seen to be taken.
    fn wait(&mut self, kind: u8, until: Instant) -> Option<u32> {
        loop {
            if let Some(at) = self.unasked.iter().position(|message| message.kind() == kind) {
                return Some(self.unasked.remove(at).data());
            }
            match self.look() {
                Some(message) if message.kind() == kind => return Some(message.data()),
                Some(message) => self.keep(message),
                None if Instant::now() < until => std::thread::sleep(LOOK),
                None => {}
            }
            if Instant::now() >= until {
                return None;
            }
        }
    }

    fn keep(&mut self, message: Message) {
        if self.unasked.len() >= UNASKED_MAX {
            self.unasked.remove(0);
        }
        self.unasked.push(message);
    }

    /// Takes a message, if one is there.
    fn look(&mut self) -> Option<Message> {
        let message = Message(self.function.read32(Region::Misc, misc::PF2VM));
        // All ones: the function is gone.
        if !message.is_pending() || message.0 == u32::MAX {
            return None;
        }
        self.function.write32(Region::Misc, misc::PF2VM, message.taken().0);
        message.is_system().then_some(message)
    }
}
