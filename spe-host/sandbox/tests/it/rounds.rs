//! `spe_update`: from public numbers to the next state, and to nobody else.

use std::thread;

use spe_kernel::{
    disclosure::Cells,
    refusal::Stop,
    rounds::{Merged, update_input},
};
use spe_sandbox::{ApprovedModule, Config, Sandbox};
use tempfile::TempDir;

use crate::fixture::{Guest, SANDBOX, approve, choices, config, plan, refusal, run, singles};

/// A guest with that many numbers of state, `s0` and so on.
fn stateful(states: usize, update: &'static str) -> Guest {
    let names: Vec<_> = (0..states).map(|i| format!("\"s{i}\"")).collect();
    let fields = format!(r#""rounds": {{"default": 3, "max": 5, "state": [{}]}},"#, names.join(","));
    Guest { fields, update: Some(update), ..Guest::default() }
}

/// What `spe_update` reads before the first round.
fn first(state: &[f64]) -> Vec<f64> {
    [&[0.0, 0.0], state].concat()
}

/// Why a guest with one number of state is refused when it is to make the next.
fn refused(items: &str, update: &'static str) -> String {
    let guest = Guest { items: items.to_owned(), ..stateful(1, update) };
    refusal(guest.approve().update(&first(&[0.0])))
}

/// One more in each place; anything else would be another state than the module's.
const ONE_MORE: &str = "
    (f64.store (local.get $out) (f64.add (f64.load offset=16 (local.get $state)) (f64.const 1)))
    (f64.store offset=8 (local.get $out) (f64.add (f64.load offset=24 (local.get $state)) (f64.const 1)))
    (local.get $cap)";

#[test]
fn the_state_moves_on() {
    let module = stateful(2, ONE_MORE).approve();
    let mut state = vec![0.0, 10.0];
    for round in 1..=3 {
        state = module.update(&first(&state)).unwrap().expect("another round");
        assert_eq!(state, [f64::from(round), f64::from(10 + round)]);
    }
}

/// Stopping leaves the state as it is, whatever was written before.
#[test]
fn a_module_may_stop() {
    let module = stateful(1, "(f64.store (local.get $out) (f64.const 9)) (i32.const 0)").approve();
    assert_eq!(module.update(&first(&[3.0])).unwrap(), None);
}

/// Everything between "stop" and the state's length is refused: taking half a state, or a status code for one, would go on
/// with numbers that the module did not make.
#[test]
fn other_answers_are_refused() {
    let write = "(f64.store (local.get $out) (f64.const 1)) (f64.store offset=8 (local.get $out) (f64.const 1))";
    for answer in [1, 8, 15, 17, 24, -1, -16, i32::MIN, i32::MAX] {
        let update = format!("{write} (i32.const {answer})").leak();
        let why = refusal(stateful(2, update).approve().update(&first(&[0.0; 2])));
        assert_eq!(why, format!("spe_update returns {answer}; it is 16 when it wrote the next state, 0 to stop"));
    }
}

/// No record was read, so that the reason is told. Taking a failure for a stop would end the rounds early in silence.
#[test]
fn failures_are_refused() {
    let items = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                   (table $t 1 funcref) (func $deep (call $deep) (call $deep))"#;
    let cases = [
        ("(unreachable)", "spe_update fails: wasm trap: wasm `unreachable` instruction executed"),
        ("(i32.load (i32.const -4))", "spe_update fails: wasm trap: out of bounds memory access"),
        ("(i32.div_s (i32.const 1) (i32.const 0))", "spe_update fails: wasm trap: integer divide by zero"),
        ("(call $deep) (i32.const 0)", "spe_update fails: wasm trap: call stack exhausted"),
        (
            "(call_indirect $t (i32.const 77)) (i32.const 0)",
            "spe_update fails: wasm trap: undefined element: out of bounds table access",
        ),
        ("(loop (br 0)) (i32.const 0)", "spe_update runs out of fuel: each call has 100000000"),
        ("(call $exit (i32.const 0)) (i32.const 0)", "spe_update ends itself"),
    ];
    for (update, why) in cases {
        assert_eq!(refused(items, update), why);
    }
}

/// A state that is no number would make every later one none. What was not written must not be what happened to lie there.
#[test]
fn only_finite_states_are_taken() {
    let bad = "after spe_update number 1 of the state is not finite, or was not written";
    for second in ["nan", "nan:0x1234", "inf", "-inf"] {
        let update = format!(
            "(f64.store (local.get $out) (f64.const 1)) (f64.store offset=8 (local.get $out) (f64.const {second})) (local.get $cap)"
        );
        let why = refusal(stateful(2, update.leak()).approve().update(&first(&[0.0; 2])));
        assert_eq!(why, bad, "{second}");
    }
    let dirty = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 16384)) (i32.const 0)";
    let unwritten =
        Guest { start: dirty, ..stateful(2, "(f64.store (local.get $out) (f64.const 1)) (local.get $cap)") };
    assert_eq!(refusal(unwritten.approve().update(&first(&[0.0; 2]))), bad);
}

