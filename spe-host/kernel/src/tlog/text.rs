//! Lines, numbers and hashes, as the C2SP formats write them.

use super::{LogError, TreeHash, malformed};

/// A decimal number without leading zeros.
pub(super) fn number(text: &str, what: &'static str) -> Result<u64, LogError> {
    let value: u64 = text.parse().map_err(|_| malformed(what, format!("{text:.32?} is not a number")))?;
    if value.to_string() == text { Ok(value) } else { Err(malformed(what, format!("{text:.32?} has leading zeros"))) }
}

/// A hash in base64.
pub(super) fn hash(text: &str, what: &'static str) -> Result<TreeHash, LogError> {
    text.parse().map_err(|why: &str| malformed(what, why))
}

/// What stands before the first empty line, by line, and what stands after it.
pub(super) fn head<'a>(text: &'a str, what: &'static str) -> Result<(Vec<&'a str>, &'a str), LogError> {
    let (head, rest) = text.split_once("\n\n").ok_or_else(|| malformed(what, "there is no empty line"))?;
    Ok((head.split('\n').collect(), rest))
}

/// Hashes, one a line; more than a tree of 2^63 entries needs are refused.
pub(super) fn hashes(lines: &[&str], what: &'static str) -> Result<Vec<TreeHash>, LogError> {
    if lines.len() > 63 {
        return Err(malformed(what, "it has more than 63 hashes"));
    }
    lines.iter().map(|line| hash(line, what)).collect()
}
