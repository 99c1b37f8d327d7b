//! What a service says, on its way to a file: lines with times, rotation by size and
//! count. Memory is bounded: what is not written is not read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::calendar::stamp;
use super::process::{Lines, Sink};
use super::zone::Zone;

/// The longest line; longer ones are cut in pieces.
const MAX_LINE: usize = 4096;
/// How much is read at a time.
const CHUNK: usize = 64 * 1024;
/// How long a line without an end may wait for one.
const PATIENCE: Duration = Duration::from_millis(500);
/// How much of the end of a file is looked at for the last lines.
const TAIL: u64 = 32 * 1024;

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A log file that is rotated.
pub(crate) struct LogFile {
    path: PathBuf,
    /// How large it gets.
    size: u64,
    /// How many rotated ones are kept.
    keep: u32,
    open: Option<(File, u64)>,
    /// Lines that could not be written.
    lost: u64,
}

impl LogFile {
    pub(crate) const fn new(path: PathBuf, size: u64, keep: u32) -> Self {
        Self { path, size, keep, open: None, lost: 0 }
    }

    /// Writes the lines, or counts them as lost; once it can write again it says how many
    /// were. A disk that is full stops nobody.
    pub(crate) fn write(&mut self, lines: &Lines, zone: &Zone) {
        let mut text = String::new();
        if self.lost > 0 {
            let at = lines.first().map_or(0, |(at, _)| *at);
            text.push_str(&format!("{} [{} lines were lost]\n", stamp(at, zone), self.lost));
        }
        for (at, line) in lines {
            text.push_str(&stamp(*at, zone));
            text.push(' ');
            text.push_str(line);
            text.push('\n');
        }
        match self.append(text.as_bytes()) {
            Ok(()) => self.lost = 0,
            Err(error) => {
                if self.lost == 0 {
                    tracing::warn!(%error, "can't write {}", self.path.display());
                }
                self.lost = self.lost.saturating_add(lines.len() as u64);
                self.open = None;
            }
        }
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let (mut file, mut length) = match self.open.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        if length > 0 && length + text.len() as u64 > self.size {
            drop(file);
            self.rotate()?;
            (file, length) = open(&self.path)?;
        }
        // All or nothing, so that no line is cut where the disk was full.
        if let Err(error) = file.write_all(text) {
            let _as_it_was = file.set_len(length);
            return Err(error);
        }
        self.open = Some((file, length + text.len() as u64));
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..self.keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, numbered(1))
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The last lines of a file as they are written there, as far as they are lines of ours.
pub(crate) fn tail(path: &Path, zone: &Zone, most: usize) -> Lines {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Lines = text.lines().filter_map(|line| unstamp(line, zone)).collect();
    let skipped = lines.len().saturating_sub(most);
    lines.into_iter().skip(skipped).collect()
}

/// The time and the text of a line.
fn unstamp(line: &str, zone: &Zone) -> Option<(i64, String)> {
    let (stamp_text, text) = (line.get(..19)?, line.get(20..)?);
    let number = |range: std::ops::Range<usize>| stamp_text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Days of years that begin in March.
    let (from_march, year) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leaps + of_year - 719_468;
    let at = zone.to_universal(days * 86_400 + hour * 3600 + minute * 60 + second);
    (stamp(at, zone) == stamp_text).then(|| (at, text.to_owned()))
}

/// Cuts what comes into lines.
#[derive(Default)]
struct Splitter {
    begun: Vec<u8>,
}

impl Splitter {
    fn take(&mut self, bytes: &[u8], at: i64) -> Lines {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' || self.begun.len() >= MAX_LINE {
                lines.extend(self.end(at));
            }
            if *byte != b'\n' {
                self.begun.push(*byte);
            }
        }
        lines
    }

    /// The line as far as it has come. Control characters are escaped, so that it can't
    /// steer a terminal.
    fn end(&mut self, at: i64) -> Option<(i64, String)> {
        let bytes = std::mem::take(&mut self.begun);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let text = String::from_utf8_lossy(bytes);
        let mut line = String::with_capacity(text.len());
        for c in text.chars() {
            if c.is_control() && c != '\t' {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        Some((at, line))
    }
}

/// Reads what a service says for as long as anybody may say something, writes it to the
/// file and then tells the sink. While it waits for these it does not read, and so who
/// says too much has to wait as well.
pub(crate) async fn pump(mut from: pipe::Receiver, file: LogFile, zone: Zone, sink: Sink) {
    let mut splitter = Splitter::default();
    let mut file = Some(file);
    let mut chunk = vec![0; CHUNK];
    loop {
        let reading = from.read(&mut chunk);
        let read = if splitter.begun.is_empty() {
            reading.await
        } else {
            match tokio::time::timeout(PATIENCE, reading).await {
                Ok(read) => read,
                Err(_elapsed) => Ok(0),
            }
        };
        let lines = match read {
            Ok(0) => splitter.end(now()).into_iter().collect(),
            Ok(length) => splitter.take(chunk.get(..length).unwrap_or_default(), now()),
            Err(error) => {
                tracing::error!(%error, "can't read what a service says");
                return;
            }
        };
        if lines.is_empty() {
            continue;
        }
        let Some(mut writer) = file.take() else { return };
        let zone = zone.clone();
        let written = tokio::task::spawn_blocking(move || {
            writer.write(&lines, &zone);
            (writer, lines)
        });
        let Ok((writer, lines)) = written.await else { return };
        file = Some(writer);
        sink(lines).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Lines {
        texts.iter().map(|text| (1_757_101_206, (*text).to_owned())).collect()
    }

    #[test]
    fn written_with_times_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/a.log");
        let mut file = LogFile::new(path.clone(), 1000, 2);
        file.write(&lines(&["Starting Emacs daemon.", ""]), &Zone::utc());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "2025-09-05 19:40:06 Starting Emacs daemon.\n2025-09-05 19:40:06 \n");
        assert_eq!(tail(&path, &Zone::utc(), 5), lines(&["Starting Emacs daemon.", ""]));
        assert_eq!(tail(&path, &Zone::utc(), 1), lines(&[""]));
        fs::write(&path, "not ours\n2025-13-05 19:40:06 neither\n").unwrap();
        assert_eq!(tail(&path, &Zone::utc(), 5), []);
    }

    #[test]
    fn rotated_by_size_and_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let mut file = LogFile::new(path, 60, 2);
        for text in ["one", "two", "three", "four", "five", "six", "seven"] {
            file.write(&lines(&[text]), &Zone::utc());
        }
        let mut names: Vec<_> = directory
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.len() <= 60, "{text}");
                let said = text.lines().map(|line| line[20..].to_owned()).collect::<Vec<_>>();
                (path.file_name().unwrap().to_str().unwrap().to_owned(), said.join(" "))
            })
            .collect();
        names.sort();
        let expected = [("a.log", "seven"), ("a.log.1", "five six"), ("a.log.2", "three four")];
        let expected = expected.map(|(name, said)| (name.to_owned(), said.to_owned()));
        assert_eq!(names, expected);
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_so_later() {
        let mut file = LogFile::new("/dev/full".into(), u64::MAX, 2);
        file.write(&lines(&["a", "b"]), &Zone::utc());
        file.write(&lines(&["c"]), &Zone::utc());
        assert_eq!(file.lost, 3);
        let directory = tempfile::tempdir().unwrap();
        file.path = directory.path().join("a.log");
        file.write(&lines(&["d"]), &Zone::utc());
        let text = fs::read_to_string(&file.path).unwrap();
        assert!(text.contains("[3 lines were lost]"), "{text}");
        assert_eq!(file.lost, 0);
    }

    #[test]
    fn long_lines_are_cut_and_controls_escaped() {
        let mut splitter = Splitter::default();
        let flood = vec![b'x'; MAX_LINE * 3];
        let mut said = splitter.take(&flood, 0);
        assert!(splitter.begun.len() <= MAX_LINE);
        said.extend(splitter.end(0));
        assert_eq!(said.iter().map(|(_, line)| line.len()).sum::<usize>(), flood.len());
        assert_eq!(splitter.take(b"a\x1b[2J\tb\r\n", 0), [(0, "a\\u{1b}[2J\tb".to_owned())]);
    }
}