/// Copies its next state from `at` numbers after the first that it was given, after checking every argument: each number must
/// lie where `docs/guest-abi.md` says, and `len` must count those that are there.
#[test]
fn update_reads_what_the_abi_says() {
    let update = "
        (if (i32.ne (local.get $state) (i32.const 65536)) (then (unreachable)))
        (if (i32.ne (local.get $cap) (i32.const 24)) (then (unreachable)))
        (if (i32.ne (local.get $len) (global.get $len)) (then (unreachable)))
        (if (i32.and (local.get $out) (i32.const 7)) (then (unreachable)))
        (if (i32.lt_u (local.get $out) (i32.add (local.get $state) (local.get $len))) (then (unreachable)))
        (if (i32.gt_u (i32.add (local.get $out) (local.get $cap)) (i32.add (i32.const 65536) (global.get $bytes))) (then (unreachable)))
        (memory.copy (local.get $out) (i32.add (local.get $state) (global.get $at)) (i32.const 24))
        (local.get $cap)";
    let guest = Guest {
        outputs: 3,
        params: r#"{"name": "at", "min": 0, "max": 80}, {"name": "len", "min": 0, "max": 80}"#,
        items: "(global $at (mut i32) (i32.const 0)) (global $len (mut i32) (i32.const 0)) (global $bytes (mut i32) (i32.const 0))"
            .to_owned(),
        input: "(global.set $bytes (local.get $bytes)) (i32.const 65536)",
        start: "(global.set $at (i32.trunc_f64_u (f64.load (local.get $params))))
                (global.set $len (i32.trunc_f64_u (f64.load offset=8 (local.get $params)))) (i32.const 0)",
        ..stateful(3, update)
    };
    let wasm = guest.wasm();
    let read = |at: u32, input: &[f64]| {
        let mut choices = choices();
        choices.params.insert("at".to_owned(), f64::from(at * 8));
        choices.params.insert("len".to_owned(), (input.len() * 8) as f64);
        approve(&SANDBOX, &wasm, choices).unwrap().update(input).unwrap().unwrap()
    };
    let mut choices = choices();
    choices.params.extend([("at".to_owned(), 0.0), ("len".to_owned(), 0.0)]);
    let plan = plan(&wasm, &choices);
    let start = update_input(&plan, 0, &[0.0; 3], None);
    assert_eq!([read(0, &start), read(2, &start)], [[0.0; 3]; 2]);
    let one = 1_i128 << plan.outputs()[0].grid_bits;
    let sums = [one * 7, -one * 5 / 2, one / 4].map(|sum| Cells(vec![sum])).to_vec();
    let later = update_input(&plan, 4, &[1.5, -2.5, 3.5], Some(&Merged { nodes: 6, sums }));
    assert_eq!(
        [read(0, &later), read(2, &later), read(5, &later)],
        [[4.0, 6.0, 1.5], [1.5, -2.5, 3.5], [7.0, -2.5, 0.25]]
    );
}

/// Copies what `spe_start` is given to `spe_map`.
fn copying() -> Guest {
    Guest {
        params: r#"{"name": "p", "min": 0, "max": 9, "default": 7}"#,
        outputs: 3,
        start: "(memory.copy (i32.const 1024) (local.get $params) (i32.const 24))
                (select (i32.const 0) (i32.const 1)
                  (i32.and (i32.eq (local.get $len) (i32.const 24))
                    (f64.lt (f64.load offset=8 (local.get $params)) (f64.const 100))))",
        map: "(memory.copy (local.get $out) (i32.const 1024) (i32.const 24))".to_owned(),
        ..stateful(2, "(memory.copy (local.get $out) (i32.const 1032) (i32.const 16)) (local.get $cap)")
    }
}

