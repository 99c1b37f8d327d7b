//! A persistent map from values, in the order of insertion: what collections that
//! are found by value are made of. Owns when two values are the same key.

use std::hash::{Hash, Hasher};

use rpds::HashTrieMapSync;

use crate::{Fault, Identity, Ref, Value};

/// How many entries a collection holds before it refuses more, where nothing else is
/// said.
pub const DEFAULT_ENTRIES: usize = 1 << 20;

/// The fault of a collection that is full.
pub(crate) fn full(limit: usize) -> Fault {
    format!("no room for more than {limit}").into()
}

/// A value as a key: references by what they designate, everything else by value.
///
/// A promise that has settled is what it settled to; one that has not is itself, also
/// when it settles later.
#[derive(Clone)]
pub(crate) struct Key(Value);

impl Key {
    pub(crate) fn new(value: Value) -> Self {
        Self(match value {
            Value::Ref(reference) => match reference.outcome() {
                Some(Ok(settled)) => settled,
                _ => Value::Ref(reference),
            },
            other => other,
        })
    }

    pub(crate) const fn value(&self) -> &Value {
        &self.0
    }
}

/// Whether two references designate the same thing now.
pub(crate) fn same(one: &Ref, other: &Ref) -> bool {
    one == other
        || match (one.identity(), other.identity()) {
            (Identity::Local { key: one, .. }, Identity::Local { key: other, .. })
            | (Identity::Remote { key: one, .. }, Identity::Remote { key: other, .. }) => {
                one == other
            }
            _ => false,
        }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        equal(&self.0, &other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

/// NaN has one bit pattern here, as it has on the wire: a key equals itself.
fn bits(float: f64) -> u64 {
    if float.is_nan() { f64::NAN.to_bits() } else { float.to_bits() }
}

fn equal(one: &Value, other: &Value) -> bool {
    let all = |one: &[Value], other: &[Value]| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
    };
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => bits(*one) == bits(*other),
        (Value::List(one), Value::List(other)) | (Value::Set(one), Value::Set(other)) => {
            all(one, other)
        }
        (Value::Struct(one), Value::Struct(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| one.0 == other.0 && equal(&one.1, &other.1))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| equal(&one.0, &other.0) && equal(&one.1, &other.1))
        }
        (Value::Tagged(one), Value::Tagged(other)) => {
            one.tag == other.tag && equal(&one.value, &other.value)
        }
        (Value::Record(one), Value::Record(other)) => {
            equal(&one.label, &other.label) && all(&one.fields, &other.fields)
        }
        (Value::Error(one), Value::Error(other)) => {
            one.message == other.message
                && one.label == other.label
                && all(&one.fields, &other.fields)
        }
        (one, other) => one == other,
    }
}

/// Equal values have equal hashes; what is left out here costs a comparison.
fn hash<H: Hasher>(value: &Value, state: &mut H) {
    std::mem::discriminant(value).hash(state);
    match value {
        Value::Bool(value) => value.hash(state),
        Value::Int(value) => value.hash(state),
        Value::BigInt(value) => value.hash(state),
        Value::Float(value) => bits(*value).hash(state),
        Value::String(text) | Value::Symbol(text) => text.hash(state),
        Value::Bytes(bytes) | Value::Encoded(bytes) => bytes.hash(state),
        Value::List(items) | Value::Set(items) => items.iter().for_each(|item| hash(item, state)),
        Value::Struct(fields) => fields.iter().for_each(|(name, value)| {
            name.hash(state);
            hash(value, state);
        }),
        Value::Map(entries) => entries.iter().for_each(|(key, value)| {
            hash(key, state);
            hash(value, state);
        }),
        Value::Tagged(tagged) => {
            tagged.tag.hash(state);
            hash(&tagged.value, state);
        }
        Value::Record(record) => {
            hash(&record.label, state);
            record.fields.iter().for_each(|field| hash(field, state));
        }
        Value::Error(error) => error.message.hash(state),
        Value::Ref(reference) => reference.hash(state),
        _ => {}
    }
}

/// A map of which changing one entry shares all others with what was before.
#[derive(Clone)]
pub(crate) struct Table<V> {
    entries: HashTrieMapSync<Key, (u64, V)>,
    /// How many insertions there were: entries are listed in their order, so that a
    /// program lists the same each time it runs.
    inserted: u64,
    limit: usize,
}

