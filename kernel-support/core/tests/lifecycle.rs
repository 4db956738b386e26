//! Random lives of a device: bind, report, answer, drop, unbind, exit of an mm, discard, overflow and remove, in any order and with
//! bounds so small that they are met all the time.
//!
//! A model beside the crate predicts each answer from the documented rules alone: what a report returns, what the
//! device is told, what stays taken. At the end everything is let go of in a random order, and then: each group has
//! been answered exactly once, the counters reconcile, nothing is left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::Arc;

use proptest::prelude::*;
use sva_core::*;

#[expect(dead_code, reason = "shared with tests that use the rest")]
mod stage;
use stage::{pasid, Recorder, Stage, Told};

type Std = Stage<sva_core::Std>;

const LIMITS: Limits =
    Limits { groups_max: 3, queued_max: 3, partials_max: 4, open_groups_max: 3, bonds_max: 3 };
const PASIDS: u32 = 4;

#[derive(Clone, Debug)]
enum Step {
    Bind {
        space: u32,
        number: Option<u32>,
        refuse: bool,
    },
    DropBond(usize),
    Unbind(usize),
    PollDetaching(usize),
    DropDetaching(usize),
    Claim(u32),
    ReserveAndCancel(usize),
    DropToken(usize),
    Partial {
        pasid: u32,
        index: u32,
    },
    Last {
        pasid: u32,
        index: u32,
    },
    StopMarker(u32),
    Discard(bool),
    Take,
    Respond(usize, Code),
    Handle(usize, u64),
    DropGroup(usize),
    /// The memory behind an address space goes, whoever is still bound to it.
    Exit(u32),
    Lookup {
        pasid: u32,
        space: u32,
    },
    Quiesce(bool),
    PollDrained,
}

fn step() -> impl Strategy<Value = Step> {
    let pasid = || 1..=PASIDS;
    let index = || 0u32..3;
    let code = prop_oneof![Just(Code::Success), Just(Code::Invalid), Just(Code::Failure)];
    prop_oneof![
        6 => (0u32..3, prop::option::of(pasid()), prop::bool::weighted(0.1))
            .prop_map(|(space, number, refuse)| Step::Bind { space, number, refuse }),
        2 => any::<usize>().prop_map(Step::DropBond),
        2 => any::<usize>().prop_map(Step::Unbind),
        2 => any::<usize>().prop_map(Step::PollDetaching),
        1 => any::<usize>().prop_map(Step::DropDetaching),
        1 => pasid().prop_map(Step::Claim),
        1 => any::<usize>().prop_map(Step::ReserveAndCancel),
        2 => any::<usize>().prop_map(Step::DropToken),
        8 => (pasid(), index()).prop_map(|(pasid, index)| Step::Partial { pasid, index }),
        8 => (pasid(), index()).prop_map(|(pasid, index)| Step::Last { pasid, index }),
        1 => pasid().prop_map(Step::StopMarker),
        1 => any::<bool>().prop_map(Step::Discard),
        6 => Just(Step::Take),
        3 => (any::<usize>(), code).prop_map(|(at, code)| Step::Respond(at, code)),
        2 => (any::<usize>(), 0u64..4).prop_map(|(at, failing)| Step::Handle(at, failing)),
        1 => any::<usize>().prop_map(Step::DropGroup),
        1 => (0u32..3).prop_map(Step::Exit),
        3 => (pasid(), 0u32..3).prop_map(|(pasid, space)| Step::Lookup { pasid, space }),
        1 => any::<bool>().prop_map(Step::Quiesce),
        2 => Just(Step::PollDrained),
    ]
}

/// What the model knows of a PASID.
#[derive(Clone, Debug, PartialEq)]
enum Use {
    Claimed,
    Attached {
        space: u32,
        bonds: usize,
    },
    /// Until `in_flight` groups are answered; then `watched` decides whether it is free or waits for a poll.
    Detaching {
        watched: bool,
    },
}

#[derive(Clone, Debug)]
struct ModelGroup {
    key: (u32, u32),
    /// Addresses, the last one's included.
    addresses: Vec<u64>,
}

#[derive(Default)]
struct OpenGroup {
    addresses: Vec<u64>,
    lost: bool,
}

enum Device {
    Enabled(Iopf<Std, Enabled>),
    Quiesced(Iopf<Std, Quiesced>),
    Removed(IopfStats),
    Moving,
}

