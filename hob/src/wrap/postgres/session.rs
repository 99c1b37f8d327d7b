//! One connection of a grant: the program's beginning is taken by us, logging in is done
//! for it, and from there on bytes go through.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ocapn::{Ref, Resolver};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes};

use super::super::live::Admission;
use super::super::socket::Socket;
use super::super::stream::{self, Broken, Counts};
use super::super::{LOG, Wrap};
use super::database::{Database, Password};
use super::startup::{self, Entered, First, Login, StartupError};

/// How long connecting to the server may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a program may take to say who it is, and we to log in for it: the server's own
/// `authentication_timeout`.
const STARTUP: Duration = Duration::from_secs(60);
/// How long a program may take to note that the server has ended the connection.
const NOTE: Duration = Duration::from_secs(5);
/// How much is on its way within this process, each way.
const PIPE: usize = 64 << 10;

/// PostgreSQL's `invalid_password`.
const INVALID_PASSWORD: &str = "28P01";
/// And `connection_failure`.
const CONNECTION_FAILURE: &str = "08006";

/// A connection to be served.
pub(super) struct Session {
    pub(super) wrap: Wrap,
    pub(super) database: Arc<Database>,
    pub(super) role: String,
    pub(super) admission: Admission,
}

impl Session {
    /// Connects to the server, and serves the program whose sink is `far`.
    pub(super) async fn serve(mut self, far: Ref, connected: Resolver) {
        let address = self.database.settings.login();
        let server = tokio::select! {
            why = self.admission.cut() => return connected.break_with(why.to_string()),
            server = tokio::time::timeout(CONNECT, address.connect()) => server,
        };
        let server = match server {
            Ok(Ok(server)) => server,
            failed => {
                let why = failed.map_or_else(
                    |_| "it takes too long".to_owned(),
                    |failed| failed.err().map_or_else(String::new, |error| error.to_string()),
                );
                tracing::warn!(target: LOG, "can't connect to {address}: {why}");
                return connected.break_with("the database can't be reached");
            }
        };
        let (sink, inflow) = stream::sink(&self.wrap.0.vat, self.wrap.0.limits);
        connected.fulfill(sink);
        let (mut ours, program) = tokio::io::duplex(PIPE);
        let Self { wrap, database, role, mut admission } = self;
        let session = async {
            let outcome = speak(&database, &role, program, server).await;
            if let Err(error) = outcome {
                tracing::warn!(target: LOG, "a connection as {role}: {error}");
            }
            tokio::time::sleep(NOTE).await;
        };
        let over = async {
            tokio::select! {
                biased;
                why = admission.cut() => why,
                () = session => Broken::Cut("the server has ended the connection".to_owned()),
            }
        };
        let (limits, counts) = (wrap.0.limits, Counts::default());
        let outcome = stream::run(&mut ours, inflow, far, limits, &counts, over).await;
        if let Err(broken) = outcome {
            tracing::debug!(target: LOG, %broken, "a connection as {role}");
        }
    }
}

/// Speaks with the program and the server, until both have nothing more to say.
async fn speak<P>(
    database: &Arc<Database>,
    role: &str,
    mut program: P,
    mut server: Socket,
) -> Result<(), StartupError>
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let begun = async {
        match startup::first(&mut program).await? {
            None => Ok(None),
            Some(First::Cancel(key)) => {
                cancel(database, role, &key, &mut server).await?;
                Ok(None)
            }
            Some(First::Startup { version, parameters }) => {
                enter(database, role, &mut program, &mut server, version, &parameters).await
            }
        }
    };
    let begun = tokio::time::timeout(STARTUP, begun).await;
    let begun = begun.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?;
    let Some(entered) = begun? else { return Ok(()) };
    let _cancellable = entered.key.map(|key| database.cancellable(role, key));
    program.write_all(&entered.said).await?;
    // That one of them has gone is how connections end.
    let _ended = copy_bidirectional_with_sizes(&mut program, &mut server, PIPE, PIPE).await;
    Ok(())
}

/// Logs in; once more with another password, if somebody has changed the role's.
async fn enter<P>(
    database: &Arc<Database>,
    role: &str,
    program: &mut P,
    server: &mut Socket,
    version: u32,
    parameters: &[(Bytes, Bytes)],
) -> Result<Option<Entered>, StartupError>
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let mut last: Option<Password> = None;
    loop {
        let password = match database.password(role, last.as_ref()).await {
            Ok(password) => password,
            Err(error) => {
                tracing::warn!(target: LOG, "no password for {role}: {error}");
                let text = startup::fatal(CONNECTION_FAILURE, &error.public());
                program.write_all(&text).await?;
                return Ok(None);
            }
        };
        let login = Login { role, database: &database.settings.database, password: &password };
        let error = match startup::enter(server, &login, version, parameters).await {
            Ok(entered) => return Ok(Some(entered)),
            Err(error) => error,
        };
        match error {
            StartupError::Refused(refusal)
                if refusal.code == INVALID_PASSWORD && last.is_none() =>
            {
                last = Some(password);
                *server = database.settings.login().connect().await?;
            }
            StartupError::Refused(refusal) => {
                program.write_all(&refusal.packet).await?;
                return Err(StartupError::Refused(refusal));
            }
            error => {
                let text = "the database can't be connected to";
                program.write_all(&startup::fatal(CONNECTION_FAILURE, text)).await?;
                return Err(error);
            }
        }
    }
}

/// Passes a wish to cancel on, if it is for a connection of the same role.
async fn cancel(
    database: &Arc<Database>,
    role: &str,
    key: &Bytes,
    server: &mut Socket,
) -> Result<(), StartupError> {
    if !database.is_key_of(role, key) {
        tracing::warn!(target: LOG, "{role} would cancel what is not its own");
        return Ok(());
    }
    server.write_all(&startup::cancellation(key)).await?;
    // The server closes the connection when it has passed the wish on, and so do we then:
    // the program may rely on that.
    let mut end = [0; 1];
    let _closed = tokio::io::AsyncReadExt::read(server, &mut end).await;
    Ok(())
}
