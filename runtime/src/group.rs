//! Small jobs that travel together without anybody building batches.
//!
//! A [`Group`] has lists, made once, that take turns: one is being filled, some are under way, one is handing its
//! results out. Queueing a job puts it on the list that is being filled; a list that is full goes to a queue as one
//! descriptor list, and so does one that is not when its results are asked for. What is measured in portal writes and
//! wake-ups is thereby paid once for a list and not for each job.
//!
//! The hard idea is whose the memory is. A list that flies belongs to its slot, as any operation's buffers do: the
//! group may be dropped at any time and leaves nothing behind but what the runtime frees when the device is done.

mod list;
mod queue;
mod ring;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::Kind;
use crate::batch::{Batch, Lent, MemberOutcome};
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::Error;
use crate::job::Done;
use crate::path::Path;
use crate::report::Report;
use crate::runtime::Runtime;
use list::List;
use ring::Ring;

/// Sizes of a [`Group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOptions {
    /// Jobs on one list at most. No more than the runtime's devices take in one batch are used.
    pub list_max: usize,
    /// Lists: one is filled while the others fly. At least 1.
    pub lists: usize,
    /// Jobs of more bytes than this go alone: with so many bytes a descriptor of its own costs nothing.
    pub alone_bytes_min: u64,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { list_max: 32, lists: 4, alone_bytes_min: 16 << 10 }
    }
}

/// What came of a job of a group.
#[derive(Debug)]
pub struct Grouped<S, D> {
    /// What it found; [`Value::None`](crate::Value::None) for copies and fills.
    pub result: Result<Done, Box<Error>>,
    /// Its buffers. None only after [`Error::NoAnswer`], when a device may still use them.
    pub lent: Option<Lent<S, D>>,
    /// What did the work.
    pub path: Path,
}

/// Small jobs that are queued together and travel together.
///
/// Results come in the order the jobs were queued in, with [`Group::next`]. Everything is bounded: a group holds at
/// most [`GroupOptions::list_max`] times [`GroupOptions::lists`] jobs that are queued or under way, and the results of
/// one list more. When it is full, queueing answers [`Error::Busy`] with the buffers, and
/// [`Group::make_room`] waits.
///
/// ```
/// # use svala::{Group, GroupOptions, Runtime};
/// # async fn example(runtime: Runtime, chunks: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), svala::Error> {
/// let mut group = Group::new(&runtime, GroupOptions::default());
/// for (src, dst) in chunks {
///     while let Some(done) = group.make_room().await {
///         done.result?;
///     }
///     group.copy(src, dst)?;
/// }
/// while let Some(done) = group.next().await {
///     done.result?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
///
/// The futures of a group hold nothing: one that is dropped loses no job and no result. A group that is dropped leaves
/// its jobs as dropped operations do: what has begun ends, into buffers that are freed afterwards; what has not is
/// dropped.
pub struct Group<S: IoBuf, D: IoBufMut> {
    /// The list that is being filled; none until a job wants one.
    open: Option<Batch<S, D>>,
    /// The list whose results are being handed out.
    handing: Option<Batch<S, D>>,
    /// What that list ended with.
    ended: Ended,
    /// Lists that are under way, or wait to be, the oldest first.
    closed: Ring<S, D>,
    /// Lists with nothing on them.
    spare: Vec<Batch<S, D>>,
    options: GroupOptions,
    /// Dropped last: what is under way refers to it.
    runtime: Runtime,
}

/// What looking for the next list came to.
enum Turned {
    /// There is one: its results can be taken.
    Over,
    /// Not yet.
    Wait,
    /// There is none.
    End,
}

/// How a list ended.
struct Ended {
    report: Report,
    /// For members without a result of their own.
    error: Option<Box<Error>>,
    /// Results whose buffers stay with the runtime.
    lost: usize,
}

impl<S: IoBuf, D: IoBufMut> Group<S, D> {
    /// A group on the queues of `runtime`, which it keeps alive. All its memory is made here.
    pub fn new(runtime: &Runtime, options: GroupOptions) -> Self {
        let of_devices = runtime.capabilities().filter(|queue| queue.kind != Kind::Software);
        let batch_max = of_devices.map(|queue| queue.batch_max as usize).max().unwrap_or(usize::MAX);
        let list_max = options.list_max.clamp(1, batch_max.max(1));
        let lists = options.lists.max(1);
        Self {
            open: Some(Batch::with_capacity(list_max)),
            handing: None,
            ended: Ended { report: runtime.blank_report(), error: None, lost: 0 },
            closed: Ring::new(lists + 1, runtime),
            // One more than are filled and fly: its results are being handed out.
            spare: {
                // All of them, between the last result and the next job.
                let mut spare = Vec::with_capacity(lists + 1);
                spare.extend((0..lists).map(|_| Batch::with_capacity(list_max)));
                spare
            },
            options: GroupOptions { list_max, lists, ..options },
            runtime: runtime.clone(),
        }
    }