struct World {
    told: Arc<Told>,
    table: PasidTable<Std>,
    device: Device,
    reporter: Reporter<Std>,
    queue: Queue<Std>,
    bonds: Vec<Bond<Std>>,
    detachings: Vec<(u32, Detaching<Std, Sva>)>,
    tokens: Vec<Pasid<Std>>,
    groups: Vec<(ModelGroup, FaultGroup<Std>)>,
    // The model.
    uses: BTreeMap<u32, Use>,
    open: BTreeMap<(u32, u32), OpenGroup>,
    queued: VecDeque<ModelGroup>,
    /// Address spaces whose memory has gone.
    exited: BTreeSet<u32>,
    /// What the device must have been told, in order.
    expected: Vec<((u32, u32), Code)>,
    address: u64,
    /// Groups per PASID that reached an attached handle; per-bond counters are checked against it.
    arrived: BTreeMap<u32, u64>,
    reported: u64,
}

impl World {
    fn new() -> Self {
        let told = Arc::new(Told::default());
        let table = PasidTable::try_new(pasid(1), pasid(PASIDS), 3).unwrap();
        let iopf = Iopf::try_new(Recorder::new(told.clone()), table.clone(), LIMITS).unwrap();
        Self {
            reporter: iopf.reporter(),
            queue: iopf.queue(),
            device: Device::Enabled(iopf),
            told,
            table,
            bonds: Vec::new(),
            detachings: Vec::new(),
            tokens: Vec::new(),
            groups: Vec::new(),
            uses: BTreeMap::new(),
            open: BTreeMap::new(),
            queued: VecDeque::new(),
            exited: BTreeSet::new(),
            expected: Vec::new(),
            address: 0x1000,
            arrived: BTreeMap::new(),
            reported: 0,
        }
    }

    fn in_flight(&self, pasid: u32) -> usize {
        let held = self.groups.iter().filter(|(group, _)| group.key.0 == pasid).count();
        held + self.queued.iter().filter(|group| group.key.0 == pasid).count()
    }

    fn owed(&self) -> usize {
        self.groups.len() + self.queued.len()
    }

    fn bound(&self) -> usize {
        self.uses.values().filter(|held| matches!(held, Use::Attached { .. })).count()
    }

    fn room(&self) -> usize {
        let open: usize = self.open.values().map(|open| open.addresses.len()).sum();
        let answering = self.groups.iter().map(|(group, _)| group).chain(&self.queued);
        4 - open - answering.map(|group| group.addresses.len() - 1).sum::<usize>()
    }

    /// A group of `pasid` was answered: an unwatched detach may have ended with it.
    fn answered(&mut self, key: (u32, u32), code: Code) {
        self.expected.push((key, code));
        self.settle(key.0);
    }

    fn settle(&mut self, pasid: u32) {
        if self.uses.get(&pasid) == Some(&Use::Detaching { watched: false }) && self.in_flight(pasid) == 0 {
            self.uses.remove(&pasid);
        }
    }

