//! A table whose positions we choose.

use std::collections::BTreeSet;

use slab::Slab;

/// How many entries a page has.
const PAGE: usize = 64;

/// Gives entries positions, and uses those of removed ones again, in low pages first.
///
/// Entries stand in pages, and what a page takes goes back with the last entry in it: it
/// does not wait for what stands elsewhere, nor is anything moved when there is more.
pub(crate) struct Paged<T> {
    pages: Vec<Slab<T>>,
    /// Which pages have room.
    roomy: BTreeSet<usize>,
    len: usize,
}

impl<T> Paged<T> {
    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new(), roomy: BTreeSet::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, pos: usize) -> Option<&T> {
        self.pages.get(pos / PAGE)?.get(pos % PAGE)
    }

    pub(crate) fn get_mut(&mut self, pos: usize) -> Option<&mut T> {
        self.pages.get_mut(pos / PAGE)?.get_mut(pos % PAGE)
    }

    /// Puts an entry somewhere, and says where.
    pub(crate) fn insert(&mut self, entry: T) -> usize {
        let number = self.roomy.first().copied().unwrap_or(self.pages.len());
        if number == self.pages.len() {
            self.pages.push(Slab::new());
            self.roomy.insert(number);
        }
        self.len += 1;
        let Some(page) = self.pages.get_mut(number) else {
            unreachable!("a page with room is a page")
        };
        let within = page.insert(entry);
        if page.len() == PAGE {
            self.roomy.remove(&number);
        }
        number * PAGE + within
    }

    pub(crate) fn remove(&mut self, pos: usize) -> Option<T> {
        let number = pos / PAGE;
        let page = self.pages.get_mut(number)?;
        let was_full = page.len() == PAGE;
        let entry = page.try_remove(pos % PAGE)?;
        self.len -= 1;
        if was_full {
            self.roomy.insert(number);
        }
        if page.is_empty() {
            *page = Slab::new();
            self.forget_last_pages();
        }
        Some(entry)
    }

    fn forget_last_pages(&mut self) {
        while self.pages.pop_if(|page| page.is_empty()).is_some() {
            self.roomy.remove(&self.pages.len());
        }
        if self.pages.capacity() > 4 * self.pages.len() + PAGE {
            self.pages.shrink_to(2 * self.pages.len());
        }
    }

    /// Every entry with its position, in the order of positions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let pages = self.pages.iter().enumerate();
        pages.flat_map(|(number, page)| {
            page.iter().map(move |(within, entry)| (number * PAGE + within, entry))
        })
    }

    /// Every entry, in the order of positions.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.pages.into_iter().flatten().map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn bytes<T>(table: &Paged<T>) -> usize {
        let entries: usize = table.pages.iter().map(Slab::capacity).sum();
        entries * size_of::<T>() + table.pages.capacity() * size_of::<Slab<T>>()
    }

    #[test]
    fn memory_goes_back_though_a_few_entries_stay() {
        let mut table = Paged::new();
        // About as long as an export.
        let entry = |pos: usize| [pos; 4];
        (0..100_000).for_each(|pos| assert_eq!(table.insert(entry(pos)), pos));
        let full = bytes(&table);
        let stays = |pos: usize| pos.is_multiple_of(5000);
        (0..100_000).filter(|pos| !stays(*pos)).for_each(|pos| {
            assert_eq!(table.remove(pos), Some(entry(pos)));
        });
        assert_eq!(table.len(), 20);
        assert!(bytes(&table) < full / 10, "{} of {full}", bytes(&table));
        let low = table.insert(entry(1));
        assert!(low < PAGE, "{low}");
        (0..100_000).filter(|pos| stays(*pos)).for_each(|pos| {
            assert_eq!(table.remove(pos), Some(entry(pos)));
        });
        assert!(table.pages.len() == 1 && table.pages.capacity() <= 2 * PAGE);
    }

    /// How many steps a script has at most.
    const MOST: usize = if cfg!(miri) { 100 } else { 1000 };

    proptest! {
        #[test]
        fn behaves_as_a_map(script in prop::collection::vec(any::<Option<u16>>(), 0..MOST)) {
            let mut table = Paged::new();
            let mut model = BTreeMap::new();
            for (step, remove) in script.into_iter().enumerate() {
                // Half of the removals are of what is there.
                let number = remove.map(usize::from);
                let there = number.and_then(|number| {
                    model.keys().nth(number % (2 * model.len().max(1))).copied().or(Some(number))
                });
                match there {
                    Some(pos) => prop_assert_eq!(table.remove(pos), model.remove(&pos)),
                    None => {
                        // Mostly more than one page of them.
                        for entry in 0..1 + step % 8 {
                            let pos = table.insert(entry);
                            prop_assert_eq!(model.insert(pos, entry), None);
                        }
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            for pos in 0..2 * PAGE {
                prop_assert_eq!(table.get(pos), model.get(&pos));
                prop_assert_eq!(table.get_mut(pos), model.get_mut(&pos));
            }
            let all: BTreeMap<_, _> = table.iter().map(|(pos, entry)| (pos, *entry)).collect();
            prop_assert_eq!(&all, &model);
            prop_assert!(table.into_values().eq(model.into_values()));
        }
    }
}
