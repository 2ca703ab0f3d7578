//! Keys that stand for text: numbers in base 39, a digit for each character, the first character most significant.
//! There is no digit 0.

/// The largest key: the largest whole number below which every whole number is an `f64`.
pub const KEY_MAX: u64 = (1 << 53) - 1;
/// The most characters that a key can stand for.
pub const KEY_CHARS_MAX: usize = 10;

/// The characters of the digits 1, 2, ….
const ALPHABET: &[u8; 38] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-.";
const BASE: u64 = ALPHABET.len() as u64 + 1;

/// The key that stands for `text`: one to ten characters of `0-9A-Z-.`.
#[must_use]
pub const fn key_of_text(text: &str) -> Option<u64> {
    let text = text.as_bytes();
    if text.is_empty() || text.len() > KEY_CHARS_MAX {
        return None;
    }
    let mut key = 0;
    let mut at = 0;
    while at < text.len() {
        let Some(digit) = digit(text[at]) else { return None };
        key = key * BASE + digit;
        at += 1;
    }
    Some(key)
}

/// The text that `key` stands for; `None` if it stands for none.
#[must_use]
pub const fn text_of_key(key: u64) -> Option<KeyText> {
    let mut bytes = [0; KEY_CHARS_MAX];
    let mut start = KEY_CHARS_MAX;
    let mut rest = key;
    while rest > 0 {
        let digit = (rest % BASE) as usize;
        if digit == 0 || start == 0 {
            return None;
        }
        start -= 1;
        bytes[start] = ALPHABET[digit - 1];
        rest /= BASE;
    }
    if start < KEY_CHARS_MAX {
        Some(KeyText { bytes, start })
    } else {
        None
    }
}

const fn digit(character: u8) -> Option<u64> {
    match character {
        b'0'..=b'9' => Some((character - b'0') as u64 + 1),
        b'A'..=b'Z' => Some((character - b'A') as u64 + 11),
        b'-' => Some(37),
        b'.' => Some(38),
        _ => None,
    }
}

/// A key's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyText {
    bytes: [u8; KEY_CHARS_MAX],
    start: usize,
}

impl KeyText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The alphabet is ASCII.
        core::str::from_utf8(&self.bytes[self.start..]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for text in ["0", "00", "A", "E11.9", "C09AA05", "Z-9.ZZZZZZ", ".........."] {
            assert_eq!(key_of_text(text).and_then(text_of_key).unwrap().as_str(), text);
        }
    }

    #[test]
    fn characters_are_digits_from_one() {
        for (value, character) in (1..).zip(ALPHABET) {
            assert_eq!(digit(*character), Some(value));
        }
        assert_eq!(key_of_text("A0"), Some(11 * 39 + 1));
    }

    #[test]
    fn texts_that_are_empty_too_long_or_of_other_characters_have_no_key() {
        for text in ["", "e11", "A B", "A_B", "É", "01234567890"] {
            assert_eq!(key_of_text(text), None, "{text}");
        }
    }

    #[test]
    fn keys_with_a_zero_digit_or_too_many_have_no_text() {
        let largest = key_of_text("..........").unwrap();
        for key in [0, BASE, BASE * BASE + 1, largest + 1, KEY_MAX, u64::MAX] {
            assert_eq!(text_of_key(key), None, "{key}");
        }
        assert!(largest < KEY_MAX);
    }
}
