//! The beginning of a PostgreSQL connection, at both ends of it: what the program says
//! before it is connected, and logging in on its behalf.
//!
//! Protocol 3 of <https://www.postgresql.org/docs/current/protocol.html>.

use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest first packet that PostgreSQL itself takes.
const LONGEST_FIRST: usize = 10_000;

/// The longest message that a server may send while it lets somebody in.
const LONGEST_MESSAGE: usize = 64 << 10;

/// How often a program may ask for a kind of encryption.
const ASKS: usize = 4;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSAPI: u32 = 80_877_104;

/// What goes wrong at the beginning of a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartupError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the program does not speak PostgreSQL's protocol 3")]
    NotPostgres,
    #[error("the server does not speak PostgreSQL's protocol 3")]
    NoServer,
    #[error("the server wants authentication of kind {0}, and not SCRAM-SHA-256")]
    Authentication(u32),
    #[error("the server refuses: {} ({})", .0.message, .0.code)]
    Refused(Refusal),
}

/// An error as PostgreSQL tells it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The SQLSTATE.
    pub(super) code: String,
    message: String,
    /// All of the message, to be passed on.
    pub(super) packet: Bytes,
}

/// The first thing that a program says, other than asking for encryption.
#[derive(Debug, PartialEq)]
pub(super) enum First {
    /// It wants to connect: its protocol, and its parameters without `user` and `database`.
    Startup { version: u32, parameters: Vec<(Bytes, Bytes)> },
    /// It wants what another connection does to be cancelled: that one's key.
    Cancel(Bytes),
}

/// Reads what the program wants. Encryption is refused: there is nothing here that it
/// would protect, since what goes between the machines is protected already. `None` if it
/// says nothing at all.
pub(super) async fn first<S>(program: &mut S) -> Result<Option<First>, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for _ in 0..ASKS {
        let length = match program.read_u32().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            length => length? as usize,
        };
        if !(8..=LONGEST_FIRST).contains(&length) {
            return Err(StartupError::NotPostgres);
        }
        let code = program.read_u32().await?;
        let mut rest = vec![0; length - 8];
        program.read_exact(&mut rest).await?;
        match code {
            SSL | GSSAPI if rest.is_empty() => {
                program.write_all(b"N").await?;
                program.flush().await?;
            }
            CANCEL => return Ok(Some(First::Cancel(rest.into()))),
            version if version >> 16 == 3 => {
                let parameters = parameters(&rest.into()).ok_or(StartupError::NotPostgres)?;
                return Ok(Some(First::Startup { version, parameters }));
            }
            _ => break,
        }
    }
    Err(StartupError::NotPostgres)
}

/// Pairs of texts that end with a zero each, and a zero.
fn parameters(text: &Bytes) -> Option<Vec<(Bytes, Bytes)>> {
    let mut parameters = Vec::new();
    let mut rest = text.clone();
    loop {
        let name = word(&mut rest)?;
        if name.is_empty() {
            return rest.is_empty().then_some(parameters);
        }
        let value = word(&mut rest)?;
        if !matches!(&*name, b"user" | b"database") {
            parameters.push((name, value));
        }
    }
}

/// A text that ends with a zero.
fn word(rest: &mut Bytes) -> Option<Bytes> {
    let end = rest.iter().position(|byte| *byte == 0)?;
    let word = rest.split_to(end);
    let _zero = rest.split_to(1);
    Some(word)
}

/// Who logs in where.
pub(super) struct Login<'l> {
    pub(super) role: &'l str,
    pub(super) database: &'l str,
    pub(super) password: &'l str,
}

/// A server that has let us in.
pub(super) struct Entered {
    /// What it said and the program is to be told.
    pub(super) said: BytesMut,
    /// By what the program may have cancelled what the connection does.
    pub(super) key: Option<Bytes>,
}

