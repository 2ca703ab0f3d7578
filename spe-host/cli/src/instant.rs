//! Times on the command line.

use jiff::Timestamp;

/// An instant as RFC 3339 has it: whoever writes a day is told how to write one.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    let day = || text.parse::<jiff::civil::Date>().ok().filter(|_| !text.contains([':', 'T', 't', ' ']));
    text.parse().map_err(|why| match day() {
        Some(day) => format!("a day has no time and no zone: write {day}T00:00:00Z"),
        None => format!("{why}: write an instant such as 2027-01-31T10:00:00Z"),
    })
}

#[cfg(test)]
mod tests {
    use super::instant;

    /// What would be a bug: a day that is taken for some instant of it, or refused without a word of what to write.
    #[test]
    fn who_writes_a_day_is_told_what_to_write() {
        assert_eq!(instant("2026-11-20T00:00:00Z").map(|at| at.to_string()), Ok("2026-11-20T00:00:00Z".into()));
        let why = instant("2026-11-20").expect_err("a day is no instant");
        assert!(why.ends_with("write 2026-11-20T00:00:00Z"), "{why}");
        for other in ["soon", "2026-11-20T10:00:00", "2026-13-20"] {
            let why = instant(other).expect_err("no instant");
            assert!(why.contains("such as 2027-01-31T10:00:00Z"), "{other}: {why}");
        }
    }
}
