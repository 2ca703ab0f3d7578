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
const fn value_end(json: &[u8], mut at: usize) -> usize {
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

/// Where item `index` of the array at `array` begins.
pub(crate) const fn element(json: &[u8], array: usize, mut index: usize) -> Option<usize> {
    let mut item = first_item(json, array, b'[');
    while let Some(at) = item {
        if index == 0 {
            return Some(at);
        }
        index -= 1;
        item = next_item(json, value_end(json, at));
    }
    None
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
        assert!(is_text(JSON, element(JSON, array, 1).unwrap(), "x,]\\\""));
        assert_eq!(JSON[element(JSON, array, 2).unwrap()], b'{');
        assert_eq!(JSON[element(JSON, array, 3).unwrap()], b'-');
        assert_eq!(element(JSON, array, 4), None);
    }

    #[test]
    fn a_prefix_is_not_the_text() {
        let at = member(JSON, 0, "t").unwrap();
        assert!(is_text(JSON, at, "text"));
        assert!(!is_text(JSON, at, "tex"));
        assert!(!is_text(JSON, at, "texts"));
    }
}