/// Logs in with the program's parameters, up to where the server is ready for queries.
pub(super) async fn enter<S>(
    server: &mut S,
    login: &Login<'_>,
    version: u32,
    parameters: &[(Bytes, Bytes)],
) -> Result<Entered, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    server.write_all(&startup(login, version, parameters)?).await?;
    let mut entered = Entered { said: BytesMut::new(), key: None };
    let mut scram = None;
    loop {
        let (packet, body) = message(server).await?;
        match packet.first() {
            Some(b'R') => match authentication(login, &body, &mut scram)? {
                Step::Send(answer) => server.write_all(&answer).await?,
                Step::Wait => {}
                Step::Done => entered.said.put(packet),
            },
            Some(b'E') => return Err(StartupError::Refused(refusal(packet, &body))),
            Some(b'K') => {
                entered.said.put(packet);
                entered.key = Some(body);
            }
            Some(b'Z') => {
                entered.said.put(packet);
                return Ok(entered);
            }
            // What it is called, what it is set to, what it has to note, of the protocol.
            Some(b'S' | b'N' | b'v') => entered.said.put(packet),
            _ => return Err(StartupError::NoServer),
        }
    }
}

fn startup(
    login: &Login<'_>,
    version: u32,
    parameters: &[(Bytes, Bytes)],
) -> Result<BytesMut, StartupError> {
    let mut text = BytesMut::new();
    let own = [("user", login.role), ("database", login.database)];
    let own = own.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let others = parameters.iter().map(|(name, value)| (&**name, &**value));
    for (name, value) in own.chain(others) {
        for word in [name, value] {
            text.put(word);
            text.put_u8(0);
        }
    }
    text.put_u8(0);
    let length = u32::try_from(text.len() + 8).map_err(|_| StartupError::NotPostgres)?;
    let mut packet = BytesMut::new();
    packet.put_u32(length);
    packet.put_u32(version);
    packet.put(text);
    Ok(packet)
}

/// A message of the server: all of it, and what it holds.
async fn message(server: &mut (impl AsyncRead + Unpin)) -> Result<(Bytes, Bytes), StartupError> {
    let tag = server.read_u8().await?;
    let length = server.read_u32().await?;
    let rest = (length as usize).checked_sub(4).filter(|rest| *rest <= LONGEST_MESSAGE);
    let rest = rest.ok_or(StartupError::NoServer)?;
    let mut packet = BytesMut::zeroed(5 + rest);
    let (mut head, body) = packet.split_at_mut(5);
    head.put_u8(tag);
    head.put_u32(length);
    server.read_exact(body).await?;
    let packet = packet.freeze();
    Ok((packet.clone(), packet.slice(5..)))
}

/// What to do about a request for authentication.
enum Step {
    Send(BytesMut),
    Wait,
    Done,
}

fn authentication(
    login: &Login<'_>,
    body: &Bytes,
    scram: &mut Option<ScramSha256>,
) -> Result<Step, StartupError> {
    let (kind, data) = body.split_first_chunk().ok_or(StartupError::NoServer)?;
    let mut answer = BytesMut::new();
    match (u32::from_be_bytes(*kind), scram) {
        (0, _) => return Ok(Step::Done),
        (10, scram @ None) => {
            let mut offers = body.slice(4..);
            let mut offered = std::iter::from_fn(|| word(&mut offers));
            if !offered.any(|offer| offer == SCRAM_SHA_256) {
                return Err(StartupError::Authentication(10));
            }
            let password = login.password.as_bytes();
            let begun = scram.insert(ScramSha256::new(password, ChannelBinding::unsupported()));
            frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), &mut answer)?;
        }
        (11, Some(scram)) => {
            scram.update(data)?;
            frontend::sasl_response(scram.message(), &mut answer)?;
        }
        (12, Some(scram)) => {
            scram.finish(data)?;
            return Ok(Step::Wait);
        }
        // A password as it is, or its MD5, is not for those who merely say who they are.
        (kind, _) => return Err(StartupError::Authentication(kind)),
    }
    Ok(Step::Send(answer))
}

fn refusal(packet: Bytes, body: &Bytes) -> Refusal {
    let mut rest = body.clone();
    let (mut code, mut message) = (String::new(), String::new());
    while let Some(field) = word(&mut rest) {
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        match field.split_first() {
            Some((b'C', value)) => code = text(value),
            Some((b'M', value)) => message = text(value),
            _ => {}
        }
    }
    Refusal { code, message, packet }
}

