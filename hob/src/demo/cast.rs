//! Who plays in the demo: the processes, and the operator's way to each of them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use ocapn::{Ref, Sturdyref, Value};

use super::netns::Network;
use super::process::Process;
use super::story::Story;
use crate::capfile;
use crate::client::{Client, within};

/// The processes of the demo.
pub(super) struct Cast<'d> {
    pub(super) directory: &'d Path,
    pub(super) story: Story,
    network: Option<&'d Network>,
    patience: Duration,
    processes: Vec<Process>,
    operator: Option<Client>,
}

impl<'d> Cast<'d> {
    pub(super) fn new(
        directory: &'d Path,
        network: Option<&'d Network>,
        story: Story,
        patience: Duration,
    ) -> Self {
        Self { directory, story, network, patience, processes: Vec::new(), operator: None }
    }

    /// Starts a process and waits until it is ready. Gives the locator of its tcp-tls
    /// netlayer.
    pub(super) async fn start(
        &mut self,
        name: &'static str,
        command: &str,
        enrolment: Option<&Path>,
    ) -> anyhow::Result<String> {
        let (before, host) = match self.network {
            Some(network) => network.place(name)?,
            None => (Vec::new(), "127.0.0.1".to_owned()),
        };
        let mut args: Vec<OsString> = vec![command.into()];
        args.push("--listen".into());
        args.push(format!("tcp-tls:{host}:0").into());
        if let Some(enrolment) = enrolment {
            args.push("--enrol".into());
            args.push(enrolment.into());
        }
        let state = self.directory.join(name);
        let args = args.iter().map(OsString::as_os_str);
        let process =
            Process::start(name, state, &before, args.collect::<Vec<&OsStr>>(), self.story)?;
        self.processes.push(process);
        self.step(&format!("waiting for {name} to be ready"), async |cast| {
            let process = cast.process(name)?;
            let locator = process.says("listening ").await?;
            process.says("ready").await?;
            Ok(locator)
        })
        .await
    }

    fn process(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        let found = self.processes.iter_mut().find(|process| process.name == name);
        found.with_context(|| format!("there is no process {name}"))
    }

    /// Waits until a process has said something that begins so.
    pub(super) async fn says(&mut self, name: &str, wanted: &str) -> anyhow::Result<String> {
        let what = format!("waiting for {name} to say {wanted:?}");
        self.step(&what, async |cast| cast.process(name)?.says(wanted).await).await
    }

    /// The object of a capability in a process's state directory.
    pub(super) async fn holds(&mut self, name: &str, cap: &str) -> anyhow::Result<Ref> {
        let path = self.process(name)?.file(cap);
        let what = format!("enlivening {name}'s {cap}");
        self.step(&what, async |cast| {
            let sturdyref = capfile::read(&path)?;
            cast.resolve(&sturdyref).await
        })
        .await
    }

    /// Enlivens by the operator's node, which dials Unix sockets only.
    pub(super) async fn resolve(&mut self, sturdyref: &Sturdyref) -> anyhow::Result<Ref> {
        if self.operator.is_none() {
            self.operator = Some(Client::start([sturdyref].into_iter()).await?);
        }
        let operator = self.operator.as_ref().context("the operator has no node")?;
        operator.resolve(sturdyref).await
    }

    /// Calls an object and waits for the answer.
    pub(super) async fn call(&mut self, object: &Ref, args: Vec<Value>) -> anyhow::Result<Value> {
        let what = match args.first().and_then(Value::as_symbol) {
            Some(method) => format!("calling {method}"),
            None => "calling".to_owned(),
        };
        self.step(&what, async |cast| {
            let operator = cast.operator.as_ref().context("the operator has no node")?;
            operator.call(object, args).await
        })
        .await
    }

    /// Does something in the time that a step may take, and says what it was if it
    /// fails.
    async fn step<T>(
        &mut self,
        what: &str,
        work: impl AsyncFnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        within(self.patience, work(self)).await.with_context(|| what.to_owned())
    }

    /// A file of the operator's.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Ends all processes, last come first.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(operator) = self.operator.take() {
            operator.end().await;
        }
        let mut outcome = Ok(());
        while let Some(process) = self.processes.pop() {
            outcome = outcome.and(process.stop().await);
        }
        outcome
    }
}
