//! The process between the shepherd and a service's program. It is this program again,
//! which then becomes the other one: between fork and exec nothing but async-signal-safe
//! code may run, here everything may.
//!
//! Its standard input is a socket to the shepherd, on which come what to do, as JSON
//! with its length in front, and descriptors. It answers with `r`, waits for `g`, and
//! executes the program; if that fails it says why. The socket closes on exec. If the
//! shepherd dies before it has said `g`, so does this: a process that has not been
//! recorded never runs.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Resource, Rlimit, setrlimit, setsid};
use serde::{Deserialize, Serialize};

use super::definition::ResourceLimits;

/// The hidden command.
pub(crate) const COMMAND: &str = "exec-service";
/// The most sockets that are passed.
pub(crate) const MAX_SOCKETS: usize = 16;
/// The longest message.
const MAX_SPEC: usize = 4 << 20;
/// Where the socket to the shepherd is moved, out of the way of those that are passed.
const OUT_OF_THE_WAY: i32 = 64;
/// The first of those.
pub(crate) const FIRST_SOCKET: i32 = 3;

/// What the helper is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) command: Vec<String>,
    /// All of it.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    pub(crate) ids: Option<Ids>,
    pub(crate) limits: ResourceLimits,
    /// How many descriptors come with this.
    pub(crate) sockets: usize,
}

/// Whom to run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// The helper's work, if this process is one.
pub(crate) fn intercept() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMMAND || arguments.next().is_some() {
        return None;
    }
    let Ok(control) = fcntl_dupfd_cloexec(std::io::stdin().as_fd(), OUT_OF_THE_WAY) else {
        return Some(ExitCode::from(127));
    };
    let mut control = UnixStream::from(control);
    let why = match serve(&mut control) {
        Ok(never) => match never {},
        Err(why) => why,
    };
    // The shepherd may be gone, and then nobody wants to know.
    let _unheard = control.write_all(why.as_bytes());
    Some(ExitCode::from(127))
}

enum Never {}

fn serve(control: &mut UnixStream) -> Result<Never, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    setsid().map_err(|error| failed("a session of its own", &error))?;
    let (spec, sockets) = receive(control)?;
    let null = OpenOptions::new().read(true).open("/dev/null");
    let null = null.map_err(|error| failed("/dev/null", &error))?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| failed("standard input", &error))?;
    limit(&spec.limits)?;
    let mut command = prepare(&spec, &sockets)?;
    control.write_all(b"r").map_err(|error| failed("the shepherd", &error))?;
    let mut word = [0];
    match control.read(&mut word) {
        Ok(1) if word == *b"g" => {}
        _ => return Err("the shepherd is gone".to_owned()),
    }
    let error = command.exec();
    let program = spec.command.first().map_or("", String::as_str);
    Err(failed(program, &error))
}

/// What is to be executed.
fn prepare(spec: &Spec, sockets: &[OwnedFd]) -> Result<Command, String> {
    let (program, arguments) = spec.command.split_first().ok_or("no command")?;
    for (index, socket) in sockets.iter().enumerate() {
        let wanted = FIRST_SOCKET + i32::try_from(index).unwrap_or(i32::MAX);
        if socket.as_raw_fd() != wanted {
            return Err(format!(
                "descriptor {wanted} is taken: the shepherd was started with files open"
            ));
        }
        fcntl_setfd(socket, FdFlags::empty()).map_err(|error| error.to_string())?;
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&spec.environment);
    if !sockets.is_empty() {
        command.env("LISTEN_FDS", sockets.len().to_string());
        command.env("LISTEN_PID", std::process::id().to_string());
    }
    command.current_dir(&spec.directory);
    if let Some(Ids { user, group }) = spec.ids {
        command.uid(user).gid(group);
    }
    Ok(command)
}

fn limit(limits: &ResourceLimits) -> Result<(), String> {
    let sizes = [
        (Resource::As, limits.memory),
        (Resource::Fsize, limits.fsize),
        (Resource::Core, limits.core),
        (Resource::Memlock, limits.memlock),
    ];
    let numbers = [
        (Resource::Nofile, limits.nofile),
        (Resource::Nproc, limits.nproc),
        (Resource::Cpu, limits.cpu),
    ];
    let sizes = sizes.into_iter().map(|(resource, size)| (resource, size.map(|size| size.0)));
    for (resource, limit) in numbers.into_iter().chain(sizes) {
        let Some(limit) = limit else { continue };
        let new = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(resource, new).map_err(|error| format!("the limit {resource:?}: {error}"))?;
    }
    Ok(())
}

fn receive(control: &mut UnixStream) -> Result<(Spec, Vec<OwnedFd>), String> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received =
        recvmsg(&mut *control, &mut [IoSliceMut::new(&mut length)], &mut ancillary, flags);
    let received = received.map_err(|error| error.to_string())?;
    if received.bytes != length.len() {
        return Err("the shepherd is gone".to_owned());
    }
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_SPEC {
        return Err("what to do is too long".to_owned());
    }
    let mut text = vec![0; length];
    control.read_exact(&mut text).map_err(|error| error.to_string())?;
    let spec: Spec = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if spec.sockets != sockets.len() {
        return Err("not all sockets came".to_owned());
    }
    Ok((spec, sockets))
}

/// Says to a helper what to do. For the shepherd.
pub(crate) fn send(
    control: &mut UnixStream,
    spec: &Spec,
    sockets: &[std::os::fd::BorrowedFd<'_>],
) -> std::io::Result<()> {
    let text = serde_json::to_vec(spec)?;
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= MAX_SPEC);
    let length = length.ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let length = length.to_be_bytes();
    let part = [std::io::IoSlice::new(&length)];
    sendmsg(&mut *control, &part, &mut ancillary, SendFlags::NOSIGNAL)?;
    control.write_all(&text)
}
