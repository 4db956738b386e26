//! Engines on a virtual clock.

use super::Served;

/// The engines of a device, taking descriptors in the order in which they come: modelled, and no measurement of
/// hardware.
///
/// The clock is the caller's: times are nanoseconds from a beginning of its choice, and calls come in their order.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// When each engine is free.
    free: Vec<f64>,
    now: f64,
}

/// A descriptor's way through a [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// When an engine took it.
    pub start: f64,
    /// When the engine was free again.
    pub engine_free: f64,
    /// When its submitter sees the record.
    pub end: f64,
}

impl Schedule {
    /// This many engines, at least one, all free at 0.
    pub fn new(engines: usize) -> Self {
        Self { free: vec![0.0; engines.max(1)], now: 0.0 }
    }

    /// A descriptor comes at `at`. One that is said to come before its predecessor comes with that.
    ///
    /// The engine that is free first takes it. While `n` engines move bytes each moves them at an `n`th of the device's
    /// rate; how many is looked at when a descriptor begins.
    pub fn submit(&mut self, at: f64, served: &Served) -> Ended {
        self.now = self.now.max(at);
        let Some(engine) = self.free.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)) else {
            unreachable!("at least one engine")
        };
        let start = self.now.max(engine.1);
        let busy = self.free.iter().filter(|free| **free > start).count();
        let moving = if served.transfer_ns > 0.0 { served.transfer_ns * count(busy + 1) } else { 0.0 };
        let engine_free = start + served.engine_ns.max(moving) + served.stall_ns;
        self.free[engine.0] = engine_free;
        Ended { start, engine_free, end: engine_free + served.tail_ns }
    }
}

fn count(engines: usize) -> f64 {
    u32::try_from(engines).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Timing;

    #[test]
    fn descriptors_wait_for_an_engine_in_their_order() {
        let timing = Timing::default();
        let (large, small) = (Served::operation(&timing, 2 << 20), Served::operation(&timing, 4096));
        let mut one = Schedule::new(1);
        let first = one.submit(0.0, &large);
        let second = one.submit(10.0, &small);
        assert_eq!(first, Ended { start: 0.0, engine_free: large.engine_ns, end: large.alone_ns() });
        assert_eq!((second.start, second.end), (first.engine_free, first.engine_free + small.alone_ns()));
        // A second engine is free, and shares the rate.
        let mut two = Schedule::new(2);
        two.submit(0.0, &large);
        let beside = two.submit(10.0, &small);
        assert_eq!(beside.end - 10.0, small.alone_ns() + small.transfer_ns);
    }

    #[test]
    fn an_engine_waits_for_page_requests_and_others_with_it() {
        let timing = Timing::default();
        let blocked = Served::operation(&timing, 4096).with_page_requests(&timing, 3);
        let mut engine = Schedule::new(1);
        let ended = engine.submit(0.0, &blocked);
        assert!((ended.engine_free - blocked.engine_ns - 3.0 * timing.page_request_ns()).abs() < 1e-6);
        assert_eq!(engine.submit(1.0, &Served::operation(&timing, 0)).start, ended.engine_free);
    }
}
