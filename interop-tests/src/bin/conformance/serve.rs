//! `conformance serve`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use interop_tests::objects;
use ocapn::netlayers::{Identities, ListenAddress, ListenSpec};
use ocapn::{Dialect, Node, Vat};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::adapter::Adapted;

/// The options of `conformance serve`.
#[derive(Args)]
pub(crate) struct Serve {
    /// Where to listen: tcp-testing-only:HOST:PORT, tcp-tls:HOST:PORT,
    /// websocket:HOST:PORT or unix:PATH, and settings as in ?framing=length. May be given
    /// once for each transport; port 0 lets the system choose.
    #[arg(long, value_name = "TRANSPORT:ADDRESS[?SETTINGS]", required = true)]
    listen: Vec<ListenSpec>,
    /// The directory that keeps the tcp-tls and websocket identities, made if need be.
    /// Without it they end with the program.
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// Speak this dialect to every peer, heard or not.
    #[arg(long)]
    dialect: Option<Speak>,
    /// Speak tcp-testing-only with framing=length, behind an adapter that listens and
    /// dials in its stead and takes the lengths off: for peers that know no framing.
    #[arg(long)]
    adapter: bool,
    /// End when standard input does.
    #[arg(long)]
    until_eof: bool,
}

/// A dialect by name.
#[derive(Clone, Copy, ValueEnum)]
enum Speak {
    /// What Goblins 0.18, Endo and the July 2026 draft speak.
    One,
    /// The public suite at 6c146dc, of February 2026.
    SuiteFebruary,
    /// The public suite at 5bfcde9, without op:deliver-only.
    SuiteFolded,
}

impl Speak {
    const fn dialect(self) -> Dialect {
        match self {
            Self::One => Dialect::ONE,
            Self::SuiteFebruary => Dialect::SUITE_FEBRUARY,
            Self::SuiteFolded => Dialect::SUITE_FOLDED,
        }
    }
}

impl Serve {
    /// Serves until ended. Exit status 2 if it can't listen.
    pub(crate) async fn run(self) -> ExitCode {
        let (node, _vat) = match self.start().await {
            Ok(started) => started,
            Err(error) => {
                eprintln!("conformance: {error}");
                return ExitCode::from(2);
            }
        };
        let ended = self.ended().await;
        node.shutdown().await;
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("conformance: {error}");
                ExitCode::FAILURE
            }
        }
    }

    async fn start(&self) -> Result<(Node, Vat), Box<dyn std::error::Error>> {
        let mut node = Node::builder();
        if let Some(speak) = self.dialect {
            node = node.dialect(speak.dialect());
        }
        let identities = self.identity.clone().map_or(Identities::New, Identities::KeptIn);
        for listen in &self.listen {
            node = node.netlayer_boxed(match &listen.address {
                ListenAddress::TcpTestingOnly(address) if self.adapter => {
                    Box::new(Adapted::bind(address).await?)
                }
                _ => listen.listen(None, &identities).await?,
            });
        }
        let node = node.start();
        let vat = objects::serve(&node)?;
        let mut out = io::stdout().lock();
        for location in node.locations() {
            writeln!(out, "{location}")?;
        }
        out.flush()?;
        Ok((node, vat))
    }

    /// Waits for a signal, or the end of standard input if that counts.
    async fn ended(&self) -> io::Result<()> {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let end_of_input = async {
            if !self.until_eof {
                return std::future::pending().await;
            }
            let mut scrap = [0; 256];
            let mut input = tokio::io::stdin();
            while input.read(&mut scrap).await? > 0 {}
            Ok(())
        };
        tokio::select! {
            _ = terminated.recv() => Ok(()),
            _ = interrupted.recv() => Ok(()),
            ended = end_of_input => ended,
        }
    }
}
