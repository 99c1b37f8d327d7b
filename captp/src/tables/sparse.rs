//! A table whose positions the peer chooses.

use std::collections::HashMap;

/// Maps positions to entries: an array while positions are dense, which honest
/// peers' are, and a map keyed with a random hash for the rest, so that a peer that
/// picks its positions badly costs itself speed and us nothing.
#[derive(Debug)]
pub(crate) struct Sparse<T> {
    dense: Vec<Option<T>>,
    rest: HashMap<u64, T>,
    len: usize,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { dense: Vec::new(), rest: HashMap::new(), len: 0 }
    }
}

impl<T> Sparse<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The array may be this long: a small multiple of what is in the table.
    fn dense_bound(&self) -> u64 {
        2 * self.len as u64 + 64
    }

    pub(crate) fn get(&self, pos: u64) -> Option<&T> {
        match usize::try_from(pos).ok().and_then(|index| self.dense.get(index)) {
            Some(Some(entry)) => Some(entry),
            _ if self.rest.is_empty() => None,
            _ => self.rest.get(&pos),
        }
    }

    pub(crate) fn get_mut(&mut self, pos: u64) -> Option<&mut T> {
        match usize::try_from(pos).ok().and_then(|index| self.dense.get_mut(index)) {
            Some(Some(entry)) => Some(entry),
            _ if self.rest.is_empty() => None,
            _ => self.rest.get_mut(&pos),
        }
    }

    /// Puts an entry where there is none.
    pub(crate) fn insert(&mut self, pos: u64, entry: T) {
        debug_assert!(self.get(pos).is_none(), "position {pos} is taken");
        let index = usize::try_from(pos).unwrap_or(usize::MAX);
        if let Some(place) = self.dense.get_mut(index) {
            *place = Some(entry);
        } else if pos < self.dense_bound() {
            self.dense.resize_with(index, || None);
            self.dense.push(Some(entry));
        } else {
            self.rest.insert(pos, entry);
        }
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, pos: u64) -> Option<T> {
        let dense = usize::try_from(pos).ok().and_then(|index| self.dense.get_mut(index)?.take());
        let entry = match dense {
            Some(entry) => {
                while matches!(self.dense.last(), Some(None)) {
                    self.dense.pop();
                }
                entry
            }
            None => self.rest.remove(&pos)?,
        };
        self.len -= 1;
        Some(entry)
    }

    /// Every entry with its position, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let dense = (0..).zip(&self.dense).filter_map(|(pos, entry)| Some((pos, entry.as_ref()?)));
        dense.chain(self.rest.iter().map(|(pos, entry)| (*pos, entry)))
    }

    /// Every entry, in no particular order.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.dense.into_iter().flatten().chain(self.rest.into_values())
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
        assert!(table.dense.len() <= 256);
        assert_eq!(table.len(), 64);
        for shift in 0..64 {
            assert_eq!(table.remove(1 << shift), Some(shift));
        }
        assert!(table.dense.is_empty() && table.rest.is_empty());
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
