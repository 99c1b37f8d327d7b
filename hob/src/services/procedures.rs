//! What a controller does that takes time: starting, stopping, waiting. Async blocks on
//! its behalf, which tell it by messages how far they are; it says whether to go on.

use std::time::Duration;

use ocapn::actors::timeout;
use ocapn::{Answer, Fault, Here, Ref, Turn, Value};

use super::controller::{Context, ControllerRef};
use super::logger::{LoggerRef, sink};
use super::monitor::MonitorRef;
use super::process::{Launch, Process, describe};

/// What a procedure needs to know.
pub(crate) struct Setup {
    pub(crate) me: ControllerRef,
    pub(crate) context: Context,
    pub(crate) monitor: MonitorRef,
    pub(crate) logger: LoggerRef,
    pub(crate) launch: Launch,
    /// Which start this belongs to.
    pub(crate) generation: u64,
}

/// How long who stops a service waits at most for one that waits to be started again.
const SLICE: Duration = Duration::from_millis(250);

/// How often connections start a process within a time, without a pause.
pub(crate) const BURST: usize = 20;
pub(crate) const BURST_MILLIS: i64 = 2_000;
/// How long sockets are left alone whose service can't be started.
const SERVE_AGAIN: Duration = Duration::from_secs(1);

const STOPPED: &str = "it was stopped before it had started";

/// Waits for a while.
pub(crate) async fn pause(here: &Here, context: &Context, time: Duration) -> Result<(), Fault> {
    if time.is_zero() {
        return Ok(());
    }
    let clock = context.clock.clone();
    let later = here.turn(move |turn| Ok(timeout(turn, &clock, time))).await?;
    later.settling().await.map(drop)
}

/// Has what the service says written down, from its first line on.
pub(crate) async fn begin_log(here: &Here, setup: &Setup) -> Result<(), Fault> {
    let sink = sink(setup.logger.clone());
    let before = setup.context.world.log(setup.launch.clone(), sink).await?;
    let logger = setup.logger.clone();
    if !before.is_empty() {
        here.ask(move |turn| logger.send(turn).heard(before)).await?;
    }
    Ok(())
}

/// Starts a service, and sees to it that a failure is known before it is told.
pub(crate) async fn start(here: Here, setup: Setup, delayed: bool) -> Result<bool, Fault> {
    let (me, generation) = (setup.me.clone(), setup.generation);
    match try_start(&here, setup, delayed).await {
        Ok(()) => Ok(true),
        Err(fault) => {
            let why = fault.to_string();
            here.ask(move |turn| me.send(turn).not_started(generation, why)).await?;
            Err(fault)
        }
    }
}

async fn try_start(here: &Here, setup: Setup, delayed: bool) -> Result<(), Fault> {
    let definition = setup.launch.definition.clone();
    if delayed {
        let mut left = definition.respawn.delay.0;
        while !left.is_zero() {
            let slice = left.min(SLICE);
            pause(here, &setup.context, slice).await?;
            left -= slice;
            go_on(here, &setup).await?;
        }
    }
    let (me, generation) = (setup.me.clone(), setup.generation);
    let world = setup.context.world.clone();
    if definition.socket.is_some() {
        world.listen(setup.launch.clone()).await?;
    }
    if definition.builtin.is_some() {
        return open(here, &setup).await;
    }
    let at_once =
        definition.timer.is_none() && definition.socket.is_none() && !definition.command.is_empty();
    if !at_once {
        return running(here, me, generation).await;
    }
    let process = launch_now(here, &setup).await?;
    let (monitor, of) = (setup.monitor.clone(), process.clone());
    let exit: Answer<_> = here.turn(move |turn| Ok(monitor.send(turn).exit(of))).await?;
    if definition.one_shot {
        let exit = exit.await?;
        if !exit.is_success() {
            return Err(describe(exit).into());
        }
        return here.ask(move |turn| me.send(turn).done(generation)).await;
    }
    if definition.ready.is_some() {
        let ready = world.ready(setup.launch.clone(), process.clone());
        let fault: Fault = tokio::select! {
            exit = &exit => describe(exit?).into(),
            ready = ready => match ready {
                Ok(()) => return running(here, me, generation).await,
                Err(why) => {
                    kill(here, &setup, process).await;
                    let _over = exit.await;
                    why.into()
                }
            },
        };
        return Err(fault);
    }
    running(here, me, generation).await
}

/// Begins what is built in; if it is not wanted any more, ends it again.
async fn open(here: &Here, setup: &Setup) -> Result<(), Fault> {
    begin_log(here, setup).await?;
    go_on(here, setup).await?;
    let world = setup.context.world.clone();
    let builtin = world.builtin(setup.context.clone(), setup.launch.clone()).await?;
    let (me, generation, opened) = (setup.me.clone(), setup.generation, builtin.clone());
    let wanted = here.ask(move |turn| me.send(turn).opened(generation, opened)).await?;
    if !wanted {
        end(here, builtin).await;
        return Err(STOPPED.into());
    }
    running(here, setup.me.clone(), generation).await
}

/// Ends what is built in, which takes as long as it takes.
async fn end(here: &Here, builtin: Ref) {
    let stop = move |turn: &mut Turn<'_>| {
        Answer::<Value>::from_promise(turn.send(&builtin, vec![Value::symbol("stop")]))
    };
    let _over = here.ask(stop).await;
}

async fn running(here: &Here, me: ControllerRef, generation: u64) -> Result<(), Fault> {
    let runs = here.ask(move |turn| me.send(turn).running(generation)).await?;
    if runs { Ok(()) } else { Err(STOPPED.into()) }
}

