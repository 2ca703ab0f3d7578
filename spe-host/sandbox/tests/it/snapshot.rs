//! Every data subject starts from the same state.

use crate::fixture::{Guest, singles};

/// Runs a guest that reads a state, changes it and answers what it read. Every data subject must read the same: an
/// answer that counts up would be a channel from one person to the next.
fn same_for_all(items: &str, start: &'static str, map: &str, expected: f64) {
    let guest = Guest { items: items.to_owned(), map: map.to_owned(), start, ..Guest::default() };
    assert_eq!(guest.run(&singles(&[1, 2, 3, 4])), vec![Some(vec![expected]); 4]);
}

#[test]
fn memory_is_as_the_start_left_it() {
    let map = "(call $answer (local.get $out) (i64.load (i32.const 1024)))
               (i64.store (i32.const 1024) (i64.add (i64.load (i32.const 1024)) (i64.const 1)))";
    let start = "(i64.store (i32.const 1024) (i64.const 41)) (i32.const 0)";
    same_for_all("", "(i32.const 0)", map, 0.0);
    same_for_all(r#"(data (i32.const 1024) "\07")"#, "(i32.const 0)", map, 7.0);
    same_for_all(r#"(data (i32.const 1024) "\07")"#, start, map, 41.0);
}

/// Far from everything else, where no cheap reset would look.
#[test]
fn memory_at_its_end_is_reset() {
    let map = "(if (i32.lt_u (memory.size) (i32.const 200)) (then (drop (memory.grow (i32.const 198)))))
               (call $answer (local.get $out) (i64.load (i32.const 13107192)))
               (memory.fill (i32.const 8388608) (i32.const 7) (i32.const 4718592))";
    same_for_all("", "(i32.const 0)", map, 0.0);
}

#[test]
fn memory_size_is_reset() {
    let map = "(call $answer (local.get $out) (i64.extend_i32_u (memory.grow (i32.const 3))))";
    same_for_all("", "(i32.const 0)", map, 2.0);
    same_for_all("", "(drop (memory.grow (i32.const 1))) (i32.const 0)", map, 3.0);
}

#[test]
fn globals_are_reset() {
    let map = "(call $answer (local.get $out) (global.get $g)) (global.set $g (i64.add (global.get $g) (i64.const 1)))";
    same_for_all("(global $g (mut i64) (i64.const 5))", "(i32.const 0)", map, 5.0);
    same_for_all("(global $g (mut i64) (i64.const 5))", "(global.set $g (i64.const 6)) (i32.const 0)", map, 6.0);
}

#[test]
fn tables_are_reset() {
    let items = "(table $t 2 funcref) (elem (i32.const 0) $a $b) (func $a (result i64) (i64.const 1)) (func $b (result i64) (i64.const 2))";
    let swap = "(call $answer (local.get $out) (call_indirect $t (result i64) (i32.const 0)))
                (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 1))";
    same_for_all(items, "(i32.const 0)", swap, 1.0);
    let grow = "(call $answer (local.get $out) (i64.extend_i32_u (table.grow $t (ref.null func) (i32.const 1))))";
    same_for_all(items, "(i32.const 0)", grow, 2.0);
}

#[test]
fn dropped_segments_are_back() {
    let items = r#"(data $d "\09")"#;
    let map = "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop $d)
               (call $answer (local.get $out) (i64.load8_u (i32.const 0)))";
    same_for_all(items, "(i32.const 0)", map, 9.0);
}
