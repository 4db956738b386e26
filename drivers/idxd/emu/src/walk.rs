//! An operation's way through its operands, from page fault to page fault.
//!
//! The walk hands the operation pieces that are present on every side, and stops the operation or asks for the page
//! where one is not. It counts progress in bytes from where the walk began, which for a copy that runs backwards is the
//! end of the ranges. What an operation has to do in one piece it does through the bus, and the bus can still fault
//! (memory went away, or was never writable); the operation then says how far it got.

use idxd_spec::{Completion, FaultInfo, Operand, Status};

use crate::DeviceKind;
use crate::bus::{Access, Bus, BusFault, PAGE_BYTES};
use crate::model::Model;
use crate::page_request::PageAnswer;
use crate::timing::Book;

/// Bytes one look at the page tables covers at most.
const LOOK_BYTES_MAX: u64 = 2 << 20;
/// Page requests of one group: as many as an operation has operands.
const GROUP_MAX: usize = 4;
/// Page requests for one page, answered with success and of no use, before the device gives up (status 0x04).
const REQUESTS_MAX: u32 = 8;

/// One operand: where it begins, and what the device does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) addr: u64,
    pub(crate) access: Access,
    pub(crate) operand: Operand,
    /// Bytes it has for each unit of the walk's progress, see [`Walk::in_units`].
    unit: u64,
}

impl Span {
    pub(crate) const fn read(operand: Operand, addr: u64) -> Self {
        Self { addr, access: Access::Read, operand, unit: 1 }
    }

    pub(crate) const fn write(operand: Operand, addr: u64) -> Self {
        Self { addr, access: Access::Write, operand, unit: 1 }
    }

    /// The same where a unit has this many bytes.
    pub(crate) const fn with_unit(self, unit: u64) -> Self {
        Self { unit, ..self }
    }
}

/// From which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// Present on every side: `len` bytes, `offset` bytes behind the lowest address of each operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// What comes after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next one.
    Continue,
    /// Nothing: the operation found what it was looking for, this far into the piece.
    Halt(u64),
    /// This much of the piece is done, and for the next of it a page of an operand is missing that does not advance
    /// with the walk.
    Missing { done: u64, span: Span, addr: u64 },
}

/// A piece the bus did not let an operation finish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    /// Bytes of the piece that are done, from the side where the walk began.
    pub(crate) done: u64,
    pub(crate) fault: BusFault,
}

/// Why an operation ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Without the write bit.
    pub(crate) status: Status,
    pub(crate) addr: u64,
    pub(crate) access: Access,
    pub(crate) operand: Operand,
}

impl Stop {
    pub(crate) fn status_with_write(&self) -> Status {
        match self.access {
            Access::Read => self.status,
            Access::Write => self.status.with_write(),
        }
    }

    /// The record of a partial completion. Of the fault address bits 11:0 are 0, as §8.2.5 allows.
    pub(crate) fn completion(&self, bytes_completed: u64) -> Completion {
        Completion::new(self.status_with_write())
            .with_fault(self.addr & !(PAGE_BYTES - 1), FaultInfo::new(self.operand))
            .with_bytes_completed(u32::try_from(bytes_completed).unwrap_or(u32::MAX))
    }
}

/// What the plan has in store for this walk: at this much progress.
#[derive(Clone, Copy, Debug)]
enum Planned {
    PageFault(u64),
    Stop(u64),
}

pub(crate) struct Walk<'a, B> {
    model: &'a Model<B>,
    spans: &'a [Span],
    size: u64,
    /// Progress comes in multiples of this.
    unit: u64,
    direction: Direction,
    block_on_fault: bool,
    done: u64,
    /// Progress up to which everything was present when last looked at.
    present_until: u64,
    planned: Option<Planned>,
    /// The page last asked for, and how often in a row.
    requested: (u64, u32),
    /// Whether this walk moves or looks at data, so that its bytes count.
    counts: bool,
}

impl<'a, B: Bus> Walk<'a, B> {
    /// A walk of `size` bytes along every one of `spans`.
    pub(crate) fn new(model: &'a Model<B>, spans: &'a [Span], size: u64, block_on_fault: bool) -> Self {
        Self {
            model,
            spans,
            size,
            unit: 1,
            direction: Direction::Forward,
            block_on_fault,
            done: 0,
            present_until: 0,
            planned: None,
            requested: (0, 0),
            counts: false,
        }
    }

    /// Goes on by whole units of `unit` bytes of progress, of which the size is a multiple, forward. Each span has its
    /// own number of bytes for a unit; a unit is present if all of it is.
    pub(crate) fn in_units(self, unit: u64) -> Self {
        Self { unit, ..self }
    }

    pub(crate) fn backward(self) -> Self {
        Self { direction: Direction::Backward, ..self }
    }