/// Starts the process of a service that is running already: of a timer.
pub(crate) async fn launch(here: Here, setup: Setup) -> Result<(), Fault> {
    match launch_now(&here, &setup).await {
        Ok(_) => Ok(()),
        Err(fault) => {
            tracing::warn!(target: super::writer::LOG, "{}: {fault}", setup.launch.service);
            Err(fault)
        }
    }
}

/// Whether this start is still wanted.
async fn go_on(here: &Here, setup: &Setup) -> Result<(), Fault> {
    let (me, generation) = (setup.me.clone(), setup.generation);
    let wanted = here.ask(move |turn| me.send(turn).is_going_on(generation)).await?;
    if wanted { Ok(()) } else { Err(STOPPED.into()) }
}

/// Starts the process, and says so to the controller; if that does not want it any more,
/// ends it again.
async fn launch_now(here: &Here, setup: &Setup) -> Result<Process, Fault> {
    begin_log(here, setup).await?;
    go_on(here, setup).await?;
    let (monitor, name) = (setup.monitor.clone(), setup.launch.service.clone());
    let definition = setup.launch.definition.to_text();
    let process = here.ask(move |turn| monitor.send(turn).launch(name, definition)).await?;
    let (me, generation, launched) = (setup.me.clone(), setup.generation, process.clone());
    let wanted = here.ask(move |turn| me.send(turn).launched(generation, launched)).await?;
    if wanted {
        return Ok(process);
    }
    kill(here, setup, process.clone()).await;
    let monitor = setup.monitor.clone();
    here.ask(move |turn| monitor.send(turn).exit(process)).await?;
    Err(STOPPED.into())
}

async fn kill(here: &Here, setup: &Setup, process: Process) {
    let monitor = setup.monitor.clone();
    let kill = here.ask(move |turn| monitor.send(turn).signal(process, "KILL"));
    let _gone_already = kill.await;
}

/// Stops a service: asks its process, and after the time of grace asks no more.
pub(crate) async fn stop(
    here: Here,
    setup: Setup,
    (process, builtin): (Option<Process>, Option<Ref>),
    starting: Option<Answer<bool>>,
) -> Result<bool, Fault> {
    let definition = setup.launch.definition.clone();
    if let Some(process) = process {
        let (monitor, of) = (setup.monitor.clone(), process.clone());
        let exit = here.turn(move |turn| Ok(monitor.send(turn).exit(of))).await?;
        let (monitor, of) = (setup.monitor.clone(), process.clone());
        let signal = definition.stop_signal.to_string();
        let asked = here.ask(move |turn| monitor.send(turn).signal(of, signal)).await;
        let patient = async {
            match asked {
                Ok(()) => pause(&here, &setup.context, definition.grace.0).await,
                Err(gone_already) => Err(gone_already),
            }
        };
        let over = tokio::select! {
            exit = &exit => exit.is_ok(),
            _ = patient => false,
        };
        if !over {
            kill(&here, &setup, process).await;
            exit.await?;
        }
    } else if let Some(builtin) = builtin {
        end(&here, builtin).await;
    } else if let Some(starting) = starting {
        // It notices by itself.
        let _stopped = starting.await;
    }
    // Last: a service that ends is not to find its sockets broken.
    setup.context.world.close(&setup.launch.service);
    let (me, generation) = (setup.me, setup.generation);
    here.ask(move |turn| me.send(turn).stopped(generation)).await?;
    Ok(true)
}

/// Takes over the sockets of a process that an earlier shepherd has started.
pub(crate) async fn adopt(_here: Here, setup: Setup, process: Process) -> Result<(), Fault> {
    setup.context.world.adopt(setup.launch, process).await;
    Ok(())
}

/// Waits for a connection to a service's sockets, and starts its process for that; after a
/// while, if there have been too many.
pub(crate) async fn serve(here: Here, setup: Setup, pause_first: bool) -> Result<(), Fault> {
    if pause_first {
        pause(&here, &setup.context, SERVE_AGAIN).await?;
        go_on(&here, &setup).await?;
    }
    match serve_once(&here, &setup).await {
        Ok(()) => Ok(()),
        Err(_) if go_on(&here, &setup).await.is_err() => Ok(()),
        Err(fault) => {
            tracing::warn!(target: super::writer::LOG, "{}: {fault}", setup.launch.service);
            // A program that can't be run is not to be tried without a pause.
            let delay = setup.launch.definition.respawn.delay.0;
            pause(&here, &setup.context, delay.max(SERVE_AGAIN)).await?;
            let (me, generation) = (setup.me, setup.generation);
            here.ask(move |turn| me.send(turn).serve_again(generation)).await?;
            Err(fault)
        }
    }
}

async fn serve_once(here: &Here, setup: &Setup) -> Result<(), Fault> {
    let world = setup.context.world.clone();
    // Unless they are open. They are not if an earlier shepherd's process had them.
    world.listen(setup.launch.clone()).await?;
    if let Err(fault) = go_on(here, setup).await {
        let me = setup.me.clone();
        here.ask(move |turn| me.send(turn).opened_in_vain()).await?;
        return Err(fault);
    }
    world.connection(&setup.launch.service).await?;
    launch_now(here, setup).await.map(drop)
}

/// Rings a timer, after milliseconds.
pub(crate) async fn ring(here: Here, setup: Setup, after: u64) -> Result<(), Fault> {
    pause(&here, &setup.context, Duration::from_millis(after)).await?;
    let (me, generation) = (setup.me, setup.generation);
    here.ask(move |turn| me.send(turn).ring(generation)).await
}
