//! Which of several queues a job goes to, when more than one would do.
//!
//! Of the devices that can do a job and are up: those on the memory node of its buffers, if that matters; of these, the
//! one this thread usually goes to, unless another that is looked at in turn has clearly less to do. Two are looked at,
//! however many there are: it balances nearly as well as looking at all, and threads stay out of each other's cache
//! lines. A runtime with one device never comes here.

mod node;

use std::cell::Cell;

use crate::job::{Operation, Operations};
use crate::sync::{AtomicU32, Ordering};

pub(crate) use node::Nodes;

/// Queues that can be told apart here.
pub(crate) const QUEUES_MAX: usize = 64;

/// What a job in flight weighs besides its bytes: what a descriptor costs a device, in bytes copied.
pub(crate) const JOB_WEIGHT: u64 = 4096;

/// How much more the usual queue may have to do before another is preferred.
const SLACK: u64 = 64 << 10;

/// What is known of a queue when the runtime starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// A device, of the kind of the first device.
    pub(crate) is_peer: bool,
    /// Operations that it takes whatever the job's addresses and sizes.
    pub(crate) any: Operations,
    /// Where it is.
    pub(crate) numa_node: Option<u16>,
}

/// The queues that stand in for each other.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Queues that stand in for each other: one bit each.
    peers: u64,
    /// For each operation, those that take it.
    sets: Box<[u64]>,
    /// Devices among which the node is a reason to choose.
    nodes: Option<Nodes>,
    numa_nodes: Box<[Option<u16>]>,
}

impl Choice {
    /// None when there is nothing to choose: fewer than two devices.
    pub(crate) fn new(queues: impl Iterator<Item = Peer>) -> Option<Self> {
        let queues: Vec<Peer> = queues.take(QUEUES_MAX).collect();
        if queues.iter().filter(|queue| queue.is_peer).count() < 2 {
            return None;
        }
        let set = |operation: Operation| {
            let takes = |(_, queue): &(u32, &Peer)| queue.is_peer && queue.any.contains(operation);
            (0_u32..).zip(&queues).filter(takes).fold(0, |set, (index, _)| set | 1_u64 << index)
        };
        let known = queues.iter().filter(|queue| queue.is_peer).map(|queue| queue.numa_node);
        let several = known.clone().any(|node| node.is_some() && node != queues_first(&queues));
        let peers = (0_u32..).zip(&queues).filter(|(_, queue)| queue.is_peer);
        Some(Self {
            peers: peers.fold(0, |peers, (index, _)| peers | 1 << index),
            sets: Operation::ALL.into_iter().map(set).collect(),
            nodes: several.then(Nodes::new),
            numa_nodes: queues.iter().map(|queue| queue.numa_node).collect(),
        })
    }

    /// Whether the queue with this number is one of those that stand in for each other.
    pub(crate) fn is_peer(&self, index: usize) -> bool {
        index < QUEUES_MAX && self.peers >> index & 1 != 0
    }

    /// The peers that take any job with this operation.
    #[inline]
    pub(crate) fn set(&self, operation: Operation) -> u64 {
        self.sets.get(operation as usize).copied().unwrap_or(0)
    }

    /// How to find the node of a buffer; none when all devices are on one.
    #[inline]
    pub(crate) const fn nodes(&self) -> Option<&Nodes> {
        self.nodes.as_ref()
    }

    /// One of `set`, which is not empty, for a job of `weight` on memory of this node.
    #[inline]
    pub(crate) fn pick(
        &self,
        set: u64,
        node: Option<u16>,
        weight: u64,
        turn: Turn,
        load: impl Fn(usize) -> u64,
    ) -> usize {
        let near = node.map_or(set, |node| self.on(set, node));
        if near == 0 || near == set {
            return lighter(set, turn, &load);
        }
        let local = lighter(near, turn, &load);
        let remote = lighter(set & !near, turn, &load);
        // Crossing nodes is worth it when the near ones have twice as much to do.
        if load(local) > 2 * load(remote) + weight.max(SLACK) { remote } else { local }
    }

    fn on(&self, set: u64, node: u16) -> u64 {
        let is_near = |(_, at): &(u32, &Option<u16>)| **at == Some(node);
        let near =
            (0_u32..).zip(&self.numa_nodes).filter(is_near).fold(0, |near, (index, _)| near | 1 << index);
        set & near
    }
}

fn queues_first(queues: &[Peer]) -> Option<u16> {
    queues.iter().filter(|queue| queue.is_peer).find_map(|queue| queue.numa_node)
}

