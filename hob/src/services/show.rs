//! What `herd` prints: the Shepherd's own form.

use std::fmt::Write as _;

use super::calendar::{date, stamp, time};
use super::status::{Phase, Status};
use super::zone::Zone;

/// The groups of services, each with its mark, in the order in which they are shown.
const GROUPS: [(&str, &str); 8] = [
    ("Started:", "+"),
    ("Running timers:", "+"),
    ("Starting:", "^"),
    ("Stopping:", "v"),
    ("Stopped:", "-"),
    ("One-shot:", "*"),
    ("Failed to start:", "!"),
    ("Unreachable:", "?"),
];

fn group(status: &Status) -> usize {
    match status.state {
        _ if status.is_cut() => 7,
        Phase::Running if status.timer.is_some() => 1,
        Phase::Running => 0,
        Phase::Starting => 2,
        Phase::Stopping => 3,
        Phase::Stopped if status.one_shot => 5,
        Phase::Stopped => 4,
        Phase::Failed => 6,
    }
}

/// All services by their state. The shepherd itself is one of them, `root`, for whoever
/// may see them all.
pub(crate) fn summary(statuses: &[Status], root: bool) -> String {
    let mut text = String::new();
    for (index, (title, mark)) in GROUPS.iter().enumerate() {
        let names = statuses.iter().filter(|status| group(status) == index);
        let mut names: Vec<&str> = names.map(|status| status.name.as_str()).collect();
        if index == 0 && root {
            names.push("root");
        }
        names.sort_unstable();
        if names.is_empty() {
            continue;
        }
        text.push_str(title);
        text.push('\n');
        for name in names {
            writeln!(text, " {mark} {name}").unwrap_or_default();
        }
    }
    let mut flapping = statuses.iter().filter(|status| status.flapping.is_some()).peekable();
    if flapping.peek().is_some() {
        text.push_str("Flapping:\n");
    }
    for status in flapping {
        writeln!(text, " ~ {}", status.name).unwrap_or_default();
    }
    text
}

