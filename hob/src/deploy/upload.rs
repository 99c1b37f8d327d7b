//! What a deployment is sent by: an object of its own for each, which is of no use once it
//! has been applied or given up.

use bytes::Bytes;
use ocapn::{Answer, Fault, Passable, Turn, object};

use super::agent::AgentRef;

/// How many contents are named at a time.
pub(super) const PAGE: usize = 1000;

/// What a state wants, in numbers.
#[derive(Passable, Clone, Debug, Default, PartialEq, Eq)]
#[passable(rename_all = "kebab-case")]
pub(crate) struct Summary {
    /// Packages, files and services.
    pub(crate) entries: u64,
    /// Contents that are not on the machine.
    pub(crate) missing: u64,
    /// Their bytes.
    pub(crate) missing_bytes: u64,
}

/// Takes the contents of one deployment.
pub(super) struct Upload {
    pub(super) agent: AgentRef,
    pub(super) serial: u64,
}

#[object(reference = pub(crate) UploadRef)]
impl Upload {
    /// Says which content will be the state. Answers whether it has to be sent.
    #[method]
    fn want(&self, turn: &mut Turn<'_>, digest: String, size: u64) -> Result<Answer<bool>, Fault> {
        self.agent.call(turn).want(self.serial, digest, size)
    }

    /// Takes the next bytes of a content, from that byte on; answers how many are there.
    #[method]
    fn chunk(
        &self,
        turn: &mut Turn<'_>,
        digest: String,
        offset: u64,
        bytes: Bytes,
    ) -> Result<Answer<u64>, Fault> {
        self.agent.call(turn).chunk(self.serial, digest, offset, bytes)
    }

    /// Reads the state, which is here.
    #[method]
    fn read(&self, turn: &mut Turn<'_>, digest: String) -> Result<Answer<Summary>, Fault> {
        self.agent.call(turn).read(self.serial, digest)
    }

    /// The first contents that the state wants and that are not here, with their sizes.
    #[method]
    fn missing(&self, turn: &mut Turn<'_>) -> Result<Answer<Vec<(String, u64)>>, Fault> {
        self.agent.call(turn).missing(self.serial)
    }

    /// In what the machine differs from the state.
    #[method]
    fn plan(&self, turn: &mut Turn<'_>) -> Result<Answer<Vec<String>>, Fault> {
        self.agent.call(turn).plan(self.serial)
    }
}