/// A data subject is mapped with the state of the round: with another one, its contribution would answer another question.
#[test]
fn map_sees_the_state_after_the_parameters() {
    let module = copying().approve();
    let seen = |module: &ApprovedModule| run(module, &singles(&[1, 2]));
    let one = |a, b| vec![Some(vec![7.0, a, b]); 2];
    assert_eq!(seen(&module), one(0.0, 0.0), "zeros before the first round");
    let round = module.with_state(&[1.5, -2.0]).unwrap();
    assert_eq!(seen(&round), one(1.5, -2.0));
    assert_eq!(seen(&round.with_state(&[3.0, 4.0]).unwrap()), one(3.0, 4.0));
    assert_eq!(seen(&module), one(0.0, 0.0), "the module itself is unchanged");
}

/// `spe_update` starts from zeros whatever round it is: otherwise a node that went on, and a researcher who begins in the
/// middle, would compute different states.
#[test]
fn update_starts_from_zeros() {
    let module = copying().approve();
    for module in [module.with_state(&[1.5, -2.0]).unwrap(), module] {
        assert_eq!(module.update(&first(&[9.0, 9.0])).unwrap(), Some(vec![0.0, 0.0]));
    }
}

/// A state on which the module does not start is refused before the round's data is opened.
#[test]
fn a_state_that_does_not_start_is_refused() {
    let module = copying().approve();
    assert_eq!(refusal(module.with_state(&[100.0, 0.0])), "spe_start refuses the parameters");
    module.with_state(&[99.0, 0.0]).unwrap();
}

/// A hash of all memory and a global, all of which is overwritten then.
const HASHING: &str = "(global $g (mut i64) (i64.const 0))
    (func $hash (result f64) (local $at i32) (local $hash i64)
      (local.set $hash (i64.add (global.get $g) (i64.extend_i32_u (memory.grow (i32.const 1)))))
      (loop
        (local.set $hash (i64.mul (i64.xor (local.get $hash) (i64.load (local.get $at))) (i64.const 0x100000001b3)))
        (local.set $hash (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 29))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if 0 (i32.lt_u (local.get $at) (i32.const 131072))))
      (memory.fill (i32.const 0) (i32.const 255) (i32.const 196608))
      (global.set $g (i64.const 77))
      (f64.convert_i64_u (i64.shr_u (local.get $hash) (i64.const 12))))";

/// Neither what `spe_map` wrote over a record, nor what an earlier `spe_update` wrote, is there for a later one of either kind. A
/// single bit that stayed would carry a record into a state that leaves without noise.
#[test]
fn nothing_but_the_state_goes_from_call_to_call() {
    let directory = TempDir::new().unwrap();
    // Two slots of memory in all, so that each is used again at once.
    let sandbox = Sandbox::new(Config { workers_max: 1, ..config(directory.path()) }).unwrap();
    let guest = Guest {
        items: HASHING.to_owned(),
        map: "(f64.store (local.get $out) (call $hash))".to_owned(),
        ..stateful(1, "(f64.store (local.get $out) (call $hash)) (local.get $cap)")
    };
    let module = approve(&sandbox, &guest.wasm(), choices()).unwrap();
    let update = |state| module.update(&first(&[state])).unwrap();
    let map = |record| run(&module, &singles(&[record, 2]));
    let (updated, mapped) = (update(1.0), map(5));
    assert_ne!(updated, update(2.0), "the hash sees its input");
    assert_ne!(mapped, map(6), "and the record");
    for record in 10..14 {
        assert_eq!(updated, update(1.0), "an update or a map before was seen");
        assert_eq!(mapped, map(5), "an update or a map before was seen");
        update(record as f64);
        map(record);
    }
}