/// What tells a program that it can't connect.
pub(super) fn fatal(code: &str, message: &str) -> BytesMut {
    let mut fields = BytesMut::new();
    let said = [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', message)];
    for (field, text) in said {
        fields.put_u8(field);
        fields.put(text.as_bytes());
        fields.put_u8(0);
    }
    fields.put_u8(0);
    let mut packet = BytesMut::new();
    packet.put_u8(b'E');
    packet.put_u32(fields.len() as u32 + 4);
    packet.put(fields);
    packet
}

/// What asks a server to cancel what the connection of this key does.
pub(super) fn cancellation(key: &Bytes) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_u32(key.len() as u32 + 8);
    packet.put_u32(CANCEL);
    packet.put(key.clone());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
        let mut packet = (rest.len() as u32 + 8).to_be_bytes().to_vec();
        packet.extend(code.to_be_bytes());
        packet.extend(rest);
        packet
    }

    async fn read(said: &[u8]) -> (Result<Option<First>, StartupError>, Vec<u8>) {
        let (mut program, mut ours) = tokio::io::duplex(1 << 16);
        program.write_all(said).await.unwrap();
        program.shutdown().await.unwrap();
        let first = first(&mut ours).await;
        drop(ours);
        let mut answer = Vec::new();
        program.read_to_end(&mut answer).await.unwrap();
        (first, answer)
    }

    #[tokio::test]
    async fn a_program_says_who_it_likes_to_be_and_is_not_asked() {
        let said = b"user\0postgres\0database\0secrets\0application_name\0psql\0\0";
        let all = [packet(GSSAPI, b""), packet(SSL, b""), packet(3 << 16, said)].concat();
        let (first, answer) = read(&all).await;
        let parameters = vec![("application_name".into(), "psql".into())];
        assert_eq!(first.unwrap(), Some(First::Startup { version: 3 << 16, parameters }));
        assert_eq!(answer, b"NN");
        let (first, _) = read(&packet(CANCEL, &[1; 8])).await;
        assert_eq!(first.unwrap(), Some(First::Cancel(vec![1; 8].into())));
        assert_eq!(read(b"").await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn other_programs_are_turned_away() {
        let long = vec![0; LONGEST_FIRST];
        for said in [
            packet(2 << 16, b""),
            packet(3 << 16, b""),
            packet(3 << 16, b"user\0"),
            packet(3 << 16, b"a\0b\0\0more"),
            packet(3 << 16, &long),
            packet(SSL, b"x"),
            packet(SSL, b"").repeat(ASKS + 1),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0, 0, 0, 7, 0, 0, 0, 0],
        ] {
            let (first, _) = read(&said).await;
            assert!(matches!(first, Err(StartupError::NotPostgres)), "{said:?}");
        }
        let (first, _) = read(&[0, 0, 0, 20, 0, 3, 0, 0, b'a']).await;
        assert!(matches!(first, Err(StartupError::Io(_))));
    }

    #[tokio::test]
    async fn a_server_that_wants_something_else_gets_no_password() {
        let login = Login { role: "r", database: "d", password: "secret" };
        for (kind, more) in
            [(3_u32, &b""[..]), (5, b"salt"), (7, b""), (10, b"OTHER\0\0"), (11, b"")]
        {
            let (mut server, mut ours) = tokio::io::duplex(1 << 16);
            let mut asked = vec![b'R'];
            asked.extend((8 + more.len() as u32).to_be_bytes());
            asked.extend(kind.to_be_bytes());
            asked.extend(more);
            server.write_all(&asked).await.unwrap();
            let error = enter(&mut ours, &login, 3 << 16, &[]).await.err().unwrap();
            assert!(matches!(error, StartupError::Authentication(found) if found == kind));
            drop(ours);
            let mut said = Vec::new();
            server.read_to_end(&mut said).await.unwrap();
            assert!(!said.windows(6).any(|part| part == b"secret"));
        }
    }
}
