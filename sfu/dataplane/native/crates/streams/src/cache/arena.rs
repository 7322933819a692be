//! Slots that values keep while they live, each in several orders at once.

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Slots made at once. Lower: more allocations while traffic grows. Higher: a quiet worker holds more than it
/// needs. Chunks never move, so that growing costs no packet a copy of all others.
const CHUNK: usize = 256;

/// Orders that a slot stands in.
const ORDERS: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Links {
    previous: u32,
    next: u32,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    links: [Links; ORDERS],
}

/// The ends of one order; `ORDER` says which of a slot's links are its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<const ORDER: usize> {
    pub(super) first: u32,
    last: u32,
}

impl<const ORDER: usize> Order<ORDER> {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };
}

/// Values under numbers that do not change, and reused slots.
#[derive(Debug)]
pub(super) struct Arena<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    /// The first of the slots without a value; they follow one another by their first links.
    vacant: u32,
}

impl<T> Arena<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), vacant: NONE }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?[slot % CHUNK].value.as_ref()
    }

    /// Keep a value; it is in no order yet.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if self.vacant == NONE {
            self.grow();
        }
        let slot = self.vacant;
        let vacant = self.slot(slot);
        vacant.value = Some(value);
        self.vacant = vacant.links[0].next;
        slot
    }

    /// Take a value out; it must be in no order any more.
    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let vacant = self.vacant;
        let node = self.slot(slot);
        let value = node.value.take()?;
        node.links[0].next = vacant;
        self.vacant = slot;
        Some(value)
    }

    pub(super) fn append<const ORDER: usize>(&mut self, order: &mut Order<ORDER>, slot: u32) {
        self.slot(slot).links[ORDER] = Links { previous: order.last, next: NONE };
        match order.last {
            NONE => order.first = slot,
            last => self.slot(last).links[ORDER].next = slot,
        }
        order.last = slot;
    }

    pub(super) fn unlink<const ORDER: usize>(&mut self, order: &mut Order<ORDER>, slot: u32) {
        let Links { previous, next } = self.slot(slot).links[ORDER];
        match previous {
            NONE => order.first = next,
            previous => self.slot(previous).links[ORDER].next = next,
        }
        match next {
            NONE => order.last = previous,
            next => self.slot(next).links[ORDER].previous = previous,
        }
    }

    fn slot(&mut self, slot: u32) -> &mut Slot<T> {
        let slot = slot as usize;
        &mut self.chunks[slot / CHUNK][slot % CHUNK]
    }

    fn grow(&mut self) {
        let first = (self.chunks.len() * CHUNK) as u32;
        let end = first + CHUNK as u32;
        let vacant = |next| Slot { value: None, links: [Links { previous: NONE, next }; ORDERS] };
        self.chunks
            .push((first + 1..=end).map(|next| vacant(if next == end { NONE } else { next })).collect());
        self.vacant = first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order(arena: &Arena<u32>, order: Order<1>) -> Vec<u32> {
        let mut values = Vec::new();
        let mut slot = order.first;
        while let Some(value) = arena.get(slot) {
            values.push(*value);
            slot = arena.chunks[slot as usize / CHUNK][slot as usize % CHUNK].links[1].next;
        }
        values
    }

    #[test]
    fn slots_are_used_again_and_the_order_holds() {
        let mut arena = Arena::new();
        let mut order = Order::<1>::EMPTY;
        let slots: Vec<u32> = (0..600).map(|value| arena.insert(value)).collect();
        for slot in &slots {
            arena.append(&mut order, *slot);
        }
        for value in [0, 300, 599] {
            arena.unlink(&mut order, slots[value]);
            assert_eq!(arena.remove(slots[value]), Some(value as u32));
            assert_eq!(arena.get(slots[value]), None);
        }
        let chunks = arena.chunks.len();
        for value in 600..600 + 3 {
            let slot = arena.insert(value);
            arena.append(&mut order, slot);
        }
        assert_eq!(arena.chunks.len(), chunks);
        let expected: Vec<u32> = (1..603).filter(|value| ![300, 599].contains(value)).collect();
        assert_eq!(in_order(&arena, order), expected);
    }

    #[test]
    fn nothing_is_where_nothing_was_put() {
        let mut arena = Arena::<u32>::new();
        assert_eq!(arena.get(NONE), None);
        let slot = arena.insert(1);
        assert_eq!(arena.remove(slot), Some(1));
        assert_eq!(arena.remove(slot), None);
    }
}