    /// Says that this is the walk of an operation over its data: counts the bytes, and lets the fault plan interfere.
    pub(crate) fn over_data(mut self) -> Self {
        self.counts = true;
        let can_stop = self.model.kind == DeviceKind::Dsa && !self.block_on_fault;
        let stop = if can_stop { self.model.plan.stop_after(self.size) } else { None };
        self.planned = match stop {
            Some(bytes) => {
                Some(bytes.next_multiple_of(self.unit)).filter(|bytes| *bytes < self.size).map(Planned::Stop)
            }
            None => self.model.plan.fault_page().and_then(|page| self.planned_fault(page)),
        };
        self
    }

    /// Bytes done.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Walks to the end, in pieces of at most `piece_max`. The answer is the progress at which `step` halted.
    pub(crate) fn run(
        &mut self,
        piece_max: u64,
        mut step: impl FnMut(Piece) -> Result<Flow, Interrupted>,
    ) -> Result<Option<u64>, Stop> {
        while self.done < self.size {
            let len = self.ready()?.min(piece_max - piece_max % self.unit);
            let offset = match self.direction {
                Direction::Forward => self.done,
                Direction::Backward => self.size - self.done - len,
            };
            match step(Piece { offset, len }) {
                Ok(Flow::Continue) => self.done += len,
                Ok(Flow::Halt(at)) => return Ok(Some(self.done + at)),
                Ok(Flow::Missing { done, span, addr }) => {
                    self.done += done;
                    self.resolve(span, addr)?;
                }
                Err(interrupted) => self.interrupted(interrupted, Piece { offset, len })?,
            }
        }
        Ok(None)
    }

    /// Looks at all of every operand, before an operation that cannot stop half-way.
    pub(crate) fn require_all(&mut self) -> Result<(), Stop> {
        while self.done < self.size {
            self.done += self.ready()?;
        }
        self.done = 0;
        self.present_until = self.size;
        Ok(())
    }

    /// How many bytes are present on every side, at least one.
    fn ready(&mut self) -> Result<u64, Stop> {
        loop {
            self.meet_plan()?;
            if self.done < self.present_until {
                return Ok(self.present_until - self.done);
            }
            // At least one unit, however large that is.
            let look_max = (LOOK_BYTES_MAX - LOOK_BYTES_MAX % self.unit).max(self.unit);
            let wanted = (self.plan_limit() - self.done).min(look_max);
            match self.look(wanted) {
                (0, Some((span, addr))) => self.resolve(span, addr)?,
                (present, _) => self.present_until = self.done + present,
            }
        }
    }

    /// How much of `wanted` is present on every side; and the operand that limits it, with the byte that is missing.
    fn look(&self, wanted: u64) -> (u64, Option<(Span, u64)>) {
        let mut present = (wanted, None);
        for span in self.spans {
            let bytes = self.bytes_of(span, present.0);
            let start = span.addr.wrapping_add(self.bytes_of(span, self.done));
            let on_this_side = match self.direction {
                Direction::Forward => self.model.bus.present(start, bytes, span.access),
                Direction::Backward => {
                    let start = span.addr.wrapping_add(self.size - self.done - present.0);
                    self.model.bus.present_back(start, bytes, span.access)
                }
            };
            if on_this_side < bytes {
                let missing = match self.direction {
                    Direction::Forward => start.wrapping_add(on_this_side),
                    Direction::Backward => self.addr_at(*span, self.done + on_this_side),
                };
                present = (on_this_side / span.unit * self.unit, Some((*span, missing)));
            }
            if present.0 == 0 {
                break;
            }
        }
        present
    }

    /// What `progress` is in bytes of `span`.
    fn bytes_of(&self, span: &Span, progress: u64) -> u64 {
        if span.unit == self.unit { progress } else { progress / self.unit * span.unit }
    }

    /// The byte of `span` that comes next at this progress.
    fn addr_at(&self, span: Span, done: u64) -> u64 {
        match self.direction {
            Direction::Forward => span.addr.wrapping_add(self.bytes_of(&span, done)),
            Direction::Backward => span.addr.wrapping_add(self.size - done - 1),
        }
    }

    /// Takes what an interrupted piece got done into account; at a fault on the very next byte, resolves it.
    fn interrupted(&mut self, interrupted: Interrupted, piece: Piece) -> Result<(), Stop> {
        let Interrupted { done, fault } = interrupted;
        self.done += done;
        let holds = |span: &&Span| {
            let start = span.addr.wrapping_add(self.bytes_of(span, piece.offset));
            span.access == fault.access && fault.addr.wrapping_sub(start) < self.bytes_of(span, piece.len)
        };
        let span = *self.spans.iter().find(holds).unwrap_or(&self.spans[0]);
        let ahead = match self.direction {
            Direction::Forward => {
                fault.addr.wrapping_sub(self.addr_at(span, self.done)) / span.unit * self.unit
            }
            Direction::Backward => 0,
        };
        if (1..piece.len).contains(&ahead) {
            // The fault lies further on: what comes before it can still be done.
            self.present_until = self.done + ahead;
            return Ok(());
        }
        self.resolve(span, fault.addr)
    }

