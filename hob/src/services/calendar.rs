//! When timers ring: days of the week or the month, and times of day. Time is counted in
//! seconds from the beginning of 1970; a [`Zone`] says what people call it.

use std::fmt;
use std::str::FromStr;

use super::zone::Zone;

const DAY: i64 = 86_400;
const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Two leap years may be eight years apart, as around 1900 and 2100.
const FARTHEST_DAYS: i64 = 9 * 366;

/// Times that come again and again: `hourly`, `daily 03:00`, `mon..fri 09:00,17:30`,
/// `sat,sun 10:00`, `monthly 1 04:00`. A day without a time means midnight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    text: String,
    days: Days,
    /// Seconds of the day, ascending, at least one.
    times: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    /// By day of the week, Monday first.
    Week([bool; 7]),
    /// A day of the month, from 1.
    Month(i64),
}

impl FromStr for Calendar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            format!(
                "{text:?} says no times: write hourly, daily 03:00, mon..fri 09:00,17:30 or \
                 monthly 1 04:00"
            )
        };
        let mut words = text.split_whitespace();
        let first = words.next().ok_or_else(wanted)?;
        let mut rest = words.next();
        let mut times = None;
        let days = match first {
            "hourly" => {
                times = Some((0..24).map(|hour| hour * 3600).collect());
                Days::Week([true; 7])
            }
            "daily" => Days::Week([true; 7]),
            "monthly" => {
                let day = rest.and_then(|day| day.parse().ok());
                let day = day.filter(|day| (1..=31).contains(day)).ok_or_else(wanted)?;
                rest = words.next();
                Days::Month(day)
            }
            days => Days::Week(week(days).ok_or_else(wanted)?),
        };
        let times: Vec<i64> = match (times, rest) {
            (Some(times), None) => times,
            (None, None) => vec![0],
            (None, Some(list)) => {
                let times: Option<Vec<_>> = list.split(',').map(time_of_day).collect();
                let mut times = times.ok_or_else(wanted)?;
                times.sort_unstable();
                times.dedup();
                times
            }
            (Some(_), Some(_)) => return Err(wanted()),
        };
        if words.next().is_some() {
            return Err(wanted());
        }
        Ok(Self { text: text.to_owned(), days, times })
    }
}

fn week(list: &str) -> Option<[bool; 7]> {
    let index = |day: &str| WEEK.iter().position(|known| *known == day);
    let mut days = [false; 7];
    for part in list.split(',') {
        let (from, to) = match part.split_once("..") {
            Some((from, to)) => (index(from)?, index(to)?),
            None => (index(part)?, index(part)?),
        };
        // From Saturday to Monday goes over the week's end.
        let length = (to + 7 - from) % 7;
        for day in from..=from + length {
            *days.get_mut(day % 7)? = true;
        }
    }
    Some(days)
}

fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let mut part = |below: i64| {
        let part = parts.next()?;
        let number: i64 = (part.len() == 2).then(|| part.parse().ok())??;
        (0..below).contains(&number).then_some(number)
    };
    let (hour, minute) = (part(24)?, part(60)?);
    let second = match text.matches(':').count() {
        1 => 0,
        2 => part(60)?,
        _ => return None,
    };
    Some(hour * 3600 + minute * 60 + second)
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Calendar {
    /// The first of the times after this one. `None` if there is none for years: of a
    /// 31st of February.
    pub(crate) fn next(&self, after: i64, zone: &Zone) -> Option<i64> {
        // A day earlier, for a zone's offset may change in between.
        let today = zone.local(after).div_euclid(DAY) - 1;
        (today..today + FARTHEST_DAYS)
            .filter(|day| self.is_on(*day))
            .flat_map(|day| self.times.iter().map(move |time| day * DAY + time))
            .map(|local| zone.to_universal(local))
            .find(|time| *time > after)
    }

    fn is_on(&self, day: i64) -> bool {
        match &self.days {
            // 1 January 1970 was a Thursday.
            Days::Week(days) => {
                let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default();
                days.get(weekday).copied().unwrap_or(false)
            }
            Days::Month(of_month) => Date::of_day(day).day == *of_month,
        }
    }
}

/// A day as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Date {
    /// The date of a day counted from 1 January 1970.
    pub(crate) fn of_day(day: i64) -> Self {
        // Years that begin in March have the leap day last.
        let day = day + 719_468;
        let era = day.div_euclid(146_097);
        let of_era = day.rem_euclid(146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, turned) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Self { year: era * 400 + year + turned, month, day }
    }
}

/// `2025-09-05`, in the zone.
pub(crate) fn date(time: i64, zone: &Zone) -> String {
    let Date { year, month, day } = Date::of_day(zone.local(time).div_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `19:40:05`, in the zone.
pub(crate) fn time(time: i64, zone: &Zone) -> String {
    let second = zone.local(time).rem_euclid(DAY);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// `2025-09-05 19:40:05`, in the zone.
pub(crate) fn stamp(at: i64, zone: &Zone) -> String {
    format!("{} {}", date(at, zone), time(at, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 September 2025, a Friday, 19:40:06.
    const FRIDAY: i64 = 1_757_101_206;

    #[track_caller]
    fn next(text: &str) -> String {
        let calendar: Calendar = text.parse().unwrap();
        stamp(calendar.next(FRIDAY, &Zone::utc()).unwrap(), &Zone::utc())
    }

    #[test]
    fn the_next_time() {
        assert_eq!(stamp(FRIDAY, &Zone::utc()), "2025-09-05 19:40:06");
        for (text, expected) in [
            ("daily 03:00", "2025-09-06 03:00:00"),
            ("daily 19:40:06", "2025-09-06 19:40:06"),
            ("daily 19:40:07", "2025-09-05 19:40:07"),
            ("daily 03:00,20:00", "2025-09-05 20:00:00"),
            ("daily", "2025-09-06 00:00:00"),
            ("hourly", "2025-09-05 20:00:00"),
            ("mon..fri 09:00", "2025-09-08 09:00:00"),
            ("sat..mon 09:00", "2025-09-06 09:00:00"),
            ("sun,wed 09:00", "2025-09-07 09:00:00"),
            ("monthly 1 04:00", "2025-10-01 04:00:00"),
            ("monthly 31", "2025-10-31 00:00:00"),
        ] {
            assert_eq!(next(text), expected, "{text}");
        }
    }

    #[test]
    fn leap_days_come_round() {
        let calendar: Calendar = "monthly 29 12:00".parse().unwrap();
        // 1 February 2028 and 2100: a leap year, and none.
        let at = |time: i64| stamp(calendar.next(time, &Zone::utc()).unwrap(), &Zone::utc());
        assert_eq!(at(1_832_976_000), "2028-02-29 12:00:00");
        assert_eq!(at(4_105_123_200), "2100-03-29 12:00:00");
    }

    #[test]
    fn what_says_no_times() {
        for bad in [
            "",
            "daily 3:00",
            "daily 24:00",
            "daily 03:60",
            "monday 03:00",
            "mon-fri 03:00",
            "monthly 0 03:00",
            "monthly 32",
            "monthly",
            "hourly 03:00",
            "daily 03:00 04:00",
            "daily 03:00:00:00",
            "mon..xyz",
        ] {
            assert!(bad.parse::<Calendar>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dates() {
        for (day, expected) in [(0, (1970, 1, 1)), (-1, (1969, 12, 31)), (11_016, (2000, 2, 29))] {
            let (year, month, day_of_month) = expected;
            assert_eq!(Date::of_day(day), Date { year, month, day: day_of_month });
        }
    }
}
