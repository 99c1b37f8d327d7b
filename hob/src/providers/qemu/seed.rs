//! The seed: a small FAT volume labelled `CIDATA`, from which cloud-init in the machine
//! reads what it is to be (its NoCloud source). The same text makes the same bytes.

use std::io::{self, Cursor, Write as _};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

/// How large a volume is. What is in it is sparse on the disk.
const VOLUME_BYTES: usize = 1024 * 1024;
/// How much text may be in it: what is over that does not belong into a seed.
const MAX_TEXT_BYTES: usize = 512 * 1024;

/// A volume with those files.
///
/// # Errors
///
/// If the files are too large.
pub(super) fn volume(files: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let text: usize = files.iter().map(|(_, text)| text.len()).sum();
    if text > MAX_TEXT_BYTES {
        let why = format!("a seed of {text} bytes is wanted, and {MAX_TEXT_BYTES} is the most");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    let mut volume = Cursor::new(vec![0; VOLUME_BYTES]);
    let options = FormatVolumeOptions::new().volume_label(*b"CIDATA     ");
    fatfs::format_volume(&mut volume, options)?;
    let system = FileSystem::new(&mut volume, FsOptions::new())?;
    for (name, text) in files {
        let mut file = system.root_dir().create_file(name)?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
    }
    system.unmount()?;
    Ok(volume.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_volume_has_the_label_and_the_files_and_is_always_the_same() {
        let files = [("user-data", "#cloud-config\n{}\n"), ("meta-data", "{}\n")];
        let image = volume(&files).unwrap();
        assert_eq!(image, volume(&files).unwrap());
        let system = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
        assert_eq!(system.volume_label_as_bytes(), b"CIDATA");
        let label = system.read_volume_label_from_root_dir_as_bytes().unwrap();
        assert_eq!(label.as_ref(), Some(b"CIDATA     "));
        for (name, text) in files {
            let mut found = String::new();
            let mut file = system.root_dir().open_file(name).unwrap();
            file.read_to_string(&mut found).unwrap();
            assert_eq!(found, text);
        }
    }

    #[test]
    fn as_much_as_is_allowed_fits_and_more_is_refused() {
        let text = "x".repeat(MAX_TEXT_BYTES);
        volume(&[("user-data", &text), ("meta-data", "")]).unwrap();
        let error = volume(&[("user-data", &text), ("meta-data", "x")]).unwrap_err();
        assert!(error.to_string().contains("524289"), "{error}");
    }
}
