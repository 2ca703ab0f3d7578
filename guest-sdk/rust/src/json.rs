//! As much JSON as finding a name in a manifest needs, evaluated by the compiler: a name that is not in the manifest is
//! a compile error, and nothing of this is left in the module. Whether the manifest is valid is for
//! `spe module check` to say.

/// The first byte at or after `at` that is not white space.
const fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json[at], b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

/// The byte after the string that opens at `at`.
const fn string_end(json: &[u8], mut at: usize) -> usize {
    at += 1;
    while json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The byte after the value that begins at `at`.
pub(crate) const fn value_end(json: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        at = match json[at] {
            b'"' => string_end(json, at),
            b'{' | b'[' => {
                depth += 1;
                at + 1
            }
            // The end of the object or array around a bare number or word.
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at + 1
            }
            _ => at + 1,
        };
        if depth == 0 && matches!(json[at - 1], b'"' | b'}' | b']') {
            return at;
        }
    }
}

/// Where the next item begins, if a comma follows `at`.
const fn next_item(json: &[u8], at: usize) -> Option<usize> {
    let at = skip_space(json, at);
    match json[at] {
        b',' => Some(skip_space(json, at + 1)),
        b'}' | b']' => None,
        _ => panic!("the manifest is not JSON"),
    }
}

/// Where the first item of the object or array at `at` begins, if it is not empty.
const fn first_item(json: &[u8], at: usize, open: u8) -> Option<usize> {
    let at = skip_space(json, at);
    assert!(json[at] == open, "the manifest has another shape");
    let at = skip_space(json, at + 1);
    if matches!(json[at], b'}' | b']') {
        None
    } else {
        Some(at)
    }
}

/// Where the value of `key` in the object at `object` begins.
pub(crate) const fn member(json: &[u8], object: usize, key: &str) -> Option<usize> {
    let mut item = first_item(json, object, b'{');
    while let Some(name) = item {
        let colon = skip_space(json, string_end(json, name));
        assert!(json[colon] == b':', "the manifest is not JSON");
        let value = skip_space(json, colon + 1);
        if is_text(json, name, key) {
            return Some(value);
        }
        item = next_item(json, value_end(json, value));
    }
    None
}

/// Where the first element of the array at `array` begins.
pub(crate) const fn first_element(json: &[u8], array: usize) -> Option<usize> {
    first_item(json, array, b'[')
}

/// Where the element after the one at `at` begins.
pub(crate) const fn next_element(json: &[u8], at: usize) -> Option<usize> {
    next_item(json, value_end(json, at))
}

/// How many elements the array at `array` has.
pub(crate) const fn length(json: &[u8], array: usize) -> usize {
    let mut length = 0;
    let mut element = first_element(json, array);
    while let Some(at) = element {
        length += 1;
        element = next_element(json, at);
    }
    length
}

/// Whether the value at `at` is an array.
pub(crate) const fn is_array(json: &[u8], at: usize) -> bool {
    json[at] == b'['
}

/// The value at `at`, a whole number written in digits.
pub(crate) const fn whole_number(json: &[u8], mut at: usize) -> usize {
    assert!(json[at].is_ascii_digit(), "the manifest has something else where a whole number belongs");
    let mut number = 0;
    while json[at].is_ascii_digit() {
        number = number * 10 + (json[at] - b'0') as usize;
        at += 1;
    }
    number
}

/// Whether the value at `at` is the string `text`; one that is written with escapes never is.
pub(crate) const fn is_text(json: &[u8], at: usize, text: &str) -> bool {
    let text = text.as_bytes();
    if json[at] != b'"' || string_end(json, at) != at + text.len() + 2 {
        return false;
    }
    let mut i = 0;
    while i < text.len() {
        if json[at + 1 + i] != text[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const JSON: &[u8] = br#" { "a" : [1, "x,]\"", {"b": [ ]}, -2.5e3 ],
        "skip": {"a": null}, "t": "text", "n": 1 } "#;

    #[test]
    fn members_are_found_at_their_own_depth() {
        assert_eq!(JSON[member(JSON, 0, "t").unwrap()..][..6], *b"\"text\"");
        assert_eq!(JSON[member(JSON, 0, "n").unwrap()], b'1');
        assert_eq!(member(JSON, 0, "b"), None);
    }

    #[test]
    fn elements_are_counted_over_nested_values() {
        let array = member(JSON, 0, "a").unwrap();
        let elements: Vec<usize> =
            std::iter::successors(first_element(JSON, array), |at| next_element(JSON, *at)).collect();
        assert!(is_array(JSON, array) && length(JSON, array) == 4 && elements.len() == 4);
        assert_eq!(whole_number(JSON, elements[0]), 1);
        assert!(is_text(JSON, elements[1], "x,]\\\""));
        assert_eq!([JSON[elements[2]], JSON[elements[3]]], *b"{-");
    }

    #[test]
    fn a_prefix_is_not_the_text() {
        let at = member(JSON, 0, "t").unwrap();
        assert!(is_text(JSON, at, "text"));
        assert!(!is_text(JSON, at, "tex"));
        assert!(!is_text(JSON, at, "texts"));
    }
}