    /// Jobs that are queued, under way, or whose results have not been taken.
    pub fn len(&self) -> usize {
        let closed: usize = self.closed.iter().map(List::len).sum();
        self.open.as_ref().map_or(0, Batch::len) + closed + self.at_hand()
    }

    /// Results that can be taken without waiting.
    fn at_hand(&self) -> usize {
        self.handing.as_ref().map_or(0, Batch::left) + self.ended.lost
    }

    /// Whether there is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is room for another job.
    pub const fn has_room(&self) -> bool {
        self.open.is_some() || self.closed.len() < self.options.lists
    }

    /// Path, bytes and faults of the list that the last result came from, over all its jobs.
    pub const fn report(&self) -> &Report {
        &self.ended.report
    }

    /// Sends what is queued, without waiting for a full list.
    ///
    /// Faults that a device meets are resolved while [`Group::next`] is awaited.
    pub fn flush(&mut self) {
        if self.open.as_ref().is_some_and(|open| !open.is_empty()) {
            self.close(false);
        }
    }

    /// The oldest result; none when nothing is queued or under way. Sends what is queued, if all that was sent before
    /// has been handed out or is under way.
    #[expect(clippy::should_implement_trait, reason = "named as in a stream: what it gives is awaited")]
    pub fn next(&mut self) -> impl Future<Output = Option<Grouped<S, D>>> + Send {
        Next(self)
    }

    /// The results of the oldest list, in the order its jobs were queued in; none when nothing is queued or under way.
    /// Sends what is queued, as [`Group::next`] does, which hands out the same results one by one: whichever is called
    /// goes on where the other stopped. What is not taken of the results is handed out the next time.
    ///
    /// # Errors
    ///
    /// [`Error::NoAnswer`] for all of a list: its buffers stay with the runtime, as a device may still use them.
    pub fn next_list(
        &mut self,
    ) -> impl Future<Output = Option<Result<GroupResults<'_, S, D>, Error>>> + Send {
        NextList(Some(self))
    }

    /// Waits until there is room for a job, and hands out the oldest results meanwhile: none, and there is room.
    pub fn make_room(&mut self) -> impl Future<Output = Option<Grouped<S, D>>> + Send {
        MakeRoom(self)
    }

    /// [`Group::next`], as a poll.
    // Inlined where it is polled: a result that is handed through a call is moved three times, which costs more than all
    // the rest.
    #[inline(always)]
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Grouped<S, D>>> {
        loop {
            if let Some(result) = self.take() {
                return Poll::Ready(Some(result));
            }
            match self.go_on(cx) {
                Turned::Over => {}
                Turned::Wait => return Poll::Pending,
                Turned::End => return Poll::Ready(None),
            }
        }
    }

    /// The next result of the list that is being handed out.
    #[inline(always)]
    fn take(&mut self) -> Option<Grouped<S, D>> {
        let Self { handing, ended: Ended { report, error, .. }, .. } = self;
        match handing {
            Some(handing) => {
                let MemberOutcome { result, lent } = handing.take(error)?;
                Some(Grouped { result, lent: Some(lent), path: report.path })
            }
            None => {
                let error = Box::new(self.take_lost()?);
                Some(Grouped { result: Err(error), lent: None, path: self.ended.report.path })
            }
        }
    }

    /// What a job ended with whose buffers stay with the runtime.
    #[cold]
    #[inline(never)]
    fn take_lost(&mut self) -> Option<Error> {
        let error = self.ended.error.as_ref().filter(|_| self.ended.lost != 0)?.again();
        self.ended.lost -= 1;
        Some(error)
    }

    /// Goes on to the next list's results. What comes of it is a word or two: results are made by the caller.
    #[inline(never)]
    fn go_on(&mut self, cx: &mut Context<'_>) -> Turned {
        self.recycle();
        self.flush();
        self.drive(cx);
        let Some(oldest) = self.closed.oldest() else { return Turned::End };
        let Some((batch, report, error)) = oldest.take_ended() else { return Turned::Wait };
        let lost = if batch.is_some() { 0 } else { oldest.len() };
        self.closed.pop();
        self.ended = Ended { report, error, lost };
        self.handing = batch;
        if lost != 0 {
            // The list stays with the slot: another takes its place.
            self.spare.push(Batch::with_capacity(self.options.list_max));
        }
        Turned::Over
    }

    /// Has a list to fill, if there may be one more. The one whose results have just been handed out comes first: it is in
    /// the cache. (There is one more list than may be filled and fly.)
    #[cold]
    #[inline(never)]
    fn reopen(&mut self) {
        if self.open.is_some() || !self.has_room() {
            return;
        }
        self.recycle();
        self.open = self.spare.pop();
    }

    /// Empties the list whose results have all been handed out.
    fn recycle(&mut self) {
        if self.handing.as_ref().is_some_and(|handing| handing.left() == 0)
            && let Some(mut empty) = self.handing.take()
        {
            empty.clear();
            self.spare.push(empty);
        }
    }

    /// Closes the list that is being filled and starts it, if there is a slot.
    #[inline(never)]
    fn close(&mut self, alone: bool) {
        let Some(batch) = self.open.take() else { return };
        // In order: a list that waits for a slot is not overtaken.
        let at_once = self.closed.iter().all(List::has_begun);
        self.closed.push().fill(batch, alone, &self.runtime, at_once);
    }

    /// Takes every list as far as it goes.
    fn drive(&mut self, cx: &mut Context<'_>) {
        self.closed.for_each(|list| list.drive(&self.runtime, cx));
    }
}

