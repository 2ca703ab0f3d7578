//! Static checks: what may not even be compiled.

use spe_kernel::plan::Plan;
use spe_sandbox::{FUNCTIONS_MAX, GLOBALS_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX, inspect};

use crate::fixture::{Guest, SANDBOX, choices, plan, refusal, schema, singles};

/// Why `inspect` rejects this text.
fn rejected(wat: &str) -> String {
    inspect(&wat::parse_str(wat).unwrap()).expect_err("it was accepted").to_string()
}

#[test]
fn a_plain_module_is_described() {
    let guest = Guest {
        items: r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#.to_owned(),
        ..Guest::default()
    };
    let found = inspect(&guest.wasm()).unwrap();
    assert_eq!(found.manifest.name, "g");
    assert_eq!(found.imports, ["fd_write"]);
    assert_eq!(found.exports, ["memory", "spe_input", "spe_start", "spe_map"]);
    assert_eq!((found.memory_bytes, found.size_bytes), (2 << 16, guest.wasm().len() as u64));
}

/// Every proper prefix is refused with words, except the one that only lacks the names at the end, which is whole. A
/// panic, or a module that is cut and accepted, would be a bug.
#[test]
fn truncated_modules_are_refused() {
    let wasm = Guest::default().wasm();
    let names = wasm.windows(4).rposition(|w| w == b"name").unwrap() - 3;
    let accepted: Vec<_> = (0..wasm.len()).filter(|&length| inspect(&wasm[..length]).is_ok()).collect();
    assert_eq!(accepted, [names]);
}

/// No single flipped byte makes `inspect` panic; what it accepts is still a whole module.
#[test]
fn bent_modules_do_not_break_the_checks() {
    let wasm = Guest::default().wasm();
    for at in 0..wasm.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut bent = wasm.clone();
            bent[at] ^= bits;
            let _ = inspect(&bent);
        }
    }
}

#[test]
fn what_is_no_core_module_is_named_as_such() {
    for bytes in [&b"hello"[..], b"\0asm\x0d\0\x01\0", b"(module)", b""] {
        assert!(inspect(bytes).unwrap_err().to_string().contains("not a core WebAssembly module"));
    }
}

/// The size is checked before anything else looks at the bytes.
#[test]
fn a_huge_module_is_refused_by_its_size() {
    let mut wasm = Guest::default().wasm();
    let most = spe_abi::MODULE_MAX_BYTES;
    wasm.resize(most + 1, 0);
    assert_eq!(
        inspect(&wasm).unwrap_err().to_string(),
        format!("it has {} bytes; at most {most} are allowed: strip it", most + 1)
    );
}

