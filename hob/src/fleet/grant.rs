//! What one machine is given of another, for it to have without the boss.

use ocapn::{Fault, Ref, Sturdyref, object};

use super::Fleet;

/// What a machine is given of another: good for having it once and for all.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) fleet: Fleet,
    pub(crate) object: Ref,
}

#[object(reference = pub(crate) GrantRef)]
impl Grant {
    /// The object.
    #[method]
    fn object(&self) -> Ref {
        self.object.clone()
    }

    /// A sturdyref for the object: for the machine that it is granted to.
    #[method]
    fn sturdyref(&self) -> Result<Sturdyref, Fault> {
        self.fleet.mint(self.object.clone())
    }
}
