//! What one machine is given of another, for it to have without the boss.

use ocapn::{
    Fault, FromValue, IntoValue, Mismatch, Passable, Ref, Sturdyref, Type, Typed, Value, object,
};

use super::Fleet;

/// What a machine is given of another: good for having it once and for all.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) fleet: Fleet,
    pub(crate) kept: Given,
}

/// What is stored of a grant.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) object: Ref,
    /// What tells whether the object can be used, if it requires a service.
    pub(crate) vigil: Option<Ref>,
}

/// As it is stored if there is a vigil; else it is the object alone.
#[derive(Clone, Passable)]
struct Both {
    object: Ref,
    vigil: Option<Ref>,
}

impl Typed for Given {
    const TYPE: &'static Type = Value::TYPE;
}

impl IntoValue for Given {
    fn into_value(self) -> Value {
        match self {
            Self { object, vigil: None } => object.into(),
            Self { object, vigil } => Both { object, vigil }.into_value(),
        }
    }
}

impl FromValue for Given {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if let Value::Ref(object) = value {
            return Ok(Self { object, vigil: None });
        }
        let Both { object, vigil } = Both::from_value(value)?;
        Ok(Self { object, vigil })
    }
}

#[object(reference = pub(crate) GrantRef)]
impl Grant {
    /// The object.
    #[method]
    fn object(&self) -> Ref {
        self.kept.object.clone()
    }

    /// A sturdyref for the object: for the machine that it is granted to.
    #[method]
    fn sturdyref(&self) -> Result<Sturdyref, Fault> {
        self.fleet.mint(self.kept.object.clone())
    }

    /// The same for what tells whether the object can be used: see [`Vigil`](super::gate::Vigil).
    #[method]
    fn vigil(&self) -> Result<Option<Sturdyref>, Fault> {
        self.kept.vigil.clone().map(|vigil| self.fleet.mint(vigil)).transpose()
    }
}