/// A module that grew a feature which is not on the list would be a hole that nobody looked at.
#[test]
fn features_that_are_not_allowed_are_refused() {
    let cases = [
        ("shared memory", r#"(memory $s 1 1 shared)"#, ""),
        ("threads", "", "(drop (i32.atomic.load (i32.const 0)))"),
        ("relaxed SIMD", "", "(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))"),
        ("memory64", r#"(memory $m i64 1)"#, ""),
        ("multi-memory", r#"(memory $m 1)"#, ""),
        ("exceptions", "(tag $e)", "(throw $e)"),
        ("gc", "(type $s (struct))", "(drop (struct.new $s))"),
        ("tail calls", "", "(return_call $map (local.get 0) (local.get 1))"),
        ("extended constants", "(global i32 (i32.add (i32.const 1) (i32.const 1)))", ""),
        ("external references", "(table 1 externref)", ""),
    ];
    for (what, items, map) in cases {
        let guest = Guest { items: items.to_owned(), map: map.to_owned(), ..Guest::default() };
        let wasm = guest.wasm();
        let why = inspect(&wasm).expect_err(what).to_string();
        assert!(why.contains("not valid WebAssembly for this host") && why.contains("at offset 0x"), "{what}: {why}");
    }
}

#[test]
fn what_toolchains_emit_is_allowed() {
    let items = r"(table $t 4 funcref) (elem (i32.const 0) $map) (global $g (mut i32) (i32.const 0))
                  (func $two (result i32 i64) (i32.const 1) (i64.const 2))";
    let map = r"(drop (i32.trunc_sat_f64_s (f64.const 1e300))) (drop (i32.extend8_s (i32.const 255)))
                (memory.fill (i32.const 0) (i32.const 1) (i32.const 8)) (drop (drop (call $two)))
                (drop (i8x16.add (v128.const i64x2 0 0) (v128.const i64x2 0 0)))
                (drop (ref.is_null (table.get $t (i32.const 0))))";
    inspect(&Guest { items: items.to_owned(), map: map.to_owned(), ..Guest::default() }.wasm()).unwrap();
}

/// Only functions of the closed WASI, and only as they are.
#[test]
fn other_imports_are_refused() {
    let cases = [
        (r#"(import "env" "now" (func))"#, "imports \"now\" from \"env\""),
        (r#"(import "wasi_snapshot_preview1" "fd_steal" (func))"#, "imports \"fd_steal\""),
        (r#"(import "wasi_snapshot_preview1" "sched_yield" (func))"#, "as () -> (); its type is () -> (i32)"),
        (r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))"#, "its type is (i32) -> ()"),
        (r#"(import "env" "g" (global (mut i32)))"#, "is not a function"),
        (r#"(import "env" "t" (table 1 funcref))"#, "is not a function"),
    ];
    for (import, why) in cases {
        let said = rejected(&Guest { items: import.to_owned(), ..Guest::default() }.wat());
        assert!(said.contains(why), "{said}");
    }
    let memory =
        Guest { memory: r#"(import "env" "memory" (memory 1)) (export "memory" (memory 0))"#, ..Guest::default() };
    assert!(rejected(&memory.wat()).contains("is not a function"));
}

#[test]
fn exports_must_have_their_names_and_types() {
    let wat = Guest::default().wat();
    let cases = [
        (r#"(export "memory")"#, "", "does not export \"memory\""),
        (r#"(export "spe_map")"#, "", "does not export \"spe_map\""),
        (r#"(export "spe_start")"#, r#"(export "spe_begin")"#, "does not export \"spe_start\""),
        (
            r#"(export "spe_input") (param $bytes i32)"#,
            r#"(export "spe_input") (param $bytes i64)"#,
            "\"spe_input\" as (i64) -> (i32)",
        ),
        (r#"(export "memory")"#, r#"(export "spe_map")"#, "duplicate export"),
        (r#"(export "spe_map")"#, r#"(export "main")"#, "does not export \"spe_map\""),
    ];
    for (from, to, why) in cases {
        let said = rejected(&wat.replace(from, to));
        assert!(said.contains(why), "{said}");
    }
    let global = wat
        .replace(r#"(export "spe_map")"#, "")
        .replace("(func $rows", r#"(global (export "spe_map") i32 (i32.const 0)) (func $rows"#);
    assert!(rejected(&global).contains("\"spe_map\" as something else; the ABI wants (i32, i32) -> ()"));
}

/// A module with rounds that lacked `spe_update`, or had it with another type, would fail after its charge. Without rounds nobody
/// calls it, so that it may be anything.
#[test]
fn rounds_need_an_update() {
    let fields = r#""rounds": {"default": 1, "max": 2, "state": ["a"]},"#.to_owned();
    let none = Guest { fields, ..Guest::default() };
    assert!(rejected(&none.wat()).starts_with("it does not export \"spe_update\""));
    let whole = Guest { update: Some("(i32.const 0)"), ..none };
    assert_eq!(inspect(&whole.wasm()).unwrap().exports.last().unwrap(), "spe_update");
    let other = r#"(export "spe_update") (param $state i64)"#;
    let bent = |guest: &Guest| guest.wat().replace(r#"(export "spe_update") (param $state i32)"#, other);
    let wanted = "as (i64, i32, i32, i32) -> (i32); the ABI wants (i32, i32, i32, i32) -> (i32)";
    assert!(rejected(&bent(&whole)).contains(wanted));
    let memory = whole
        .wat()
        .replace(r#"(export "spe_update")"#, "")
        .replace("(func $rows", r#"(export "spe_update" (memory 0)) (func $rows"#);
    assert!(rejected(&memory).contains("\"spe_update\" as memory"));
    let no_rounds = Guest { fields: String::new(), ..whole };
    inspect(&wat::parse_str(bent(&no_rounds)).unwrap()).unwrap();
}

/// A start section would run guest code before fuel and order are as the ABI says.
#[test]
fn a_start_section_is_refused() {
    let guest = Guest { items: "(func $begin) (start $begin)".to_owned(), ..Guest::default() };
    assert!(rejected(&guest.wat()).contains("start section"));
}

/// A module chooses its names, and with them parts of the messages: these must not reach a terminal raw or at length.
#[test]
fn messages_are_tame() {
    let long = "x\\1b[2J".repeat(10_000);
    for item in [
        format!(r#"(import "{long}" "{long}" (func))"#),
        format!(r#"(export "{long}" (func $map)) (export "{long}" (func $map))"#),
    ] {
        let why = rejected(&Guest { items: item, ..Guest::default() }.wat());
        assert!(why.chars().count() <= 600 && !why.contains('\u{1b}'), "{why:?}");
    }
    let manifest =
        Guest::default().wat().replace("unit", "u").replace("\\\"abi\\\"", &format!("\\\"{}\\\"", "z".repeat(5_000)));
    assert!(rejected(&manifest).chars().count() <= 600);
}

#[test]
fn the_manifest_must_be_there_once_and_valid() {
    let guest = Guest::default();
    let wat = guest.wat();
    assert!(rejected(&wat.replace("spe.manifest", "other")).contains("no custom section \"spe.manifest\""));
    let twice = Guest { items: r#"(@custom "spe.manifest" "{}")"#.to_owned(), ..Guest::default() };
    assert!(rejected(&twice.wat()).contains("2 custom sections"));
    assert!(rejected(&wat.replace("abi", "ABI")).contains("the module's manifest is not valid"));
    let long = wat.replace(r#"\"name\": \"g\""#, &format!(r#"\"name\": \"{}\""#, "g".repeat(70_000)));
    assert!(rejected(&long).contains("at most 65536"));
}

#[test]
fn functions_globals_and_tables_are_limited() {
    let cases = [
        ("(func)".repeat(FUNCTIONS_MAX as usize), "functions"),
        ("(global i32 (i32.const 0))".repeat(GLOBALS_MAX as usize + 1), "globals"),
        ("(table 0 funcref)".repeat(5), "tables"),
        (format!("(table {} funcref)", TABLE_ELEMENTS_MAX + 1), "elements"),
    ];
    for (items, what) in cases {
        assert!(rejected(&Guest { items, ..Guest::default() }.wat()).contains(what));
    }
}

/// A module at every limit at once still runs: the engine's own limits are no lower than those that `inspect` names.
#[test]
fn a_module_at_the_limits_runs() {
    let exported: String = (0..FUNCTIONS_MAX - 7).map(|f| format!(r#"(func (export "f{f}"))"#)).collect();
    let globals = "(global (mut v128) (v128.const i64x2 0 0))".repeat(GLOBALS_MAX as usize);
    let tables = format!("(table {TABLE_ELEMENTS_MAX} funcref)").repeat(TABLES_MAX);
    let guest = Guest { items: exported + &globals + &tables, map: "nop".to_owned(), ..Guest::default() };
    assert!(guest.run(&singles(&[1]))[0].is_some());
}

/// Bytes that are not the plan's module are refused, even if they are a fine module.
#[test]
fn another_module_than_the_plans_is_refused() {
    let (one, other) = (Guest::default().wasm(), Guest::mapping("nop").wasm());
    let why = refusal(SANDBOX.approve(&other, &plan(&one, &choices()), &schema()));
    assert!(why.contains("the plan names it, but the bytes are blake3:"), "{why}");
}

/// A plan that promises other outputs than the module would be summed with bounds that the researcher never saw.
#[test]
fn a_plan_that_differs_from_the_manifest_is_refused() {
    let wasm = Guest::default().wasm();
    let mut json = serde_json::to_value(plan(&wasm, &choices())).unwrap();
    json["outputs"][0]["output"]["upper"] = 5.into();
    let other: Plan = serde_json::from_value(json).unwrap();
    let why = refusal(SANDBOX.approve(&wasm, &other, &schema()));
    assert_eq!(why, "the plan's inputs, unit or outputs are not those of the module's manifest");
}

#[test]
fn memory_must_fit_the_plan_and_the_node() {
    let large = Guest { memory: r#"(memory (export "memory") 512)"#, ..Guest::default() };
    assert_eq!(large.refusal(), "the module starts with 33554432 bytes of memory; the plan allows 16777216");
    let wasm = Guest::default().wasm();
    let mut greedy = choices();
    greedy.memory_bytes_max = 65 << 20;
    let why = refusal(SANDBOX.approve(&wasm, &plan(&wasm, &greedy), &schema()));
    assert_eq!(why, "it asks for 68157440 bytes of memory; this node gives at most 67108864");
    let rows = Guest { inputs: crate::fixture::INPUT.replace("20", "65536"), ..Guest::default() }.wasm();
    let mut tight = choices();
    tight.memory_bytes_max = 1 << 20;
    let why = refusal(SANDBOX.approve(&rows, &plan(&rows, &tight), &schema()));
    assert_eq!(
        why,
        "one record, or the sums of one round, may not fit into the plan's 1048576 bytes of memory: ask for more, or lower max_rows"
    );
}