impl<V: Clone> Table<V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashTrieMapSync::new_sync(), inserted: 0, limit }
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.size()
    }

    pub(crate) fn get(&self, key: Value) -> Option<&V> {
        self.entries.get(&Key::new(key)).map(|(_, value)| value)
    }

    /// The map with the entry. One that was there keeps its place.
    pub(crate) fn with(&self, key: Value, value: V) -> Result<Self, Fault> {
        let key = Key::new(key);
        let mut next = self.clone();
        let place = match self.entries.get(&key) {
            Some((place, _)) => *place,
            None if self.len() >= self.limit => return Err(full(self.limit)),
            None => {
                next.inserted += 1;
                self.inserted
            }
        };
        next.entries.insert_mut(key, (place, value));
        Ok(next)
    }

    /// The map without the entry, or `None` if there is none.
    pub(crate) fn without(&self, key: Value) -> Option<Self> {
        let mut next = self.clone();
        next.entries.remove_mut(&Key::new(key)).then_some(next)
    }

    /// The entries, first inserted first.
    pub(crate) fn list(&self) -> Vec<(&Value, &V)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(_, (place, _))| *place);
        entries.into_iter().map(|(key, (_, value))| (key.value(), value)).collect()
    }

    pub(crate) fn keys(&self) -> Vec<Value> {
        self.list().into_iter().map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use captp::{ErrorValue, Record, Tagged};

    use super::Table;
    use crate::{Manual, Promise, Reply, Value, Vat};

    fn values() -> Vec<Value> {
        vec![
            Value::Undefined,
            Value::Null,
            true.into(),
            1.into(),
            num_bigint::BigInt::from(1_u128 << 80).into(),
            1.0.into(),
            f64::NAN.into(),
            0.0.into(),
            (-0.0).into(),
            "a".into(),
            Value::symbol("a"),
            bytes::Bytes::from_static(b"a").into(),
            vec![Value::from(f64::NAN)].into(),
            Value::Set(vec![1.into()]),
            Value::Struct(vec![("a".into(), 1.into())]),
            Value::Struct(vec![("a".into(), f64::NAN.into())]),
            Value::Map(vec![(1.into(), 2.into())]),
            Value::Tagged(Box::new(Tagged { tag: "t".into(), value: 1.into() })),
            Value::Record(Box::new(Record { label: 1.into(), fields: vec![2.into()] })),
            Value::Error(Box::new(ErrorValue {
                message: "m".into(),
                fields: vec![f64::NAN.into()],
                label: None,
            })),
        ]
    }

    #[test]
    fn every_kind_of_value_is_a_key_and_no_other() {
        let mut table = Table::new(100);
        for (number, key) in values().into_iter().enumerate() {
            table = table.with(key, number).unwrap();
        }
        for (number, key) in values().into_iter().enumerate() {
            assert_eq!(table.get(key.clone()), Some(&number), "{key:?}");
        }
        assert_eq!(table.len(), values().len());
        let numbers: Vec<_> = table.list().into_iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..values().len()).collect::<Vec<_>>());
        for key in values() {
            table = table.without(key).expect("each is there once");
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_settled_promise_is_the_key_that_it_settled_to() {
        let vat = Vat::new("test", Manual::new());
        let one = vat.spawn(|_: &mut crate::Turn<'_>, _| Ok(Reply::value(1)));
        let two = vat.spawn(|_: &mut crate::Turn<'_>, _| Ok(Reply::value(2)));
        let promise = Promise::settled(Ok(one.clone().into()));
        let table = Table::new(1).with(promise.into(), "one").unwrap();
        assert_eq!(table.get(one.into()), Some(&"one"));
        assert_eq!(table.get(two.clone().into()), None);
        assert!(table.with(two.into(), "two").is_err(), "the table is full");
    }

    #[test]
    fn what_was_there_before_a_change_is_still_there() {
        let before = Table::new(10).with(1.into(), 1).unwrap();
        let after = before.with(1.into(), 2).unwrap().with(2.into(), 2).unwrap();
        assert_eq!((before.get(1.into()), before.len()), (Some(&1), 1));
        assert_eq!((after.get(1.into()), after.len()), (Some(&2), 2));
        assert!(before.without(2.into()).is_none());
    }
}
