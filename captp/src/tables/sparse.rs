//! A table whose positions the peer chooses.

use std::collections::HashMap;

use super::hash::Seeded;

/// How many positions a page of the array has.
const PAGE: usize = 32;

/// How many pages are kept when nothing is left in them.
const KEPT: usize = 8;

/// Maps positions to entries: an array while positions are dense, which honest
/// peers' are, and a map keyed with a random hash for the rest, so that a peer that
/// picks its positions badly costs itself speed and us nothing.
#[derive(Debug)]
pub(crate) struct Sparse<T> {
    /// The array, in pages that come and go with what is in them.
    dense: Vec<Page<T>>,
    rest: HashMap<u64, T, Seeded>,
    len: usize,
    /// The most there was since the table was last empty.
    most: usize,
    /// The most there was before that, since it was empty the time before. Peers that have
    /// let go of many positions may well use the highest first, and are taken to be about
    /// to use as many again.
    most_before: usize,
}

/// [`PAGE`] places, or nothing.
#[derive(Debug)]
struct Page<T> {
    places: Box<[Option<T>]>,
    len: usize,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { places: Box::default(), len: 0 }
    }
}

/// The page of a position in the array, and the place there.
fn place(pos: u64) -> (usize, usize) {
    let index = usize::try_from(pos).unwrap_or(usize::MAX);
    (index / PAGE, index % PAGE)
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { dense: Vec::new(), rest: HashMap::default(), len: 0, most: 0, most_before: 0 }
    }
}

impl<T> Sparse<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The array may be made this long: a small multiple of what is in the table, or was.
    /// To have it made once more a peer has to fill the table once more, too.
    fn dense_bound(&self) -> u64 {
        2 * self.len.max(self.most_before) as u64 + 64
    }

    pub(crate) fn get(&self, pos: u64) -> Option<&T> {
        let (page, place) = place(pos);
        match self.dense.get(page).and_then(|page| page.places.get(place)) {
            Some(Some(entry)) => Some(entry),
            _ if self.rest.is_empty() => None,
            _ => self.rest.get(&pos),
        }
    }

    pub(crate) fn get_mut(&mut self, pos: u64) -> Option<&mut T> {
        let (page, place) = place(pos);
        match self.dense.get_mut(page).and_then(|page| page.places.get_mut(place)) {
            Some(Some(entry)) => Some(entry),
            _ if self.rest.is_empty() => None,
            _ => self.rest.get_mut(&pos),
        }
    }

    /// Puts an entry where there is none.
    pub(crate) fn insert(&mut self, pos: u64, entry: T) {
        debug_assert!(self.get(pos).is_none(), "position {pos} is taken");
        let (number, place) = place(pos);
        if number >= self.dense.len() && pos < self.dense_bound() {
            self.dense.resize_with(number + 1, Page::default);
        }
        match self.dense.get_mut(number) {
            Some(page) => {
                if page.places.is_empty() {
                    page.places = std::iter::repeat_with(|| None).take(PAGE).collect();
                }
                if let Some(place) = page.places.get_mut(place) {
                    *place = Some(entry);
                }
                page.len += 1;
            }
            None => {
                self.rest.insert(pos, entry);
            }
        }
        self.len += 1;
        self.most = self.most.max(self.len);
    }

    pub(crate) fn remove(&mut self, pos: u64) -> Option<T> {
        let entry = match self.remove_dense(pos) {
            Some(entry) => entry,
            None => self.rest.remove(&pos)?,
        };
        self.len -= 1;
        if self.len == 0 {
            self.most_before = std::mem::take(&mut self.most);
            if self.dense.len() > KEPT {
                self.dense = Vec::new();
            }
            if self.rest.capacity() > KEPT * PAGE {
                self.rest = HashMap::default();
            }
        }
        Some(entry)
    }

    fn remove_dense(&mut self, pos: u64) -> Option<T> {
        let (number, place) = place(pos);
        let page = self.dense.get_mut(number)?;
        let entry = page.places.get_mut(place)?.take()?;
        page.len -= 1;
        if page.len == 0 && number >= KEPT {
            *page = Page::default();
        }
        Some(entry)
    }

    /// Every entry with its position, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let pages = (0..).step_by(PAGE).zip(&self.dense);
        let dense = pages.flat_map(|(first, page)| (first..).zip(&page.places));
        let dense = dense.filter_map(|(pos, entry)| Some((pos, entry.as_ref()?)));
        dense.chain(self.rest.iter().map(|(pos, entry)| (*pos, entry)))
    }

    /// Every entry, in no particular order.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        let dense = self.dense.into_iter().flat_map(|page| page.places).flatten();
        dense.chain(self.rest.into_values())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn far_apart_positions_cost_no_array() {
        let mut table = Sparse::default();
        for shift in 0..64 {
            table.insert(1 << shift, shift);
        }
        assert!(table.dense.len() <= 256 / PAGE);
        assert_eq!(table.len(), 64);
        for shift in 0..64 {
            assert_eq!(table.remove(1 << shift), Some(shift));
        }
        assert!(table.dense.len() <= KEPT && table.rest.is_empty());
    }

    #[test]
    fn positions_used_again_from_the_highest_on_find_their_array() {
        let mut table = Sparse::default();
        (0..1000).for_each(|pos| table.insert(pos, pos));
        (0..1000).for_each(|pos| assert_eq!(table.remove(pos), Some(pos)));
        assert!(table.dense.is_empty(), "memory goes back");
        (0..1000).rev().for_each(|pos| table.insert(pos, pos));
        assert!(table.rest.is_empty());
        (0..1000).for_each(|pos| assert_eq!(table.remove(pos), Some(pos)));
        // Who has not filled the table again gets no long array again.
        table.insert(5, 5);
        table.remove(5);
        table.insert(1999, 1999);
        assert!(table.dense.is_empty() || table.dense.len() <= KEPT);
    }

    #[test]
    fn memory_goes_back_though_a_few_entries_stay() {
        let mut table = Sparse::default();
        (0..10_000).for_each(|pos| table.insert(pos, pos));
        let stays = |pos: u64| pos.is_multiple_of(5000);
        (0..10_000).filter(|pos| !stays(*pos)).for_each(|pos| {
            assert_eq!(table.remove(pos), Some(pos));
        });
        let places: usize = table.dense.iter().map(|page| page.places.len()).sum();
        assert!(places <= (KEPT + 1) * PAGE, "{places}");
        (0..10_000).filter(|pos| !stays(*pos)).for_each(|pos| table.insert(pos, pos));
        assert!(table.rest.is_empty());
        assert_eq!(table.iter().count(), 10_000);
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(script in prop::collection::vec((0u64..200, any::<bool>()), 0..400)) {
            let mut table = Sparse::default();
            let mut model = BTreeMap::new();
            for (step, (pos, remove)) in script.into_iter().enumerate() {
                let pos = if pos > 150 { pos << 40 } else { pos };
                if remove || model.contains_key(&pos) {
                    prop_assert_eq!(table.remove(pos), model.remove(&pos));
                } else {
                    table.insert(pos, step);
                    model.insert(pos, step);
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.get(pos), model.get(&pos));
            }
            let all: BTreeMap<_, _> = table.iter().map(|(pos, entry)| (pos, *entry)).collect();
            prop_assert_eq!(all, model);
        }
    }
}