    /// A page of `span` is not there: stops, or asks for it and looks again.
    fn resolve(&mut self, span: Span, addr: u64) -> Result<(), Stop> {
        self.model.counters.faults.add(1);
        if !self.block_on_fault || !self.model.can_request_pages() {
            return Err(self.stop(Status::PAGE_FAULT, span, addr));
        }
        let page = addr & !(PAGE_BYTES - 1);
        self.requested = match self.requested {
            (last, times) if last == page => (page, times + 1),
            _ => (page, 1),
        };
        if self.requested.1 > REQUESTS_MAX {
            return Err(self.stop(Status::PAGE_REQUEST_INVALID, span, addr));
        }
        match self.request(page, span) {
            PageAnswer::Success => {
                self.present_until = self.done;
                Ok(())
            }
            PageAnswer::Invalid => Err(self.stop(Status::PAGE_REQUEST_INVALID, span, addr)),
            PageAnswer::Failure => Err(self.stop(Status::HARDWARE_TRANSLATION, span, addr)),
        }
    }

    /// Asks for the page of `span`, and in the same group for the pages that the other operands miss at this progress. If
    /// the group is refused, it may be for one of those: then the page is asked for alone.
    fn request(&self, page: u64, span: Span) -> PageAnswer {
        let mut wanted = [(page, span.access); GROUP_MAX];
        let mut len = 1;
        for other in self.spans.iter().filter(|other| **other != span && other.unit == self.unit) {
            let addr = self.addr_at(*other, self.done);
            if let Some(place) = wanted.get_mut(len)
                && self.done < self.size
                && self.model.bus.present(addr, 1, other.access) == 0
            {
                *place = (addr & !(PAGE_BYTES - 1), other.access);
                len += 1;
            }
        }
        // The one that stopped the walk comes last, and ends the group.
        wanted[..len].reverse();
        match self.model.request_pages(&wanted[..len]) {
            PageAnswer::Invalid if len > 1 => self.model.request_page(page, span.access),
            answer => answer,
        }
    }

    /// A device whose records have no fault info does not say which operand it was (§8.2.3).
    fn stop(&self, status: Status, span: Span, addr: u64) -> Stop {
        let has_info = self.model.capabilities.gen_cap.fault_info();
        let operand = if has_info { span.operand } else { Operand::UNKNOWN };
        Stop { status, addr, access: span.access, operand }
    }

    /// The operand a planned fault is on: what is written, else the first.
    fn planned_span(&self) -> Option<Span> {
        let written = self.spans.iter().find(|span| span.access == Access::Write);
        written.or(self.spans.first()).copied()
    }

    /// The progress at which this walk comes to page `page` of its operand, counted in its direction.
    fn planned_fault(&self, page: u64) -> Option<Planned> {
        let span = self.planned_span()?;
        let into_page = match self.direction {
            Direction::Forward => span.addr % PAGE_BYTES,
            Direction::Backward => span.addr.wrapping_add(self.size).wrapping_neg() % PAGE_BYTES,
        };
        let bytes = page.checked_mul(PAGE_BYTES)?.saturating_sub(into_page);
        let progress = bytes / span.unit * self.unit;
        (progress < self.size).then_some(Planned::PageFault(progress))
    }

    fn plan_limit(&self) -> u64 {
        match self.planned {
            Some(Planned::PageFault(at) | Planned::Stop(at)) if self.done < at => at,
            _ => self.size,
        }
    }

    /// Faults or stops if this is where the plan says so.
    fn meet_plan(&mut self) -> Result<(), Stop> {
        let Some(planned) = self.planned else { return Ok(()) };
        let Some(span) = self.planned_span() else { return Ok(()) };
        let addr = self.addr_at(span, self.done);
        match planned {
            Planned::Stop(at) if self.done == at => Err(self.stop(Status::PAGE_FAULT, span, addr)),
            Planned::PageFault(at) if self.done == at && self.model.plan.take_page_fault() => {
                self.resolve(span, addr)?;
                if self.model.plan.fault_page().is_some() { self.meet_plan() } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

impl<B> Walk<'_, B> {
    /// Writes down what was translated and worked on. A page that was missing has been looked for as well, and is no
    /// translation to keep.
    fn enter(&self, book: &Book) {
        for span in self.spans {
            let bytes = if span.unit == self.unit { self.done } else { self.done / self.unit * span.unit };
            let start = match self.direction {
                Direction::Forward => span.addr,
                Direction::Backward => span.addr.wrapping_add(self.size - self.done),
            };
            book.translate(start, bytes);
        }
        if self.counts {
            book.moved(self.done);
        }
    }
}

impl<B> Drop for Walk<'_, B> {
    fn drop(&mut self) {
        if let Some(book) = self.model.book.get() {
            self.enter(book);
        }
        if self.counts {
            self.model.counters.bytes.add(self.done);
        }
    }
}
