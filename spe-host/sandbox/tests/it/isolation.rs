//! What one data subject contributes is a function of that data subject's rows.

use std::thread;

use spe_kernel::record::{Chunk, Contribution};
use spe_sandbox::{Config, Sandbox};

use crate::fixture::{Guest, approve, choices, config, run, subjects};

type Rows = Vec<(i64, f64, u8)>;

/// A hash of all 128 KiB of memory: record, outputs, padding and everything around them.
fn hasher() -> Guest {
    let map = "(local $at i32) (local $hash i64)
        (loop
          (local.set $hash (i64.mul (i64.xor (local.get $hash) (i64.load (local.get $at))) (i64.const 0x100000001b3)))
          (local.set $hash (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 29))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if 0 (i32.lt_u (local.get $at) (i32.const 131072))))
        (call $answer (local.get $out) (i64.shr_u (local.get $hash) (i64.const 12)))";
    Guest::mapping(map)
}

/// Small, fast and the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn rows(&mut self) -> Rows {
        let rows = self.roll(26);
        (0..rows).map(|_| (self.roll(1 << 30) as i64, self.roll(1000) as f64, self.roll(2) as u8)).collect()
    }
}

/// A chunk in which rows are missing wherever the number is even.
fn chunk_of(people: &[Rows], with_missing: bool) -> Chunk {
    let mut chunk = subjects(people);
    if with_missing {
        chunk.tables[0].columns[0].present = people.iter().flatten().map(|row| (row.0 % 2) as u8).collect();
    }
    chunk
}

/// Changing, adding or removing anybody else must not change what a person's run sees: not a bit of padding, not whether
/// there is a validity bitmap, not an offset. Changing the person must.
#[test]
fn nobody_elses_rows_can_be_seen() {
    let module = hasher().approve();
    let mut dice = Dice(1);
    for round in 0..60 {
        let with_missing = round % 2 == 0;
        let mut people: Vec<_> = (0..4).map(|_| dice.rows()).collect();
        people[2].push((5, 5.0, 1));
        let before = run(&module, &chunk_of(&people, with_missing));
        let changed = dice.roll(2) as usize;
        people[changed] = dice.rows();
        people[changed].insert(0, (4, 4.0, 0));
        let after = run(&module, &chunk_of(&people, with_missing));
        assert_eq!((&before[1 - changed], &before[2..]), (&after[1 - changed], &after[2..]), "round {round}");
        assert_eq!(before[2..], run(&module, &chunk_of(&people[2..], with_missing)), "round {round}");
        people[2].truncate(20);
        people[2][0].0 += 2;
        assert_ne!(before[2], run(&module, &chunk_of(&people, with_missing))[2], "round {round}");
    }
}

/// Without missing rows of one's own there is no bitmap, whoever else has missing rows.
#[test]
fn other_peoples_missing_rows_do_not_show() {
    let module = hasher().approve();
    let people = [vec![(1, 1.0, 1), (3, 1.0, 1)], vec![(2, 1.0, 1)]];
    assert_eq!(run(&module, &chunk_of(&people, true))[0], run(&module, &chunk_of(&people, false))[0]);
}

/// One worker, two at once, any order: the same contributions.
#[test]
fn workers_and_order_do_not_matter() {
    let module = hasher().approve();
    let mut dice = Dice(2);
    let people: Vec<_> = (0..40).map(|_| dice.rows()).collect();
    let alone = run(&module, &subjects(&people));
    let (left, right) = people.split_at(13);
    let halves = thread::scope(|scope| {
        let half = |part| {
            scope.spawn({
                let module = &module;
                move || run(module, &subjects(part))
            })
        };
        [half(left), half(right)].map(|h| h.join().unwrap()).concat()
    });
    assert_eq!(alone, halves);
    let reversed: Vec<_> = people.iter().rev().cloned().collect();
    let mut seen = run(&module, &subjects(&reversed));
    seen.reverse();
    assert_eq!(alone, seen);
}

/// Two modules that run in turns on one thread reuse each other's slots and must not see it.
#[test]
fn modules_do_not_see_each_other() {
    let writer = Guest::mapping("(memory.fill (i32.const 0) (i32.const 255) (i32.const 131072))").approve();
    let reader = hasher().approve();
    let people = [vec![(1, 1.0, 1)]];
    let before = run(&reader, &subjects(&people));
    run(&writer, &subjects(&people));
    assert_eq!(before, run(&reader, &subjects(&people)));
}

/// A job that cannot have its workers learns it before data is opened, not in the middle.
#[test]
fn there_are_as_many_workers_as_seats() {
    let directory = tempfile::TempDir::new().unwrap();
    let sandbox = Sandbox::new(Config { workers_max: 2, ..config(directory.path()) }).unwrap();
    let module = approve(&sandbox, &hasher().wasm(), choices()).unwrap();
    let two = [module.worker().unwrap(), module.worker().unwrap()];
    assert!(module.worker().is_err());
    assert!(approve(&sandbox, &hasher().wasm(), choices()).is_ok(), "approval needs no seat");
    drop(two);
    assert!(module.worker().is_ok());
}

/// A worker may be moved to a thread, and a chunk that is not of the plan is the host's own fault.
#[test]
fn workers_move_and_refuse_strange_chunks() {
    let module = hasher().approve();
    let mut worker = module.worker().unwrap();
    let strange = Chunk { subjects: 1, tables: Vec::new() };
    let fault = thread::spawn(move || worker.map(&strange, |_, _: Contribution<'_>| panic!("it ran"))).join().unwrap();
    assert!(fault.unwrap_err().to_string().contains("does not have the plan's shape"));
    let mut short = subjects(&[vec![(1, 1.0, 1)]]);
    short.subjects = 2;
    assert!(module.worker().unwrap().map(&short, |_, _| ()).is_err());
}