/// The usual one of `set`, or another with clearly less to do.
#[inline]
fn lighter(set: u64, turn: Turn, load: impl Fn(usize) -> u64) -> usize {
    let len = set.count_ones();
    let usual = nth(set, turn.home % len);
    if len == 1 {
        return usual;
    }
    let other = nth(set, (turn.home + 1 + turn.count % (len - 1)) % len);
    if load(usual) > load(other) + SLACK { other } else { usual }
}

/// The number of the n-th bit that is set, of at least that many.
#[inline]
fn nth(set: u64, n: u32) -> usize {
    let mut set = set;
    for _ in 0..n {
        set &= set.wrapping_sub(1);
    }
    set.trailing_zeros() as usize
}

/// What a thread brings along: its number, and how often it has chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    home: u32,
    count: u32,
}

impl Turn {
    /// This thread's next.
    #[inline]
    pub(crate) fn next() -> Self {
        static THREADS: AtomicU32 = AtomicU32::new(0);
        thread_local! {
            static TURN: Cell<Turn> = const { Cell::new(Turn { home: u32::MAX, count: 0 }) };
        }
        TURN.with(|turn| {
            let Self { mut home, count } = turn.get();
            if home == u32::MAX {
                home = THREADS.fetch_add(1, Ordering::Relaxed) % (1 << 16);
            }
            turn.set(Self { home, count: count.wrapping_add(1) });
            Self { home, count }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: Operations = Operations::NONE.with(Operation::Copy);

    fn choice(nodes: &[Option<u16>]) -> Choice {
        let peers = nodes.iter().map(|numa_node| Peer { is_peer: true, any: COPY, numa_node: *numa_node });
        Choice::new(peers).expect("several devices")
    }

    fn turn(home: u32, count: u32) -> Turn {
        Turn { home, count }
    }

    #[test]
    fn one_device_is_no_choice() {
        let peer = Peer { is_peer: true, any: COPY, numa_node: None };
        let cpu = Peer { is_peer: false, ..peer };
        assert!(Choice::new([peer, cpu].into_iter()).is_none());
        let choice = Choice::new([peer, cpu, peer].into_iter()).expect("two devices");
        assert_eq!((choice.set(Operation::Copy), choice.set(Operation::Fill)), (0b101, 0));
    }

    #[test]
    fn threads_have_queues_of_their_own_while_these_are_idle() {
        let choice = choice(&[None; 4]);
        for home in 0..8 {
            for count in 0..8 {
                let picked = choice.pick(0b1111, None, 4096, turn(home, count), |_| 0);
                assert_eq!(picked, (home % 4) as usize);
            }
        }
    }

    #[test]
    fn a_loaded_queue_is_left_for_one_with_less_to_do() {
        let choice = choice(&[None; 4]);
        let load = |index: usize| if index == 1 { 10 << 20 } else { 1000 };
        let picked: Vec<_> =
            (0..3).map(|count| choice.pick(0b1111, None, 4096, turn(1, count), load)).collect();
        assert_eq!(picked, [2, 3, 0], "each of the others in turn");
        assert_eq!(choice.pick(0b0010, None, 4096, turn(1, 0), load), 1, "the only one there is");
    }

    #[test]
    fn buffers_go_to_devices_of_their_node() {
        let choice = choice(&[Some(0), Some(0), Some(1), Some(1)]);
        assert!(choice.nodes().is_some());
        for home in 0..4 {
            assert!(choice.pick(0b1111, Some(0), 4096, turn(home, 0), |_| 0) < 2);
            assert!(choice.pick(0b1111, Some(1), 4096, turn(home, 0), |_| 0) >= 2);
            // Those of the node are out, or it has none.
            assert!(choice.pick(0b0011, Some(1), 4096, turn(home, 0), |_| 0) < 2);
            let far = choice.pick(0b1111, Some(7), 4096, turn(home, 0), |_| 0);
            assert_eq!(far, home as usize);
        }
    }

    #[test]
    fn a_busy_node_gives_way_when_it_has_twice_as_much_to_do() {
        let choice = choice(&[Some(0), Some(1)]);
        let pick = |local: u64, remote: u64| {
            choice.pick(0b11, Some(0), 4096, turn(0, 0), |index| if index == 0 { local } else { remote })
        };
        assert_eq!(pick(10 << 20, 8 << 20), 0);
        assert_eq!(pick(20 << 20, 8 << 20), 1);
        assert_eq!(pick(SLACK, 0), 0);
    }

    #[test]
    fn devices_on_one_node_do_not_ask_for_nodes() {
        assert!(choice(&[Some(1), Some(1)]).nodes().is_none());
        assert!(choice(&[None, None]).nodes().is_none());
        assert!(choice(&[None, Some(0), Some(1)]).nodes().is_some());
    }
}
