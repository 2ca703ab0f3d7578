//! Guests that misbehave while they run.

use crate::fixture::{Guest, SANDBOX, approve, choices, run, singles};

/// A start that never ends stops when its fuel does. Waiting, or approving it, would be a bug.
#[test]
fn a_loop_at_the_start_refuses_the_module() {
    let spin = "(loop (br 0)) (unreachable)";
    let start = Guest { start: spin, ..Guest::default() };
    assert_eq!(start.refusal(), "spe_start traps or runs out of fuel");
    let input = Guest { input: spin, ..Guest::default() };
    assert!(input.refusal().starts_with("spe_input traps or runs out of fuel"));
}

/// `spe_start` and `spe_input` decide before any data is there, so that their refusal may be told.
#[test]
fn a_start_that_fails_refuses_the_module() {
    assert_eq!(Guest { start: "(i32.const 1)", ..Guest::default() }.refusal(), "spe_start refuses the parameters");
    assert_eq!(Guest { start: "(unreachable)", ..Guest::default() }.refusal(), "spe_start traps or runs out of fuel");
    let segment = Guest { items: r#"(data (i32.const 131072) "x")"#.to_owned(), ..Guest::default() };
    assert!(segment.refusal().starts_with("its data or element segments"));
}

/// The host never writes where the guest does not own memory, nor off the alignment.
#[test]
fn an_address_that_cannot_be_is_refused() {
    let cases = [
        ("(i32.const 0)", "finds no room"),
        ("(i32.const 4)", "not a multiple of 8"),
        ("(i32.const 131072)", "do not lie within its memory"),
        ("(i32.const 131064)", "do not lie within its memory"),
        ("(i32.const -8)", "do not lie within its memory"),
        ("(i32.sub (i32.const 131080) (local.get $bytes))", "do not lie within its memory"),
    ];
    for (input, why) in cases {
        let said = Guest { input, ..Guest::default() }.refusal();
        assert!(said.contains(why), "{input}: {said}");
    }
    Guest { input: "(i32.and (i32.sub (i32.const 131072) (local.get $bytes)) (i32.const -8))", ..Guest::default() }
        .approve();
}

/// Fails for the one data subject whose number is 13, in every way that a guest can fail.
///
/// The others must contribute as if nothing had happened; an error, a missing subject, or a different number for a
/// neighbour would tell the world about subject 13.
#[test]
fn a_failure_concerns_one_data_subject_only() {
    let failures = [
        ("trap", "(unreachable)"),
        ("endless loop", "(loop (br 0))"),
        ("out of bounds", "(drop (i32.load (i32.const -4)))"),
        ("division by zero", "(drop (i32.div_s (i32.const 1) (i32.const 0)))"),
        ("deep recursion", "(call $deep)"),
        ("wild call", "(call_indirect $t (i32.const 77))"),
        ("memory and trap", "(drop (memory.grow (i32.const 100))) (unreachable)"),
        ("exit", "(call $exit (i32.const 0))"),
    ];
    for (what, fail) in failures {
        let items = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                       (table $t 1 funcref) (func $deep (call $deep) (call $deep))"#;
        let map = format!(
            "(if (i64.eq (call $first (local.get $record)) (i64.const 13)) (then {fail}))
             (call $answer (local.get $out) (call $first (local.get $record)))"
        );
        let seen = Guest { items: items.to_owned(), map, ..Guest::default() }.run(&singles(&[1, 13, 2, 13, 3]));
        let one = |x| Some(vec![x]);
        assert_eq!(seen, [one(1.0), None, one(2.0), None, one(3.0)], "{what}");
    }
}

/// Memory grows to the plan's limit and no further; the guest sees −1, the host nothing.
#[test]
fn memory_grows_to_the_plans_limit() {
    let map = "(call $answer (local.get $out) (i64.extend_i32_s (memory.grow (i32.wrap_i64 (call $first (local.get $record))))))";
    let wasm = Guest::mapping(map).wasm();
    let mut choices = choices();
    choices.memory_bytes_max = 10 << 16;
    let module = approve(&SANDBOX, &wasm, choices).unwrap();
    let seen = run(&module, &singles(&[8, 9, 8, 2_000, 0]));
    assert_eq!(seen.concat_numbers(), [2.0, -1.0, 2.0, -1.0, 2.0]);
}

/// A table too.
#[test]
fn tables_grow_to_their_limit() {
    let items = "(table $t 0 funcref)".to_owned();
    let grow = "(table.grow $t (ref.null func) (i32.wrap_i64 (call $first (local.get $record))))";
    let map = format!("(call $answer (local.get $out) (i64.extend_i32_s {grow}))");
    let most = spe_sandbox::TABLE_ELEMENTS_MAX as i64;
    let seen = Guest { items, map, ..Guest::default() }.run(&singles(&[most, most + 1, most]));
    assert_eq!(seen.concat_numbers(), [0.0, -1.0, 0.0]);
}

trait Numbers {
    fn concat_numbers(self) -> Vec<f64>;
}

impl Numbers for Vec<Option<Vec<f64>>> {
    fn concat_numbers(self) -> Vec<f64> {
        self.into_iter().flat_map(Option::unwrap).collect()
    }
}

/// What is not written is NaN, which contributes nothing. A number left over from the start, or from another data
/// subject, would be a message.
#[test]
fn outputs_start_as_nothing() {
    let map = "(if (i64.eq (call $first (local.get $record)) (i64.const 1)) (then (call $answer (local.get $out) (i64.const 5))))";
    let start = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 16384)) (i32.const 0)";
    let seen = Guest { map: map.to_owned(), start, ..Guest::default() }.run(&singles(&[1, 2, 1, 3]));
    let nan: Vec<_> = seen.concat_numbers().iter().map(|x| x.is_nan()).collect();
    assert_eq!(nan, [false, true, false, true]);
}

