//! What people call a time where the machine is: the offsets in a file of the time zone
//! database (RFC 9636, version 2 and later).

use std::path::Path;

/// The offsets from universal time, and since when each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zone {
    /// Seconds east of universal time before the first change.
    first: i64,
    /// When, and the offset from then on; ascending.
    changes: Vec<(i64, i64)>,
}

impl Zone {
    /// Universal time.
    pub(crate) fn utc() -> Self {
        Self::default()
    }

    /// The machine's zone: that of `TZ` if it names a file of the database, else that of
    /// `/etc/localtime`, else universal time.
    pub(crate) fn of_machine() -> Self {
        let named = std::env::var("TZ").ok().filter(|name| !name.is_empty());
        let path = match named {
            Some(name) if name.contains("..") => return Self::utc(),
            Some(name) => Path::new("/usr/share/zoneinfo").join(name.trim_start_matches(':')),
            None => "/etc/localtime".into(),
        };
        std::fs::read(path).ok().and_then(|bytes| Self::parse(&bytes)).unwrap_or_default()
    }

    /// Reads a file of the database. What comes after its last change is taken to stay.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let first = Header::parse(bytes)?;
        // The first block is for readers of 32 bits.
        let second = bytes.get(HEADER + first.block(4)..)?;
        let header = Header::parse(second)?;
        let body = second.get(HEADER..)?;
        let (times, body) = body.split_at_checked(header.times * 8)?;
        let (kinds, body) = body.split_at_checked(header.times)?;
        let (offsets, _) = body.split_at_checked(header.types * 6)?;
        let offset = |kind: usize| {
            let bytes = offsets.get(kind * 6..kind * 6 + 4)?;
            Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
        };
        let mut changes = Vec::with_capacity(header.times);
        for (time, kind) in times.chunks_exact(8).zip(kinds) {
            let time = i64::from_be_bytes(time.try_into().ok()?);
            changes.push((time, offset(usize::from(*kind))?));
        }
        Some(Self { first: offset(0)?, changes })
    }

    /// How far the zone is east of universal time then.
    fn offset(&self, time: i64) -> i64 {
        let later = self.changes.partition_point(|(since, _)| *since <= time);
        let change = later.checked_sub(1).and_then(|index| self.changes.get(index));
        change.map_or(self.first, |(_, offset)| *offset)
    }

    /// What the clock on the wall shows, as if it were universal time.
    pub(crate) fn local(&self, time: i64) -> i64 {
        time + self.offset(time)
    }

    /// When the clock on the wall shows that. Of an hour that comes twice the first is
    /// meant; one that is left out is a time after the change.
    pub(crate) fn to_universal(&self, local: i64) -> i64 {
        let guess = local - self.offset(local - 86_400);
        let other = local - self.offset(guess);
        if self.local(guess) != local && self.local(other) == local { other } else { guess }
    }
}

const HEADER: usize = 44;

struct Header {
    indicators: usize,
    leaps: usize,
    times: usize,
    types: usize,
    names: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != b"TZif" || *bytes.get(4)? < b'2' {
            return None;
        }
        let count = |index: usize| {
            let bytes = bytes.get(20 + index * 4..24 + index * 4)?;
            let count = u32::from_be_bytes(bytes.try_into().ok()?);
            usize::try_from(count).ok().filter(|count| *count < 100_000)
        };
        // Indicators of universal and of standard time, of one byte each.
        Some(Self {
            indicators: count(0)? + count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            names: count(5)?,
        })
    }

    /// The length of a block whose times have so many bytes.
    const fn block(&self, time: usize) -> usize {
        self.times * (time + 1)
            + self.types * 6
            + self.names
            + self.leaps * (time + 4)
            + self.indicators
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Zone {
        // The changes of 2025: 30 March 01:00 and 26 October 01:00, universal time.
        let changes = vec![(1_743_296_400, 7200), (1_761_440_400, 3600)];
        Zone { first: 3600, changes }
    }

    #[test]
    fn there_and_back() {
        for time in [1_743_200_000, 1_743_400_000, 1_761_300_000, 1_761_500_000] {
            assert_eq!(berlin().to_universal(berlin().local(time)), time);
        }
        // 30 March 02:30 is left out: it becomes 03:30.
        let left_out = 1_743_301_800;
        assert_eq!(berlin().local(berlin().to_universal(left_out)), left_out + 3600);
    }

    #[test]
    fn a_file_of_the_database() {
        let mut file = Vec::new();
        for size in [4, 8] {
            file.extend(b"TZif2");
            file.extend([0; 15]);
            for count in [0_u32, 0, 0, 1, 2, 4] {
                file.extend(count.to_be_bytes());
            }
            let time = 1_000_000_i64.to_be_bytes();
            file.extend(&time[8 - size..]);
            file.push(1);
            for offset in [3600_i32, 7200] {
                file.extend(offset.to_be_bytes());
                file.extend([0, 0]);
            }
            file.extend(b"CET\0");
        }
        let zone = Zone::parse(&file).unwrap();
        assert_eq!(zone, Zone { first: 3600, changes: vec![(1_000_000, 7200)] });
        for length in 0..file.len() - 4 {
            assert_eq!(Zone::parse(&file[..length]), None, "{length}");
        }
    }
}