    fn holder(&self, pasid: u32) -> Option<Holder> {
        Some(match self.uses.get(&pasid)? {
            Use::Claimed => Holder::Claimed,
            Use::Attached { .. } => Holder::Sva,
            Use::Detaching { .. } => Holder::Detaching,
        })
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Bind { space, number, refuse } => self.bind(space, number, refuse),
            Step::DropBond(at) => self.unbind(at, false),
            Step::Unbind(at) => self.unbind(at, true),
            Step::PollDetaching(at) => self.poll_detaching(at),
            Step::DropDetaching(at) => {
                if !self.detachings.is_empty() {
                    let (number, detaching) = self.detachings.swap_remove(at % self.detachings.len());
                    drop(detaching);
                    self.uses.insert(number, Use::Detaching { watched: false });
                    self.settle(number);
                }
            }
            Step::Claim(number) => match self.table.claim(pasid(number)) {
                Ok(token) => {
                    assert_eq!(self.uses.insert(number, Use::Claimed), None);
                    self.tokens.push(token);
                }
                Err(Error::Busy(busy)) => assert_eq!(Some(busy.holder), self.holder(number)),
                Err(Error::TableFull { .. }) => assert_eq!(self.uses.len(), 3),
                Err(other) => panic!("{other}"),
            },
            Step::ReserveAndCancel(at) => {
                if !self.tokens.is_empty() {
                    let reserved = self.tokens.swap_remove(at % self.tokens.len()).reserve();
                    let busy = self.table.lookup::<Sva>(reserved.number(), &0).unwrap_err();
                    assert_eq!(busy.holder, Holder::Reserved);
                    self.tokens.push(reserved.cancel());
                }
            }
            Step::DropToken(at) => {
                if !self.tokens.is_empty() {
                    let token = self.tokens.swap_remove(at % self.tokens.len());
                    self.uses.remove(&token.number().value());
                }
            }
            Step::Partial { pasid, index } => self.partial(pasid, index),
            Step::Last { pasid, index } => self.last(pasid, index),
            Step::StopMarker(number) => {
                self.open.retain(|key, _| key.0 != number);
                let marker = PageRequest::stop_marker(pasid(number));
                assert_eq!(self.reporter.report(marker), Ok(Reported::StopMarker));
            }
            Step::Discard(answer) => {
                let open = self.discard(answer);
                assert_eq!(self.reporter.discard_partials(discard(answer)), open as u64);
                self.accept_any_order(open, answer);
            }
            Step::Take => {
                let (model, group) = (self.queued.pop_front(), self.queue.take());
                match (model, group) {
                    (None, None) => {}
                    (Some(model), Some(group)) => {
                        let addresses: Vec<_> = group.requests().map(|request| request.address()).collect();
                        assert_eq!(addresses, model.addresses);
                        assert_eq!((group.pasid().value(), group.index().0), model.key);
                        self.groups.push((model, group));
                    }
                    (model, group) => panic!("model {model:?}, queue {group:?}"),
                }
            }
            Step::Respond(at, code) => {
                if let Some((model, group)) = self.pick(at) {
                    group.respond(code);
                    self.answered(model.key, code);
                }
            }
            Step::Handle(at, failing) => {
                if let Some((model, group)) = self.pick(at) {
                    let fails = model.addresses.get(usize::try_from(failing).unwrap()).copied();
                    let space = group.space().expect("a group in flight holds its address space").name;
                    let gone = self.exited.contains(&space);
                    let mut populate = |populated: &stage::Named, request: &PageRequest| {
                        assert_eq!(populated.name, space);
                        // What `mmget_not_zero` is for.
                        if gone || Some(request.address()) == fails {
                            Err(Unresolved::Invalid)
                        } else {
                            Ok(())
                        }
                    };
                    let code = if gone || fails.is_some() { Code::Invalid } else { Code::Success };
                    assert_eq!(handle(group, &mut populate), code);
                    self.answered(model.key, code);
                }
            }
            Step::DropGroup(at) => {
                if let Some((model, group)) = self.pick(at) {
                    drop(group);
                    self.answered(model.key, Code::Invalid);
                }
            }
            Step::Exit(space) => {
                self.exited.insert(space);
            }
            Step::Lookup { pasid: number, space } => {
                let found = self.table.lookup::<Sva>(pasid(number), &space);
                match self.uses.get(&number) {
                    None => assert!(matches!(found, Ok(None))),
                    Some(Use::Attached { space: attached, .. }) if *attached == space => {
                        assert_eq!(found.unwrap().unwrap().payload().name, space);
                    }
                    Some(_) => assert_eq!(Some(found.unwrap_err().holder), self.holder(number)),
                }
            }
            Step::Quiesce(answer) => self.quiesce(answer),
            Step::PollDrained => self.poll_drained(),
        }
        self.check();
    }

    fn pick(&mut self, at: usize) -> Option<(ModelGroup, FaultGroup<Std>)> {
        (!self.groups.is_empty()).then(|| self.groups.swap_remove(at % self.groups.len()))
    }

    fn bind(&mut self, space: u32, number: Option<u32>, refuse: bool) {
        let Device::Enabled(iopf) = &self.device else { return };
        let choice = number.map_or(PasidChoice::Any, |number| PasidChoice::Number(pasid(number)));
        self.told.refuse.store(refuse, Ordering::Relaxed);
        let bound = iopf.bind(self.told.named(space), choice);
        let refused = refuse && !self.told.refuse.swap(false, Ordering::Relaxed);
        let shares = self.uses.iter().find_map(|(number, held)| match held {
            Use::Attached { space: attached, .. } if *attached == space => Some(*number),
            _ => None,
        });
        match bound {
            Ok(bond) => {
                assert!(!refused);
                let at = bond.pasid().value();
                assert!(number.is_none_or(|number| number == at));
                match self.uses.get_mut(&at) {
                    Some(Use::Attached { space: attached, bonds }) if *attached == space => *bonds += 1,
                    None => {
                        assert_eq!(shares, None);
                        self.uses.insert(at, Use::Attached { space, bonds: 1 });
                        self.arrived.insert(at, 0);
                    }
                    Some(other) => panic!("bound {space} at {at}, which is {other:?}"),
                }
                self.bonds.push(bond);
            }
            Err(Error::Busy(busy)) => assert_eq!(Some(busy.holder), self.holder(number.unwrap())),
            Err(Error::BoundElsewhere { pasid }) => assert_eq!(Some(pasid.value()), shares),
            Err(Error::TableFull { .. }) => assert_eq!(self.uses.len(), 3),
            Err(Error::BondsFull { .. }) => assert_eq!(self.bound(), 3),
            Err(Error::Hardware(_)) => assert!(refused),
            Err(other) => panic!("{other}"),
        }
    }

    fn unbind(&mut self, at: usize, watched: bool) {
        if self.bonds.is_empty() {
            return;
        }
        let bond = self.bonds.swap_remove(at % self.bonds.len());
        let number = bond.pasid().value();
        let stats = bond.stats();
        assert_eq!(stats.groups, self.arrived[&number]);
        assert_eq!(
            stats.groups - stats.success - stats.invalid - stats.failure,
            self.in_flight(number) as u64
        );
        let detaching = if watched { bond.unbind() } else { None };
        let Some(Use::Attached { bonds, .. }) = self.uses.get_mut(&number) else {
            panic!("bond of a PASID that is not attached")
        };
        *bonds -= 1;
        if *bonds > 0 {
            assert!(detaching.is_none());
            return;
        }
        assert_eq!(detaching.is_some(), watched);
        self.detachings.extend(detaching.map(|detaching| (number, detaching)));
        self.uses.insert(number, Use::Detaching { watched });
        self.settle(number);
    }

    fn poll_detaching(&mut self, at: usize) {
        if self.detachings.is_empty() {
            return;
        }
        let (number, detaching) = self.detachings.swap_remove(at % self.detachings.len());
        assert_eq!(detaching.in_flight() as usize, self.in_flight(number));
        match detaching.poll_drained() {
            Ok(token) => {
                assert_eq!(self.in_flight(number), 0);
                self.uses.insert(number, Use::Claimed);
                self.tokens.push(token);
            }
            Err(detaching) => {
                assert_ne!(self.in_flight(number), 0);
                self.detachings.push((number, detaching));
            }
        }
    }

    fn request(&mut self, number: u32, index: u32) -> PageRequest {
        self.reported += 1;
        self.address += 0x1000;
        PageRequest::new(pasid(number), GroupIndex(index), self.address, Access::READ)
    }

    fn partial(&mut self, number: u32, index: u32) {
        let request = self.request(number, index).with_last(false);
        let (room, open_groups) = (self.room(), self.open.len());
        let reported = self.reporter.report(request);
        let expected = match self.device {
            Device::Enabled(_) => {
                let key = (number, index);
                if !self.open.contains_key(&key) && open_groups == 3 {
                    Err(Reason::PartialLost)
                } else {
                    let open = self.open.entry(key).or_default();
                    if open.lost || room == 0 {
                        *open = OpenGroup { addresses: Vec::new(), lost: true };
                        Err(Reason::PartialLost)
                    } else {
                        open.addresses.push(request.address());
                        Ok(Reported::Partial)
                    }
                }
            }
            Device::Removed(_) => Err(Reason::Closed),
            _ => Err(Reason::NotEnabled),
        };
        assert_eq!(reported.map_err(|refused| refused.reason), expected);
        assert!(reported.err().is_none_or(|refused| !refused.answered));
    }

    fn last(&mut self, number: u32, index: u32) {
        let request = self.request(number, index);
        let key = (number, index);
        let full = self.owed() >= 3;
        let reported = self.reporter.report(request);
        if matches!(self.device, Device::Removed(_)) {
            let refused = reported.unwrap_err();
            return assert_eq!((refused.reason, refused.answered), (Reason::Closed, false));
        }
        let mut open = self.open.remove(&key).unwrap_or_default();
        open.addresses.push(request.address());
        let attached = matches!(self.uses.get(&number), Some(Use::Attached { .. }));
        let expected = if !attached {
            let busy = self.holder(number).map(|holder| Busy { pasid: pasid(number), holder });
            Err(Reason::Unattached(busy))
        } else if !matches!(self.device, Device::Enabled(_)) {
            Err(Reason::NotEnabled)
        } else if open.lost {
            Err(Reason::GroupLost)
        } else if full {
            Err(Reason::QueueFull { groups_max: 3 })
        } else {
            Ok(Reported::Queued)
        };
        assert_eq!(reported.map_err(|refused| refused.reason), expected);
        if attached {
            *self.arrived.entry(number).or_default() += 1;
        }
        match expected {
            Ok(_) => self.queued.push_back(ModelGroup { key, addresses: open.addresses }),
            Err(_) => {
                assert!(reported.unwrap_err().answered);
                self.answered(key, Code::Invalid);
            }
        }
    }

    /// What a discard does to the model; the answers' order is the crate's to choose.
    fn discard(&mut self, answer: bool) -> usize {
        let open = std::mem::take(&mut self.open);
        if answer {
            for key in open.keys() {
                if matches!(self.uses.get(&key.0), Some(Use::Attached { .. })) {
                    *self.arrived.entry(key.0).or_default() += 1;
                }
                self.expected.push((*key, Code::Invalid));
            }
        }
        open.len()
    }

    /// Sorts the last `count` answers on both sides.
    fn accept_any_order(&mut self, count: usize, answered: bool) {
        let count = if answered { count } else { 0 };
        let mut told = self.told.responses.lock().unwrap();
        let from = told.len() - count;
        told[from..].sort_by_key(|response| (response.pasid, response.index));
    }

    fn quiesce(&mut self, answer: bool) {
        self.device = match std::mem::replace(&mut self.device, Device::Moving) {
            Device::Enabled(iopf) => {
                let open = self.discard(answer);
                let iopf = iopf.quiesce(discard(answer));
                self.accept_any_order(open, answer);
                Device::Quiesced(iopf)
            }
            other => other,
        };
    }

    fn poll_drained(&mut self) {
        let idle = self.owed() == 0 && self.bound() == 0;
        self.device = match std::mem::replace(&mut self.device, Device::Moving) {
            Device::Quiesced(iopf) => match iopf.poll_drained() {
                Ok(drained) => {
                    assert!(idle);
                    let stats = drained.remove();
                    self.told.removed.store(true, Ordering::Relaxed);
                    Device::Removed(stats)
                }
                Err(iopf) => {
                    assert!(!idle);
                    Device::Quiesced(iopf)
                }
            },
            other => other,
        };
    }

    fn check(&self) {
        let told = self.told.answers();
        let told: Vec<_> = told.iter().map(|told| ((told.pasid.value(), told.index.0), told.code)).collect();
        assert_eq!(told, self.expected);
        assert_eq!(self.table.in_use(), self.uses.len());
        let programmed: Vec<_> = self.told.programmed.lock().unwrap().iter().map(|at| at.value()).collect();
        let attached = self.uses.iter().filter(|(_, held)| matches!(held, Use::Attached { .. }));
        assert_eq!(programmed, attached.map(|(number, _)| *number).collect::<Vec<_>>());
        let held = match &self.device {
            Device::Enabled(iopf) => iopf.held(),
            Device::Quiesced(iopf) => iopf.held(),
            _ => return,
        };
        assert_eq!(held.groups as usize, self.owed());
        assert_eq!(held.bonds, self.bound());
        assert_eq!(held.open_groups, self.open.len());
        assert_eq!(held.free_partials as usize, self.room());
    }

    /// Lets go of everything, in an order that `order` chooses, and looks at what is left.
    fn end(mut self, mut order: u64) {
        while !(self.groups.is_empty() && self.bonds.is_empty() && self.detachings.is_empty()) {
            let at = usize::try_from(order % 97).unwrap();
            self.run(match order % 4 {
                0 => Step::DropGroup(at),
                1 => Step::DropBond(at),
                2 => Step::DropDetaching(at),
                _ => Step::Take,
            });
            order = order.rotate_right(3).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        }
        self.tokens.clear();
        self.uses.retain(|_, held| *held != Use::Claimed);
        self.run(Step::Quiesce(true));
        if let Device::Quiesced(iopf) = &self.device {
            assert_eq!(iopf.answer_queued(), self.queued.len());
        }
        while let Some(group) = self.queued.pop_front() {
            self.answered(group.key, Code::Invalid);
        }
        self.run(Step::PollDrained);
        let Device::Removed(stats) = &self.device else { panic!("not drained") };
        assert_eq!(stats.groups, stats.success + stats.invalid + stats.failure);
        assert_eq!(stats.groups, self.expected.len() as u64);
        let last: u64 = self.expected.iter().filter(|(_, code)| *code == Code::Success).count() as u64;
        assert_eq!(stats.success, last);
        assert!(stats.requests <= self.reported);
        assert_eq!(self.table.in_use(), 0);
        let told = self.told.clone();
        drop(self);
        assert_eq!(told.alive(), 0, "address spaces left");
        assert!(told.programmed.lock().unwrap().is_empty());
    }
}

fn discard(answer: bool) -> Discard {
    if answer {
        Discard::AnswerInvalid
    } else {
        Discard::Forget
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_group_is_answered_once_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..120),
        order in any::<u64>(),
    ) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.end(order);
    }
}