/// A NaN has 51 free bits. Only the one NaN may reach the host.
#[test]
fn nan_carries_no_payload() {
    let map = "(i64.store (local.get $out) (i64.or (i64.const 0xfff8000000000000) (call $first (local.get $record))))";
    let seen = Guest::mapping(map).run(&singles(&[0, 1, 0x7_dead_beef])).concat_numbers();
    assert!(seen.iter().all(|x| x.to_bits() == f64::NAN.to_bits()), "{seen:?}");
}

/// Computed NaNs are canonical within the guest too, so that the machine's own do not show.
#[test]
fn computed_nans_are_canonical() {
    let nan = "(f64.div (f64.convert_i64_s (call $first (local.get $record))) (f64.const 0))";
    let map = format!("(call $answer (local.get $out) (i64.shr_u (i64.reinterpret_f64 {nan}) (i64.const 48)))");
    assert_eq!(Guest::mapping(&map).run(&singles(&[0])).concat_numbers(), [f64::from(0x7ff8)]);
}

/// The outputs' place is the host's choice: moving, growing or writing past it changes nothing but the guest's own.
#[test]
fn outputs_are_read_where_the_host_put_them() {
    let map = "(f64.store (local.get $out) (f64.const 1)) (f64.store offset=8 (local.get $out) (f64.const 2))
               (f64.store offset=16 (local.get $out) (f64.const 3)) (drop (memory.grow (i32.const 1)))
               (local.set $out (i32.const 0)) (f64.store (local.get $out) (f64.const 9))";
    let guest = Guest { outputs: 2, map: map.to_owned(), input: "(i32.const 65536)", ..Guest::default() };
    assert_eq!(guest.run(&singles(&[1])), [Some(vec![1.0, 2.0])]);
}

/// Outputs may end where memory ends; writing one more is the guest's own trap.
#[test]
fn outputs_end_where_memory_ends() {
    let map = "(f64.store (local.get $out) (f64.const 1))
               (if (i64.eq (call $first (local.get $record)) (i64.const 2)) (then (f64.store offset=8 (local.get $out) (f64.const 1))))";
    let input = "(i32.sub (i32.const 131072) (local.get $bytes))";
    let guest = Guest { map: map.to_owned(), input, ..Guest::default() };
    assert_eq!(guest.run(&singles(&[1, 2, 1])), [Some(vec![1.0]), None, Some(vec![1.0])]);
}
