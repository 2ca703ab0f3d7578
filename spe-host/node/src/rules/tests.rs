use super::*;

fn question() -> Question {
    Question {
        person: "ada".parse().unwrap(),
        key: "ed25519:k".into(),
        dataset: "d".parse().unwrap(),
        permit: "p-1".parse().unwrap(),
        access_body: "ed25519:b".into(),
        purpose: "policymaking".into(),
        module: Digest::of(b"module"),
        columns: vec!["t.a".into(), "t.b".into()],
        kinds: vec!["count".into()],
        loss: "rho=0.01,delta=0.000001".parse().unwrap(),
        rounds: 2,
        overlap: 1,
        suppress_below: 5,
        exact: true,
        fuel_per_subject: u64::MAX,
        memory_bytes: 1 << 21,
        hour: 10,
        weekday: 2,
    }
}

fn ruling(rules: &str) -> Ruling {
    Rules::parse(rules).unwrap().decide(&question()).unwrap()
}

#[test]
fn everything_that_the_schema_names_can_be_asked_for() {
    // A bug would be: a field that rules may name, but that no question has, so that every job of the node is a fault.
    let rules = r#"permit (principal, action, resource) when {
        principal.name == "ada" && principal.key == "ed25519:k" && resource.name == "d" && context.permit == "p-1"
        && context.access_body == "ed25519:b" && context.purpose == "policymaking"
        && context.module like "blake3:*" && context.tables == ["t"] && context.columns == ["t.a", "t.b"]
        && context.kinds.contains("count") && context.measure == "rho" && context.loss_micro == 10000
        && context.delta_pico == 1000000 && context.rounds == 2 && context.overlap == 1 && context.suppress_below == 5
        && context.exact
        && context.fuel_per_subject == 9223372036854775807 && context.memory_bytes == 2097152
        && context.hour == 10 && context.weekday == 2 };"#;
    assert_eq!(ruling(rules), Ruling::Run);
}

#[test]
fn what_no_rule_permits_is_refused() {
    let Ruling::Refuse(grounds) = ruling(r#"permit (principal == Person::"eve", action, resource);"#) else {
        panic!("a person whom no rule names was let in")
    };
    assert_eq!(grounds.to_string(), "no rule of its operator permits it");
}

#[test]
fn a_rule_that_forbids_is_named() {
    let rules = r#"permit (principal, action, resource);
        @id("few") @reason("ask one round") forbid (principal, action, resource) when { context.rounds > 1 };"#;
    let Ruling::Refuse(grounds) = ruling(rules) else { panic!("a rule that forbids was not heeded") };
    assert_eq!(grounds.to_string(), "ask one round (rule few)");
}

#[test]
fn what_may_run_but_not_by_itself_is_asked_about() {
    assert!(matches!(ruling(r#"permit (principal, action == Action::"run", resource);"#), Ruling::Ask(_)));
}

#[test]
fn a_rule_that_cannot_be_evaluated_stops_everything() {
    // Cedar skips it. A bug would be: a forbidding rule that overflows, and what it forbids runs.
    let rules = "permit (principal, action, resource);
        forbid (principal, action, resource) when { context.fuel_per_subject + 1 > 0 };";
    Rules::parse(rules).unwrap().decide(&question()).unwrap_err();
}

#[test]
fn rules_that_would_not_apply_are_errors_with_their_line() {
    let wrong = |rules: &str| Rules::parse(rules).err().unwrap();
    assert!(wrong("permit (principal, action, resource)\nwhen { context.hours > 6 };").contains("hours"));
    assert!(wrong("permit (principal, action == Action::\"runs\", resource);").contains("runs"));
    assert!(wrong("permit (principal, action, resource);\n\npermit (who);").starts_with("line 3: "));
    assert!(wrong("").contains("no rule"));
    assert!(wrong("permit (principal == ?principal, action, resource);").contains("?principal"));
}

#[test]
fn golden_cases_that_do_not_hold_are_told() {
    let folder = std::env::temp_dir().join(format!("spe-golden-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("r.cedar"), "@id(\"all\")\nforbid (principal, action, resource);").unwrap();
    let sheet = "rules = \"r.cedar\"\n[[case]]\nname = \"a\"\ndecision = \"run\"\n[[case]]\nname = \"b\"\ndecision = \"refuse\"\n\
        because = \"none\"\n[[case]]\nname = \"c\"\nset = { hour = 3 }\ndecision = \"refuse\"\nbecause = \"all\"\n";
    std::fs::write(folder.join("g.toml"), sheet).unwrap();
    let tried = golden::run(&folder.join("g.toml")).unwrap();
    let wrong: Vec<_> = tried.iter().map(|case| case.wrong.is_some()).collect();
    assert_eq!(wrong, [true, true, false], "{tried:?}");
    std::fs::write(folder.join("g.toml"), sheet.replace("hour", "hours")).unwrap();
    assert!(golden::run(&folder.join("g.toml")).unwrap_err().to_string().contains("hours"));
    std::fs::remove_dir_all(folder).unwrap();
}
