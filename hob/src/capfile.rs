//! `.cap` files: one `ocapn://` URI, readable by its owner only.
//!
//! Whoever reads the file may call the object, so files that others may read are
//! refused, as ssh refuses such keys, and no error quotes what is in one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ocapn::Sturdyref;
use ocapn::locator::LocatorError;

/// More than any URI may have.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a capability can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{source}: {why}", source = show(.from))]
pub(crate) struct CapError {
    from: PathBuf,
    pub(crate) why: Why,
}

impl CapError {
    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(&self.why, Why::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

fn show(from: &Path) -> String {
    if from == Path::new("-") { "standard input".to_owned() } else { from.display().to_string() }
}

/// What is wrong with a `.cap` file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("mode {0:04o} lets others read this capability")]
    Mode(u32),
    #[error("not a regular file")]
    NotAFile,
    #[error("larger than any capability")]
    TooLarge,
    #[error("empty: an ocapn:// URI is wanted")]
    Empty,
    #[error("not text")]
    NotText,
    #[error("more than one line: one ocapn:// URI is wanted")]
    ManyLines,
    #[error("not a capability: {0}")]
    Uri(#[from] LocatorError),
    #[error("exists and is not a capability, so it is left alone")]
    InTheWay,
}

/// Reads a capability from a file, or from standard input if the path is `-`.
pub(crate) fn read(path: &Path) -> Result<Sturdyref, CapError> {
    let read = || {
        if path == Path::new("-") { text_of(io::stdin().lock()) } else { text_of(open(path)?) }
    };
    read().and_then(|text| parse(&text)).map_err(|why| CapError { from: path.to_owned(), why })
}

/// A capability from the text of a `.cap` file, or typed as such.
pub(crate) fn parse(text: &str) -> Result<Sturdyref, Why> {
    let uri = text.trim();
    if uri.is_empty() {
        return Err(Why::Empty);
    }
    if uri.contains(['\n', '\r']) {
        return Err(Why::ManyLines);
    }
    Ok(uri.parse()?)
}

/// Writes a capability, mode 0600 and all at once. A capability that is there already
/// is replaced, anything else is left alone. `-` is standard output.
pub(crate) fn write(path: &Path, sturdyref: &Sturdyref) -> Result<(), CapError> {
    let line = format!("{}\n", sturdyref.reveal_uri());
    let write = || {
        if path == Path::new("-") {
            let mut out = io::stdout().lock();
            out.write_all(line.as_bytes())?;
            return Ok(out.flush()?);
        }
        make_way(path)?;
        replace(path, line.as_bytes())?;
        Ok(())
    };
    write().map_err(|why| CapError { from: path.to_owned(), why })
}

/// Checks that a capability may be written there, before one is made.
pub(crate) fn check_writable(path: &Path) -> Result<(), CapError> {
    if path == Path::new("-") {
        return Ok(());
    }
    let check = || {
        make_way(path)?;
        directory_of(path).metadata()?;
        Ok(())
    };
    check().map_err(|why| CapError { from: path.to_owned(), why })
}

fn open(path: &Path) -> Result<File, Why> {
    // Looked at before opening, for opening a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(Why::NotAFile);
    }
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Why::Mode(mode));
    }
    Ok(file)
}

fn text_of(source: impl io::Read) -> Result<String, Why> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_BYTES {
        return Err(Why::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| Why::NotText)
}

fn make_way(path: &Path) -> Result<(), Why> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(metadata) if !metadata.is_file() => return Err(Why::InTheWay),
        Ok(_) => {}
    }
    let text = text_of(File::open(path)?).map_err(|_| Why::InTheWay)?;
    match parse(&text) {
        Ok(_) | Err(Why::Empty) => Ok(()),
        Err(_) => Err(Why::InTheWay),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// Puts a complete file in place of what is at `path`.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut draft_name = std::ffi::OsString::from(".");
    draft_name.push(name);
    draft_name.push(format!(".{}", std::process::id()));
    let draft = directory.join(draft_name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        let _gone_or_harmless = std::fs::remove_file(&draft);
    }
    written?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    const URI: &str = "ocapn://ada.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

    fn written(mode: u32, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.cap");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn written_for_the_owner_only_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.cap");
        let sturdyref: Sturdyref = URI.parse().unwrap();
        write(&path, &sturdyref).unwrap();
        write(&path, &sturdyref).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{URI}\n"));
        assert_eq!(read(&path).unwrap(), sturdyref);
        assert_eq!(directory.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_a_capability_is_not_overwritten() {
        let (_directory, path) = written(0o600, b"my diary\n");
        let error = write(&path, &URI.parse().unwrap()).unwrap_err();
        assert!(matches!(error.why, Why::InTheWay), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"my diary\n");
    }

    #[test]
    fn what_is_refused() {
        let many = format!("{URI}\n{URI}\n");
        let large = vec![b'a'; usize::try_from(MAX_BYTES).unwrap() + 1];
        let table: [(u32, &[u8], &str); 7] = [
            (0o640, URI.as_bytes(), "lets others read"),
            (0o604, URI.as_bytes(), "lets others read"),
            (0o600, b" \n", "empty"),
            (0o600, many.as_bytes(), "more than one line"),
            (0o600, b"\xff", "not text"),
            (0o600, &large, "larger"),
            (0o600, b"http://x", "not a capability"),
        ];
        for (mode, content, what) in table {
            let (_directory, path) = written(mode, content);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert!(!error.contains("AAECAw"), "{error}");
        }
        let error = read(Path::new("/")).unwrap_err();
        assert!(matches!(error.why, Why::NotAFile));
    }
}