/// Clock, entropy and everything else that a module can ask are constant: nodes and researchers compute the same state.
#[test]
fn everybody_computes_the_same_state() {
    let items = r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#;
    let update = "(drop (call $random (i32.const 512) (i32.const 8))) (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 520)))
        (f64.store (local.get $out) (f64.convert_i64_u (i64.add (i64.load (i32.const 512)) (i64.load (i32.const 520)))))
        (local.get $cap)";
    let wasm = Guest { items: items.to_owned(), ..stateful(1, update) }.wasm();
    let directory = TempDir::new().unwrap();
    let other = Sandbox::new(Config { workers_max: 3, ..config(directory.path()) }).unwrap();
    let [one, two] = [&*SANDBOX, &other].map(|sandbox| approve(sandbox, &wasm, choices()).unwrap());
    let state = one.update(&first(&[0.0])).unwrap();
    assert!(state.is_some());
    assert_eq!([one.update(&first(&[0.0])).unwrap(), two.update(&first(&[0.0])).unwrap()], [state.clone(), state]);
}

/// 100 million, exactly, whatever a data subject has and whatever the start took: another limit at another node would be another
/// state, or none.
#[test]
fn an_update_has_fuel_of_its_own() {
    // Seven instructions a turn.
    let update = "(local $n i64) (local.set $n (i64.trunc_f64_s (f64.load offset=16 (local.get $state))))
        (loop (br_if 0 (i64.gt_s (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
        (f64.store (local.get $out) (f64.const 1)) (local.get $cap)";
    let mut choices = choices();
    choices.fuel_per_subject = 1;
    let slow = "(local.set $len (i32.const 2000)) (loop (br_if 0 (local.tee $len (i32.sub (local.get $len) (i32.const 1))))) (i32.const 0)";
    let turns = spe_abi::UPDATE_FUEL as f64 / 7.0;
    for start in ["(i32.const 0)", slow] {
        let module = approve(&SANDBOX, &Guest { start, ..stateful(1, update) }.wasm(), choices.clone()).unwrap();
        assert_eq!(module.update(&first(&[turns - 3.0])).unwrap(), Some(vec![1.0]));
        assert!(refusal(module.update(&first(&[turns + 1.0]))).contains("runs out of fuel"));
    }
}

/// Growing beyond the plan's memory fails in an update as in a map.
#[test]
fn an_update_has_the_plans_memory() {
    let update = "(f64.store (local.get $out) (f64.convert_i32_s (memory.grow (i32.trunc_f64_s (f64.load offset=16 (local.get $state))))))
        (local.get $cap)";
    let mut choices = choices();
    choices.memory_bytes_max = 10 << 16;
    let module = approve(&SANDBOX, &stateful(1, update).wasm(), choices).unwrap();
    assert_eq!([8.0, 9.0].map(|pages| module.update(&first(&[pages])).unwrap().unwrap()), [[2.0], [-1.0]]);
}

/// What only a host can do wrong is not told as if the module were to blame.
#[test]
fn strange_calls_are_faults() {
    let module = stateful(2, ONE_MORE).approve();
    let failed = |stop: Stop| matches!(stop, Stop::Failed(_));
    assert!(failed(module.update(&vec![0.0; 1_000_000]).unwrap_err()), "more numbers than there is room for");
    for state in [&[][..], &[1.0], &[1.0; 3]] {
        assert!(module.with_state(state).err().is_some_and(failed), "a state of another length");
    }
    let single = Guest { update: Some("(unreachable)"), ..Guest::default() }.approve();
    assert!(failed(single.update(&first(&[])).unwrap_err()), "a plan without rounds");
    single.with_state(&[]).unwrap();
}

/// A job's rounds go on while other jobs have every worker, in turns: an engine without a free slot would fail a job that was
/// paid for.
#[test]
fn updates_need_no_seat() {
    let directory = TempDir::new().unwrap();
    let sandbox = Sandbox::new(Config { workers_max: 1, ..config(directory.path()) }).unwrap();
    // Slow enough for two to be under way at once, if they could be.
    let update = "(local $n i32) (local.set $n (i32.const 3000000))
        (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 0)";
    let wasm = stateful(1, update).wasm();
    let module = approve(&sandbox, &wasm, choices()).unwrap();
    let mut worker = module.worker().unwrap();
    let others = || {
        for _ in 0..20 {
            assert!(module.update(&first(&[0.0])).unwrap().is_none());
            module.with_state(&[1.0]).unwrap();
            approve(&sandbox, &wasm, choices()).unwrap();
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (0..4).map(|_| scope.spawn(others)).collect();
        while others.iter().any(|thread| !thread.is_finished()) {
            worker.map(&singles(&[1; 200]), |_, _| ()).unwrap();
        }
    });
}