/// How long ago that was.
fn ago(seconds: i64) -> String {
    let (count, unit) = match seconds.max(0) {
        seconds if seconds < 60 => (seconds, "second"),
        seconds if seconds < 3600 => (seconds / 60, "minute"),
        seconds if seconds < 86_400 => (seconds / 3600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// The time of day, with the day if that is another.
fn when(at: i64, now: i64, zone: &Zone) -> String {
    if date(at, zone) == date(now, zone) { time(at, zone) } else { stamp(at, zone) }
}

/// One service in full.
pub(crate) fn status(status: &Status, now: i64, zone: &Zone) -> String {
    let mut lines = Vec::new();
    let since = when(status.since, now, zone);
    let passed = ago(now - status.since);
    lines.push(match status.state {
        _ if status.is_cut() => cut(status, now, zone),
        Phase::Running if status.timer.is_some() => {
            format!("It is a timer running since {since} ({passed}).")
        }
        Phase::Stopped if status.one_shot => {
            format!("It is stopped (one-shot) since {since} ({passed}).")
        }
        Phase::Failed => format!("It is failing since {since} ({passed})."),
        state => format!("It is {} since {since} ({passed}).", state.name()),
    });
    if let Some(remote) = &status.remote {
        lines.push(format!("Machine: {}", remote.machine));
        if let Some(error) = &remote.error {
            lines.push(format!("Error: {}", crate::output::harmless(error)));
        }
    }
    if let Some(since) = status.flapping {
        let (since, passed) = (when(since, now, zone), ago(now - since));
        lines.push(format!("It is flapping since {since} ({passed})."));
    }
    if status.is_cut() {
        // What it was, is said.
    } else if status.state == Phase::Running {
        if let Some(pid) = status.pid {
            lines.push(format!("Main PID: {pid}"));
        }
        if !status.command.is_empty() {
            lines.push(format!("Command: {}", words(&status.command)));
        }
        if let Some(builtin) = &status.builtin {
            lines.push(format!("Built in: {builtin}"));
        }
        if let Some(timer) = &status.timer {
            lines.push(format!("Timer: {timer}"));
        }
        if let Some(next) = status.next {
            lines.push(format!("Next: {}", stamp(next, zone)));
        }
        if !status.sockets.is_empty() {
            lines.push(format!("Listening on: {}", status.sockets.join(" ")));
        }
    } else {
        match (status.exit_code, status.exit_signal) {
            (Some(0), _) => lines.push("Process exited successfully.".to_owned()),
            (Some(code), _) => lines.push(format!("Process exited with code {code}.")),
            (_, Some(signal)) => {
                lines.push(format!("Process terminated with signal {signal}."));
            }
            (None, None) => {}
        }
        if let Some(failure) = &status.failure {
            lines.push(format!("Failure: {}", crate::output::harmless(failure)));
        }
    }
    lines.push(if status.enabled { "It is enabled." } else { "It is disabled." }.to_owned());
    lines.push(format!("Provides: {}", status.provides.join(" ")));
    if !status.requires.is_empty() {
        lines.push(format!("Requires: {}", status.requires.join(" ")));
    }
    if !status.actions.is_empty() {
        lines.push(format!("Custom actions: {}", status.actions.join(" ")));
    }
    if status.transient {
        lines.push("It is transient.".to_owned());
    }
    lines.push(
        if status.respawn { "Will be respawned." } else { "Will not be respawned." }.to_owned(),
    );
    let mut text = format!("Status of {}:\n", status.name);
    for line in lines {
        writeln!(text, "  {line}").unwrap_or_default();
    }
    if status.state.is_up() && !status.is_cut() && !status.messages.is_empty() {
        text.push_str("\nRecent messages (use '-n' to view more or less):\n");
        for (at, line) in &status.messages {
            writeln!(text, "  {} {line}", stamp(*at, zone)).unwrap_or_default();
        }
    }
    text
}

/// Of a service whose machine does not answer.
fn cut(status: &Status, now: i64, zone: &Zone) -> String {
    match status.remote.as_ref().and_then(|remote| remote.unreachable_since) {
        Some(since) => {
            let (at, passed) = (when(since, now, zone), ago(now - since));
            format!("It is unreachable since {at} ({passed}); it was {}.", status.state.name())
        }
        None => "It has not been reached yet.".to_owned(),
    }
}

/// A command as it might be typed.
fn words(command: &[String]) -> String {
    let plain = |word: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
        !word.is_empty() && word.chars().all(fine)
    };
    let quoted = |word: &String| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    crate::output::harmless(&command.iter().map(quoted).collect::<Vec<_>>().join(" "))
}

/// What requires what, for Graphviz.
pub(crate) fn graph(statuses: &[Status]) -> String {
    let mut text = "digraph services {\n".to_owned();
    let providers: std::collections::BTreeMap<&str, &str> = statuses
        .iter()
        .flat_map(|of| of.provides.iter().map(|name| (name.as_str(), of.name.as_str())))
        .collect();
    for of in statuses {
        let style = if of.state == Phase::Running { "filled" } else { "solid" };
        writeln!(text, "  \"{}\" [style={style}];", of.name).unwrap_or_default();
        for required in &of.requires {
            let provider = providers.get(required.as_str()).copied().unwrap_or(required);
            writeln!(text, "  \"{}\" -> \"{provider}\";", of.name).unwrap_or_default();
        }
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::status::Elsewhere;

    /// 5 September 2025, 19:40:14.
    const NOW: i64 = 1_757_101_214;

    fn emacs() -> Status {
        Status {
            name: "emacs".into(),
            state: Phase::Running,
            since: NOW - 9,
            pid: Some(40),
            command: vec!["/gnu/store/b6f-emacs-no-x-30.1/bin/emacs".into(), "--fg-daemon".into()],
            enabled: true,
            provides: vec!["emacs".into()],
            requires: vec![],
            respawn: true,
            one_shot: false,
            transient: false,
            timer: None,
            next: None,
            sockets: vec![],
            exit_code: None,
            exit_signal: None,
            failure: None,
            doc: None,
            builtin: None,
            actions: vec![],
            messages: vec![(NOW - 8, "Starting Emacs daemon.".into())],
            remote: None,
            flapping: None,
        }
    }

    #[test]
    fn the_transcript_of_emacs() {
        let text = status(&emacs(), NOW, &Zone::utc());
        let expected = "\
Status of emacs:
  It is running since 19:40:05 (9 seconds ago).
  Main PID: 40
  Command: /gnu/store/b6f-emacs-no-x-30.1/bin/emacs --fg-daemon
  It is enabled.
  Provides: emacs
  Will be respawned.

Recent messages (use '-n' to view more or less):
  2025-09-05 19:40:06 Starting Emacs daemon.
";
        assert_eq!(text, expected);
        let stopped = Status {
            state: Phase::Stopped,
            since: NOW + 17,
            pid: None,
            exit_code: Some(15),
            ..emacs()
        };
        let expected = "\
Status of emacs:
  It is stopped since 19:40:31 (2 seconds ago).
  Process exited with code 15.
  It is enabled.
  Provides: emacs
  Will be respawned.
";
        assert_eq!(status(&stopped, NOW + 19, &Zone::utc()), expected);
    }

    #[test]
    fn all_by_state() {
        let named = |name: &str, state| Status { name: name.into(), state, ..emacs() };
        let all = [
            named("emacs", Phase::Running),
            named("a", Phase::Stopped),
            named("b", Phase::Failed),
            Status { one_shot: true, ..named("c", Phase::Stopped) },
        ];
        let expected = "Started:\n + emacs\n + root\nStopped:\n - a\nOne-shot:\n * c\n\
                        Failed to start:\n ! b\n";
        assert_eq!(summary(&all, true), expected);
        assert_eq!(summary(&all[..1], false), "Started:\n + emacs\n");
    }

    #[test]
    fn machines_that_are_cut_and_services_that_flap() {
        let remote = |reachable, unreachable_since: Option<i64>| {
            let error = unreachable_since.map(|_| "nobody there".to_owned());
            Some(Elsewhere { machine: "A".into(), reachable, unreachable_since, error })
        };
        let named = |name: &str, remote| Status { name: name.into(), remote, ..emacs() };
        let cut = named("web-a", remote(false, Some(NOW - 3)));
        let asked = Status { state: Phase::Stopped, ..named("web-b", remote(false, None)) };
        let there = Status { flapping: Some(NOW - 60), ..named("web-c", remote(true, None)) };
        let all = [cut.clone(), asked.clone(), there.clone()];
        let expected =
            "Started:\n + root\n + web-c\nUnreachable:\n ? web-a\n ? web-b\nFlapping:\n ~ web-c\n";
        assert_eq!(summary(&all, true), expected);
        let expected = "\
Status of web-a:
  It is unreachable since 19:40:11 (3 seconds ago); it was running.
  Machine: A
  Error: nobody there
  It is enabled.
  Provides: emacs
  Will be respawned.
";
        assert_eq!(status(&cut, NOW, &Zone::utc()), expected);
        let text = status(&asked, NOW, &Zone::utc());
        assert!(text.contains("  It has not been reached yet.\n  Machine: A\n"), "{text}");
        let text = status(&there, NOW, &Zone::utc());
        assert!(text.contains("  Machine: A\n  It is flapping since 19:39:14 (1 minute ago).\n"));
        let json = serde_json::to_value(&cut).unwrap();
        assert_eq!(json["remote"]["reachable"], false);
        assert_eq!(json["remote"]["unreachable-since"], NOW - 3);
    }

    #[test]
    fn other_days_and_odd_words() {
        let yesterday = Status {
            since: NOW - 86_400,
            command: vec!["sh".into(), "-c".into(), "echo it's \u{1b}[2J".into()],
            ..emacs()
        };
        let text = status(&yesterday, NOW, &Zone::utc());
        assert!(text.contains("since 2025-09-04 19:40:14 (1 day ago)"), "{text}");
        assert!(text.contains(r"Command: sh -c 'echo it'\''s \u{1b}[2J'"), "{text}");
    }
}
