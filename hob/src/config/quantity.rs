//! Times and sizes as people write them: `60s`, `15m`, `16MiB`.

use std::time::Duration;

/// The longest time that a setting or an option may have.
const LONGEST: Duration = Duration::from_secs(366 * 86400);

/// A time: a number, with `ms`, `s`, `m`, `h` or `d` after it, seconds if nothing is.
///
/// # Errors
///
/// What to write instead.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "write a time as 500ms, 30s, 2m, 1h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wanted()),
    };
    let number: f64 = number.parse().map_err(|_| wanted())?;
    let time = Duration::try_from_secs_f64(number * factor);
    let time = time.map_err(|_| "that is too long".to_owned())?;
    if time.is_zero() || time > LONGEST {
        return Err("a time between nothing and a year is wanted".to_owned());
    }
    Ok(time)
}

/// A time in the same notation: by the largest unit that leaves no rest.
pub(crate) fn show_duration(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fits = units.into_iter().find(|(unit, _)| millis.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

/// A size in bytes: a number, with `KiB`, `MiB`, `GiB` (or `kB`, `MB`, `GB`, by thousands)
/// after it, bytes if nothing or `B` is.
///
/// # Errors
///
/// What to write instead.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wanted = || "write a size as 65536, 64KiB or 16MiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wanted()),
    };
    let number: u64 = number.parse().map_err(|_| wanted())?;
    match number.checked_mul(factor) {
        Some(0) => Err("a size of more than nothing is wanted".to_owned()),
        Some(bytes) if usize::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err("that is too large".to_owned()),
    }
}

/// A size in the same notation.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, millis, shown) in [
            ("500ms", 500, "500ms"),
            ("1.5", 1500, "1500ms"),
            ("90s", 90_000, "90s"),
            ("2m", 120_000, "2m"),
            ("60m", 3_600_000, "1h"),
            ("7d", 604_800_000, "7d"),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(millis)), shown);
        }
        for bad in ["", "s", "-1s", "0", "1.2.3", "5 days", "9999999h", "nan", "1e400", "367d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("1000", 1000, "1000"),
            ("512B", 512, "512"),
            ("64KiB", 65536, "64KiB"),
            ("16 MiB", 16 << 20, "16MiB"),
            ("2GB", 2_000_000_000, "1953125KiB"),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), shown);
        }
        for bad in ["", "MiB", "1.5MiB", "-1", "0", "16Mb", "99999999999GiB", "1e3"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
