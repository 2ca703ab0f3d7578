//! Days and instants as text: ISO 8601, proleptic Gregorian calendar, years 1 to 9999.

const DAY_MICROS: i64 = 86_400_000_000;
/// 0001-01-01 and 9999-12-31.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    let [y @ .., b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let year = if y.len() == 4 { digits(y)? } else { return None };
    let (month, day) = (digits(&[*m1, *m2])?, digits(&[*d1, *d2])?);
    let days = days_of(year, month, day);
    let exists = (1..=12).contains(&month) && year > 0 && civil_of(days) == (year, month, day);
    if exists { i32::try_from(days).ok() } else { None }
}

/// Microseconds since 1970-01-01T00:00Z of `YYYY-MM-DDTHH:MM:SS[.ffffff][Z|±HH:MM]`; a space may stand for the `T`, and
/// an instant without a zone is in UTC.
pub fn parse_timestamp(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let ([b'T' | b' ', h1, h2, b':', m1, m2, b':', s1, s2], rest) = rest.split_at_checked(9)? else { return None };
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?, digits(&[*s1, *s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_micros, zone) = fraction(rest)?;
    let seconds = (hour * 60 + minute) * 60 + second - offset_minutes(zone)? * 60;
    let micros = i64::from(parse_date(date)?) * DAY_MICROS + seconds * 1_000_000 + fraction_micros;
    DAYS.contains(&micros.div_euclid(DAY_MICROS)).then_some(micros)
}

/// Microseconds of `.ffffff` at the start of `text`, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else { return Some((0, text)) };
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (fraction, zone) = rest.split_at_checked(length)?;
    let missing = 6_u32.checked_sub(u32::try_from(length).ok()?)?;
    Some((digits(fraction)? * 10_i64.pow(missing), zone))
}

fn offset_minutes(zone: &[u8]) -> Option<i64> {
    match zone {
        b"" | b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let offset = hours * 60 + minutes;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    let step = |sum: i64, b: &u8| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0'));
    if text.is_empty() { None } else { text.iter().try_fold(0, step) }
}

/// `YYYY-MM-DD`.
pub fn print_date(days: i32) -> String {
    let (year, month, day) = civil_of(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
pub fn print_timestamp(micros: i64) -> String {
    let (year, month, day) = civil_of(micros.div_euclid(DAY_MICROS));
    let within = micros.rem_euclid(DAY_MICROS);
    let (seconds, fraction) = (within / 1_000_000, within % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

// Both after H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": years start in March, eras have 400 of them.

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
