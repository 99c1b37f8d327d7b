//! Where to listen, as written on a command line: `TRANSPORT:ADDRESS`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ocapn::NodeBuilder;
use ocapn::netlayers::{
    BindError, Identity, IdentityError, TcpOptions, TcpTestingOnly, TcpTls, Unix, UnixOptions,
};

/// A netlayer to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `tcp-testing-only:HOST:PORT`
    TcpTestingOnly(String),
    /// `tcp-tls:HOST:PORT`
    TcpTls(String),
    /// `unix:PATH`
    Unix(PathBuf),
}

/// Why there is no listening there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// No such transport, or nothing after it.
    #[error("{0:?}: expected tcp-testing-only:HOST:PORT, tcp-tls:HOST:PORT or unix:PATH")]
    Syntax(String),
    /// The address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The identity of a tcp-tls netlayer can't be had.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        match text.split_once(':') {
            Some((_, "")) => Err(ListenError::Syntax(text.to_owned())),
            Some(("tcp-testing-only", address)) => Ok(Self::TcpTestingOnly(address.to_owned())),
            Some(("tcp-tls", address)) => Ok(Self::TcpTls(address.to_owned())),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            _ => Err(ListenError::Syntax(text.to_owned())),
        }
    }
}

impl Listen {
    /// Listens, and gives the netlayer to a node that is being built. A tcp-tls
    /// netlayer has the identity kept in that directory, or else one of its own that
    /// ends with it.
    ///
    /// # Errors
    ///
    /// If the address can't be listened on, or the identity can't be had.
    pub async fn add_to(
        &self,
        node: NodeBuilder,
        identity: Option<&Path>,
    ) -> Result<NodeBuilder, ListenError> {
        Ok(match self {
            Self::TcpTestingOnly(address) => {
                node.netlayer(TcpTestingOnly::bind(address, TcpOptions::default()).await?)
            }
            Self::TcpTls(address) => {
                let identity = match identity {
                    Some(directory) => Identity::load_or_create(directory)?,
                    None => Identity::generate()?,
                };
                node.netlayer(TcpTls::bind(address, identity, TcpOptions::default()).await?)
            }
            Self::Unix(path) => node.netlayer(Unix::bind(path, UnixOptions::default()).await?),
        })
    }
}
