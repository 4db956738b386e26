//! Several operations in flight, their results in order.
//!
//! What an executor's ordered buffer does, for the handful of operations a command has in flight: all of them are
//! polled whenever one wakes the task. Dropping the pipeline drops the operations, which abandons their slots: the
//! runtime keeps their buffers until the device is done.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Trouble;
use crate::stop::Stop;

enum Place<'a, T> {
    Running(Pin<Box<dyn Future<Output = T> + 'a>>),
    Done(T),
}

/// Operations in the order in which their results are wanted.
pub(crate) struct Pipeline<'a, T> {
    places: VecDeque<Place<'a, T>>,
    depth: usize,
    stop: &'a Stop,
}

impl<'a, T> Pipeline<'a, T> {
    /// Room for `depth` operations.
    pub(crate) fn new(depth: usize, stop: &'a Stop) -> Self {
        Self { places: VecDeque::with_capacity(depth), depth, stop }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.places.len() >= self.depth
    }

    /// Adds an operation. It begins with the next call of [`Self::next`].
    pub(crate) fn push(&mut self, operation: impl Future<Output = T> + 'a) {
        self.places.push_back(Place::Running(Box::pin(operation)));
    }

    /// The result of the oldest operation; none without operations.
    ///
    /// # Errors
    ///
    /// [`Trouble::Stopped`] as soon as a signal came in.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Trouble> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Trouble>> {
        if let Poll::Ready(trouble) = self.stop.poll(cx) {
            return Poll::Ready(Err(trouble));
        }
        for place in &mut self.places {
            if let Place::Running(operation) = place
                && let Poll::Ready(result) = operation.as_mut().poll(cx)
            {
                *place = Place::Done(result);
            }
        }
        match self.places.pop_front() {
            None => Poll::Ready(Ok(None)),
            Some(Place::Done(result)) => Poll::Ready(Ok(Some(result))),
            Some(running) => {
                self.places.push_front(running);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Pending `times` times, waking itself.
    fn after(mut times: u32, value: u32) -> impl Future<Output = u32> {
        poll_fn(move |cx| {
            if times == 0 {
                return Poll::Ready(value);
            }
            times -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn results_come_in_order_whoever_ends_first() {
        let stop = Stop::idle();
        let mut pipeline = Pipeline::new(3, &stop);
        for (times, value) in [(9, 1), (0, 2), (4, 3)] {
            assert!(!pipeline.is_full());
            pipeline.push(after(times, value));
        }
        assert!(pipeline.is_full());
        let results: Vec<_> =
            std::iter::from_fn(|| pollster::block_on(pipeline.next()).expect("no signal")).collect();
        assert_eq!(results, [1, 2, 3]);
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let stop = Stop::idle();
        let dropped = Cell::new(false);
        struct OnDrop<'a>(&'a Cell<bool>);
        impl Drop for OnDrop<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        {
            let mut pipeline = Pipeline::new(1, &stop);
            let guard = OnDrop(&dropped);
            pipeline.push(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
            std::thread::scope(|scope| {
                scope.spawn(|| stop.signal(2));
                let ended = pollster::block_on(pipeline.next());
                assert!(matches!(ended, Err(Trouble::Stopped(2))));
            });
        }
        assert!(dropped.get());
    }
}
