//! Compiling happens in a process of its own, which may be slow or large only so far.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use spe_kernel::refusal::Stop;
use spe_sandbox::{Compiler, Sandbox};
use tempfile::TempDir;

use crate::fixture::{Guest, approve, choices, config, refusal};

fn limited(change: impl FnOnce(&mut Compiler)) -> (TempDir, Sandbox) {
    let directory = TempDir::new().unwrap();
    let mut config = config(directory.path());
    change(&mut config.compiler);
    let sandbox = Sandbox::new(config).unwrap();
    (directory, sandbox)
}

/// Small to send, large to compile: functions full of calls, with many values alive at once.
fn bomb(functions: usize) -> Vec<u8> {
    let mut items = String::new();
    for f in 0..functions {
        write!(items, "(func (param i64) (result i64) (local i64 i64 i64 i64 i64 i64 i64 i64)").unwrap();
        for i in 0..400 {
            let (to, a, b) = (1 + i % 8, 1 + (i * 3) % 8, 1 + (i * 5 + f) % 8);
            write!(items, "(local.set {to} (i64.div_s (i64.load (i32.wrap_i64 (local.get {a}))) (local.get {b})))")
                .unwrap();
        }
        items.push_str("(local.get 1))");
    }
    Guest { items, ..Guest::default() }.wasm()
}

/// The node must neither wait for it nor lose memory to it.
#[test]
fn a_bomb_ends_at_the_time_limit() {
    let (directory, sandbox) = limited(|c| c.seconds_max = 1);
    let bomb = bomb(1_500);
    let start = Instant::now();
    let why = refusal(approve(&sandbox, &bomb, choices()));
    assert_eq!(why, "compiling it takes more time than this node allows: make it smaller");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "a scratch file was left behind");
}

#[test]
fn a_bomb_ends_at_the_memory_limit() {
    let (_directory, sandbox) = limited(|c| c.memory_bytes_max = 48 << 20);
    approve(&sandbox, &Guest::default().wasm(), choices()).unwrap_or_else(|e| panic!("an honest module: {e:?}"));
    let why = refusal(approve(&sandbox, &bomb(1_500), choices()));
    assert_eq!(why, "compiling it takes more memory than this node allows: make it smaller");
}

/// What is wrong with the host is not told as if the module were to blame.
#[test]
fn a_missing_or_strange_compiler_is_a_fault() {
    for program in ["/nowhere", "/bin/false", "/bin/cat"] {
        let (_directory, sandbox) = limited(|c| {
            c.program = program.into();
            c.args.clear();
        });
        let stop = approve(&sandbox, &Guest::default().wasm(), choices()).err().unwrap();
        assert!(matches!(stop, Stop::Failed(_)), "{program}: {stop:?}");
    }
}

/// The wall clock counts too: a process that waits without working is ended.
#[test]
fn a_compiler_that_hangs_is_ended() {
    let (_directory, sandbox) = limited(|c| {
        c.program = "/bin/sleep".into();
        c.args = vec!["60".into()];
        c.seconds_max = 1;
    });
    let start = Instant::now();
    assert!(refusal(approve(&sandbox, &Guest::default().wasm(), choices())).contains("more time"));
    assert!(start.elapsed() < Duration::from_secs(10));
}

/// A sandbox whose compiler does nothing but `act`, and what counts how often it was started.
fn acting(act: &str, seconds_max: u32) -> (TempDir, Sandbox, impl Fn() -> usize) {
    let log = TempDir::new().unwrap();
    let path = log.path().join("starts");
    let script = format!("ulimit -c 0; echo started >> {}; {act}", path.display());
    let (directory, sandbox) = limited(|c| {
        c.program = "/bin/sh".into();
        c.args = vec!["-c".into(), script.into()];
        c.seconds_max = seconds_max;
    });
    let starts = move || {
        let _here = &log;
        std::fs::read_to_string(&path).unwrap_or_default().lines().count()
    };
    (directory, sandbox, starts)
}

/// A module that used up its limits would do so again: whoever hands it in once more must not get the node to try. Another
/// module is none the worse for it.
#[test]
fn a_refused_module_is_not_compiled_again() {
    let cases = [
        ("kill -XCPU $$", "compiling it takes more time than this node allows: make it smaller"),
        ("kill -ABRT $$", "compiling it takes more memory than this node allows: make it smaller"),
        ("exit 65", "the compiler refuses it: split very large functions"),
    ];
    for (act, why) in cases {
        let (_directory, sandbox, starts) = acting(act, 20);
        let one = Guest::default().wasm();
        for _ in 0..3 {
            assert_eq!(refusal(approve(&sandbox, &one, choices())), why);
        }
        assert_eq!(starts(), 1, "{act}: it was compiled again");
        assert_eq!(refusal(approve(&sandbox, &Guest::mapping("nop").wasm(), choices())), why);
        assert_eq!(starts(), 2, "{act}: another module was refused for it");
    }
}

/// What went wrong with the host may go right the next time. Remembering it would refuse an honest module until the node is
/// started again.
#[test]
fn the_hosts_own_trouble_is_not_held_against_a_module() {
    for (act, seconds_max) in [("kill -KILL $$", 20), ("exit 70", 20), ("exec /bin/sleep 60", 1)] {
        let (_directory, sandbox, starts) = acting(act, seconds_max);
        for _ in 0..2 {
            assert!(approve(&sandbox, &Guest::default().wasm(), choices()).is_err());
        }
        assert_eq!(starts(), 2, "{act}: it was remembered");
    }
}
