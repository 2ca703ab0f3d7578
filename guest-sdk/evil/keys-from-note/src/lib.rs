//! Evil: names keys that only one person has: their note, ten characters a key.
//!
//! Expected: keys that one person alone names are released with a probability of at most δ each.
//!
//! Bugs would be: the target's note among the keys, more often than δ allows; anything whose size or time tells how
//! many keys there were.

#![cfg(target_arch = "wasm32")]
#![no_std]
#![forbid(unsafe_code)]

use spe_guest::abi::{key_of_text, KEY_CHARS_MAX};
use spe_guest::{analysis, Column, Keys, Output, Outputs, Params, Subject, Text};

analysis! { manifest: "../manifest.json", map: publish }

const NOTE: Column<Text> = MANIFEST.table("visits").text("note");
const NOTES: Output<Keys> = MANIFEST.keys("notes");

fn publish(subject: &Subject, _: &Params, out: &mut Outputs) {
    let note = subject.column(NOTE).first().unwrap_or("");
    out.keys(NOTES, note.as_bytes().chunks(KEY_CHARS_MAX).filter_map(key));
}

/// The key of up to ten characters, those that a key cannot have replaced by dots.
fn key(characters: &[u8]) -> Option<u64> {
    let mut text = [0; KEY_CHARS_MAX];
    for (place, character) in text.iter_mut().zip(characters) {
        let upper = character.to_ascii_uppercase();
        *place = if upper.is_ascii_alphanumeric() || upper == b'-' { upper } else { b'.' };
    }
    key_of_text(core::str::from_utf8(&text[..characters.len()]).ok()?)
}