impl<S: IoBuf, D: IoBufMut> Drop for Group<S, D> {
    fn drop(&mut self) {
        // INVARIANT: lists refer to channels of the runtime, so they go first.
        self.closed.clear();
    }
}

impl<S: IoBuf, D: IoBufMut> std::fmt::Debug for Group<S, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).field("options", &self.options).finish()
    }
}

/// The future of [`Group::next`].
struct Next<'g, S: IoBuf, D: IoBufMut>(&'g mut Group<S, D>);

impl<S: IoBuf, D: IoBufMut> Future for Next<'_, S, D> {
    type Output = Option<Grouped<S, D>>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Grouped<S, D>>> {
        self.0.poll_next(cx)
    }
}

/// The future of [`Group::next_list`].
struct NextList<'g, S: IoBuf, D: IoBufMut>(Option<&'g mut Group<S, D>>);

impl<'g, S: IoBuf, D: IoBufMut> Future for NextList<'g, S, D> {
    type Output = Option<Result<GroupResults<'g, S, D>, Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(group) = &mut self.0 else { return Poll::Ready(None) };
        while group.at_hand() == 0 {
            match group.go_on(cx) {
                Turned::Over => {}
                Turned::Wait => return Poll::Pending,
                Turned::End => return Poll::Ready(None),
            }
        }
        if let Some(error) = group.take_lost() {
            group.ended.lost = 0;
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(self.0.take().map(|group| Ok(GroupResults(group))))
    }
}

/// Results of one list of a [`Group`], at hand: what is left of them when this is dropped, the group keeps.
#[derive(Debug)]
pub struct GroupResults<'g, S: IoBuf, D: IoBufMut>(&'g mut Group<S, D>);

impl<S: IoBuf, D: IoBufMut> GroupResults<'_, S, D> {
    /// Path, bytes and faults of the list, over all its jobs.
    pub const fn report(&self) -> &Report {
        self.0.report()
    }
}

impl<S: IoBuf, D: IoBufMut> Iterator for GroupResults<'_, S, D> {
    type Item = MemberOutcome<S, D>;

    #[inline]
    fn next(&mut self) -> Option<MemberOutcome<S, D>> {
        let Group { handing, ended, .. } = &mut *self.0;
        handing.as_mut()?.take(&ended.error)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.at_hand(), Some(self.0.at_hand()))
    }

    /// What `for_each` does: without a result ever being put down and picked up again.
    #[inline]
    fn fold<T, F: FnMut(T, MemberOutcome<S, D>) -> T>(self, init: T, mut fold: F) -> T {
        let Group { handing: Some(list), ended, .. } = self.0 else { return init };
        let mut folded = init;
        while let Some(outcome) = list.take(&ended.error) {
            folded = fold(folded, outcome);
        }
        folded
    }
}

impl<S: IoBuf, D: IoBufMut> ExactSizeIterator for GroupResults<'_, S, D> {}

/// The future of [`Group::make_room`].
struct MakeRoom<'g, S: IoBuf, D: IoBufMut>(&'g mut Group<S, D>);

impl<S: IoBuf, D: IoBufMut> Future for MakeRoom<'_, S, D> {
    type Output = Option<Grouped<S, D>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Grouped<S, D>>> {
        if self.0.has_room() { Poll::Ready(None) } else { self.0.poll_next(cx) }
    }
}
