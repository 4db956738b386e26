//! Lists in the order they were closed in, in places that are made once.

use super::list::List;
use crate::buffer::{IoBuf, IoBufMut};
use crate::runtime::Runtime;

/// A bounded queue of lists, none of which moves.
pub(super) struct Ring<S: IoBuf, D: IoBufMut> {
    places: Box<[List<S, D>]>,
    /// The oldest.
    first: usize,
    len: usize,
}

impl<S: IoBuf, D: IoBufMut> Ring<S, D> {
    /// With room for `lists_max`, at least one.
    pub(super) fn new(lists_max: usize, runtime: &Runtime) -> Self {
        let places = (0..lists_max.max(1)).map(|_| List::empty(runtime)).collect();
        Self { places, first: 0, len: 0 }
    }

    /// Lists in it.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Where the list of that age is, the oldest being 0.
    fn place(&self, age: usize) -> usize {
        let place = self.first + age;
        if place < self.places.len() { place } else { place - self.places.len() }
    }

    /// The lists, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &List<S, D>> {
        (0..self.len).map(|age| &self.places[self.place(age)])
    }

    /// Calls `f` with each list, oldest first.
    pub(super) fn for_each(&mut self, mut f: impl FnMut(&mut List<S, D>)) {
        for age in 0..self.len {
            let place = self.place(age);
            f(&mut self.places[place]);
        }
    }

    /// Where the next list goes, behind the others. There is room: the group has no more lists than places.
    pub(super) fn push(&mut self) -> &mut List<S, D> {
        assert!(self.len < self.places.len(), "more lists than a group has");
        self.len += 1;
        &mut self.places[self.place(self.len - 1)]
    }

    /// The oldest.
    pub(super) fn oldest(&mut self) -> Option<&mut List<S, D>> {
        if self.len == 0 { None } else { Some(&mut self.places[self.first]) }
    }

    /// The oldest, from which everything has been taken, leaves.
    pub(super) fn pop(&mut self) {
        if self.len != 0 {
            (self.first, self.len) = (self.place(1), self.len - 1);
        }
    }

    /// Drops all lists.
    pub(super) fn clear(&mut self) {
        self.places = Box::default();
        (self.first, self.len) = (0, 0);
    }
}
