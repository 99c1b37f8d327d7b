//! A nonce registry: objects by numbers that nobody guesses.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::arguments::{Call, Portrait, whole, wrong};
use super::table::{DEFAULT_ENTRIES, Table, same};
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes a registry of objects and a locator that only finds them.
///
/// The registry understands `register reference [swiss-num]` (answers with the number,
/// a new one if none is given), `fetch swiss-num [default]` and `forget swiss-num`
/// (whether it was there); the locator `fetch swiss-num`. Up to [`DEFAULT_ENTRIES`].
///
/// Numbers are kept as salted digests: whoever sees what is stored can fetch nothing,
/// and how long a search takes says nothing about any number. So a number can't be told
/// again: an object that is registered twice has two.
///
/// # Errors
///
/// If the system has no randomness to give.
pub fn nonce_registry(turn: &mut Turn<'_>) -> Result<(Ref, Ref), Fault> {
    let registry = turn.spawn(Registry { salt: random()?, objects: Table::new(DEFAULT_ENTRIES) });
    let locator = turn.spawn(Locator(registry.clone()));
    Ok((registry, locator))
}

fn random() -> Result<Bytes, Fault> {
    let mut number = [0; 32];
    getrandom::fill(&mut number).map_err(|_| "no randomness is to be had")?;
    Ok(Bytes::copy_from_slice(&number))
}

pub(crate) struct Registry {
    salt: Bytes,
    /// By the digests of their numbers.
    objects: Table<Ref>,
}

impl Registry {
    fn digest(&self, number: &[u8]) -> Value {
        let digest = Sha256::new().chain_update(&self.salt).chain_update(number).finalize();
        Value::Bytes(Bytes::copy_from_slice(&digest))
    }

    fn becoming(&self, objects: Table<Ref>, answer: impl Into<Value>) -> Reply {
        Reply::become_with(Self { salt: self.salt.clone(), objects }, answer)
    }

    fn register(&self, call: &mut Call) -> Result<Reply, Fault> {
        let object: Ref = call.required("reference")?;
        let given: Option<Bytes> = call.optional("swiss-num")?;
        call.end()?;
        let number = given.map_or_else(random, Ok)?;
        let digest = self.digest(&number);
        match self.objects.get(digest.clone()) {
            None => {
                let objects = self.objects.with(digest, object);
                Ok(self.becoming(objects.map_err(|fault| call.fault(fault))?, number))
            }
            Some(there) if same(there, &object) => Ok(Value::Bytes(number).into()),
            Some(_) => Err(call.fault("another object has this number")),
        }
    }
}

impl Behaviour for Registry {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("nonce-registry", args)?;
        match call.name() {
            "register" => self.register(&mut call),
            "fetch" => {
                let number: Bytes = call.required("swiss-num")?;
                let default: Option<Value> = call.optional("default")?;
                call.end()?;
                let found = self.objects.get(self.digest(&number)).map(Value::from).or(default);
                Ok(found.ok_or_else(|| call.fault("no object has this number"))?.into())
            }
            "forget" => {
                let number: Bytes = call.only("swiss-num")?;
                Ok(match self.objects.without(self.digest(&number)) {
                    Some(rest) => self.becoming(rest, true),
                    None => false.into(),
                })
            }
            _ => call.otherwise(
                "register reference [swiss-num], fetch swiss-num [default], forget swiss-num",
            ),
        }
    }
}

impl Durable for Registry {
    fn portray(&self) -> Value {
        let objects = self.objects.list().into_iter();
        let objects =
            objects.map(|(digest, object)| Value::List(vec![digest.clone(), object.into()]));
        Value::List(vec![
            Value::Bytes(self.salt.clone()),
            (self.objects.limit() as u64).into(),
            Value::List(objects.collect()),
        ])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("nonce-registry", portrait)?;
        let salt = portrait.part("the salt")?;
        let mut objects = Table::new(portrait.part("the limit")?);
        for object in portrait.part::<Vec<Value>>("the objects")? {
            let mut object = Portrait::new("nonce-registry", object)?;
            let digest: Bytes = object.part("a digest")?;
            let added = objects.with(Value::Bytes(digest), object.part("an object")?);
            objects = added.map_err(|fault| wrong("nonce-registry", fault))?;
        }
        Ok(Self { salt, objects })
    }
}

pub(crate) struct Locator(Ref);

impl Behaviour for Locator {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("nonce-locator", args)?;
        match call.name() {
            "fetch" => {
                let number: Bytes = call.only("swiss-num")?;
                let args = vec![Value::symbol("fetch"), Value::Bytes(number)];
                turn.call(&self.0, args).map(Reply::value)
            }
            _ => call.otherwise("fetch swiss-num"),
        }
    }
}

impl Durable for Locator {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("nonce-locator", portrait).map(Self)
    }
}
