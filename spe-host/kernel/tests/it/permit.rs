//! Permits: what no data access body can sign into one, time ranges, and how a line of permits stands.

use jiff::Timestamp;
use serde_json::{Value, json};
use spe_kernel::{
    dataset::{DatasetSchema, TableSchema},
    ids::Digest,
    job::Purpose,
    permit::{
        Amount, Article, Currency, OptOutException, Permit, PermitBody, PermitData, PermitPerson, Review, Role, Status,
        TimeRange, agreement,
    },
    purpose::{ApplicantBody, Article53},
    refusal::{Clause, Refusal},
};

use crate::fixture::{body_key, permit, person_key, schema};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn read(change: impl FnOnce(&mut PermitBody)) -> Result<PermitBody, Refusal> {
    let mut body = permit();
    change(&mut body);
    PermitBody::read(&body.sign(&body_key())).map(|(body, _)| body)
}

/// What would be a bug: a permit against the Regulation that a node would read.
#[test]
fn what_the_regulation_forbids_is_refused_with_the_article() {
    let article = |change: &dyn Fn(&mut PermitBody)| match read(change) {
        Err(Refusal::Unlawful { article, .. }) => article,
        other => panic!("{other:?}"),
    };
    for reserved in [Purpose::PublicHealth, Purpose::Policymaking, Purpose::OfficialStatistics] {
        let by = |body| {
            move |p: &mut PermitBody| (p.purpose.article53, p.applicant_body) = (vec![Article53(reserved)], body)
        };
        assert_eq!(article(&by(ApplicantBody::Private)), "Art. 53(2)", "{reserved} is not for everybody");
        assert!(read(by(ApplicantBody::Public)).is_ok() && read(by(ApplicantBody::OnBehalfOfPublic)).is_ok());
    }
    assert_eq!(article(&|p| p.purpose.article53.clear()), "Art. 53(1)");
    assert_eq!(article(&|p| p.valid_until = at("2040-01-01T00:00:00.001Z")), "Art. 68(12)", "longer than 10 years");
    assert!(read(|p| p.valid_until = at("2040-01-01T00:00:00Z")).is_ok(), "10 years are allowed");
    let exception = |p: &mut PermitBody| {
        p.opt_out_exception = Some(OptOutException { national_law: "§ 1".into(), reason: "rare disease".into() });
    };
    assert!(read(exception).is_ok(), "research may have an exception");
    for (purpose, allowed) in
        [(Purpose::Education, false), (Purpose::ImprovingCare, false), (Purpose::OfficialStatistics, true)]
    {
        let with = |p: &mut PermitBody| {
            exception(p);
            p.purpose.article53.push(Article53(purpose));
        };
        assert_eq!(read(with).is_ok(), allowed, "an exception for {purpose}");
    }
    assert_eq!(article(&|p| request(p, true)), "Art. 69", "a data request gives no pseudonymised access");
}

fn request(permit: &mut PermitBody, pseudonymised: bool) {
    (permit.article, permit.plans) = (Article::Request, vec![Digest::of(b"plan")]);
    permit.data[0].pseudonymised = pseudonymised;
}

/// What would be a bug: a permit that says two things at once, or leaves something open.
#[test]
fn what_contradicts_itself_is_refused() {
    let wrong = |change: &dyn Fn(&mut PermitBody), says: &str| match read(change) {
        Err(Refusal::Malformed { why, .. }) => assert!(why.contains(says), "{why:?} does not say {says:?}"),
        other => panic!("{says}: {other:?}"),
    };
    let second =
        |role| PermitPerson { name: "bob".parse().unwrap(), role, key: Some(body_key().public()), identity: None };
    wrong(&|p| p.persons.clear(), "0 principal investigators");
    wrong(&|p| p.persons.push(second(Role::PrincipalInvestigator)), "2 principal investigators");
    assert!(read(|p| p.persons.push(second(Role::DataUser))).is_ok());
    wrong(&|p| p.persons.push(PermitPerson { key: None, ..second(Role::DataUser) }), "neither a key nor an identity");
    wrong(
        &|p| p.persons.push(PermitPerson { name: "ada".parse().unwrap(), ..second(Role::DataUser) }),
        "the same name",
    );
    wrong(
        &|p| p.persons.push(PermitPerson { key: p.persons[0].key, ..second(Role::DataUser) }),
        "persons ada and bob have the same key",
    );
    let by_login = |subject: &str| {
        let identity = serde_json::from_value(json!({ "issuer": "https://login", "subject": subject })).unwrap();
        move |person: &mut PermitPerson| (person.key, person.identity) = (None, Some(identity))
    };
    let logins = |first: &'static str, other: &'static str| {
        move |p: &mut PermitBody| {
            p.persons.push(second(Role::DataUser));
            by_login(first)(&mut p.persons[0]);
            by_login(other)(&mut p.persons[1]);
        }
    };
    wrong(&logins("7", "7"), "persons ada and bob have the same identity");
    assert!(read(logins("7", "8")).is_ok(), "neither has a key, which is nothing that they have in common");
    wrong(&|p| p.replaces = Some("p-0".parse().unwrap()), "granted");
    wrong(&|p| p.original = "p-0".parse().unwrap(), "granted");
    wrong(&|p| p.status = Status::Amended, "amended or renewed");
    wrong(&|p| (p.status, p.original) = (Status::Renewed, "p-0".parse().unwrap()), "amended or renewed");
    wrong(&|p| (p.status, p.replaces) = (Status::Amended, Some("p-0".parse().unwrap())), "has a new number");
    wrong(
        &|p| (p.status, p.original, p.replaces) = (Status::Amended, "p-0".parse().unwrap(), Some(p.number.clone())),
        "has a new number",
    );
    for until in ["2030-01-01T00:00:00Z", "2029-12-31T00:00:00Z"] {
        wrong(&|p| p.valid_until = at(until), "valid_from is not before");
    }
    wrong(&|p| p.plans = vec![Digest::of(b"plan")], "article = 69");
    wrong(&|p| (p.article, p.data[0].pseudonymised) = (Article::Request, false), "names none");
    for column in ["days", "Visits!.days", "visits.Days!"] {
        wrong(&|p| p.data[0].columns.push(column.into()), "table.column");
    }
    for (national_law, reason) in [("", "rare disease"), ("§ 1", " ")] {
        let unfounded = OptOutException { national_law: national_law.into(), reason: reason.into() };
        wrong(&|p| p.opt_out_exception = Some(unfounded.clone()), "national law");
    }
    let range = |from: Option<&str>, until: Option<&str>| TimeRange {
        from: from.map(|day| day.parse().unwrap()),
        until: until.map(|day| day.parse().unwrap()),
    };
    wrong(&|p| p.data[0].time_range = Some(range(Some("2020-01-01"), Some("2020-01-01"))), "before until");
    wrong(&|p| p.data[0].time_range = Some(range(None, None)), "from, until");
    let twice = |nodes: Vec<&'static str>| {
        move |p: &mut PermitBody| {
            let mut other = p.data[0].clone();
            other.time_range = Some(range(Some("2020-01-01"), None));
            other.nodes = nodes.iter().map(|n| n.parse().unwrap()).collect();
            p.data[0].nodes = vec!["north".parse().unwrap()];
            p.data.push(other);
        }
    };
    wrong(&twice(vec![]), "different time ranges");
    wrong(&twice(vec!["north"]), "different time ranges");
    assert!(read(twice(vec!["south"])).is_ok(), "each node has one time range");
    wrong(&|p| (twice(vec!["north"])(p), p.data[0].nodes.clear()).1, "different time ranges");
    let beside = |change: &dyn Fn(&mut PermitData)| {
        read(|p| {
            twice(vec!["north"])(p);
            change(&mut p.data[1]);
        })
    };
    assert!(beside(&|data| data.dataset = "labs".parse().unwrap()).is_ok(), "each dataset has one time range");
    assert!(beside(&|data| data.columns = vec!["tests.when".into()]).is_ok(), "each table has one time range");
}

/// What would be a bug: a permit that is used before it was issued, before its first instant, or from its end on.
#[test]
fn a_permit_is_valid_from_its_first_instant_until_before_its_end() {
    let verify = |issued_at: &str, now: &str| {
        let body = PermitBody { issued_at: at(issued_at), ..permit() };
        Permit::verify(&body.sign(&body_key()), &[body_key().public()], at(now)).map(drop)
    };
    let before = "2029-01-01T00:00:00Z";
    for now in ["2030-01-01T00:00:00Z", "2030-12-31T23:59:59.999Z"] {
        assert_eq!(verify(before, now), Ok(()), "at {now}");
    }
    assert!(matches!(verify(before, "2029-12-31T23:59:59.999Z"), Err(Refusal::PermitNotYetValid { .. })));
    assert!(matches!(verify(before, "2031-01-01T00:00:00Z"), Err(Refusal::PermitExpired { .. })));
    let future = verify("2030-06-01T00:00:00Z", "2030-05-31T23:59:59.999Z");
    assert!(matches!(future, Err(Refusal::PermitFromTheFuture { .. })), "{future:?}");
}

#[test]
fn a_permit_of_the_old_format_is_told_the_new_one() {
    let refused = read(|p| p.format = "spe.permit/1".into()).unwrap_err().to_string();
    for part in ["spe.permit/1", "spe.permit/2", "docs/permit-format.md"] {
        assert!(refused.contains(part), "{refused}");
    }
    let old = json!({ "format": "spe.permit/1", "number": "p", "purposes": [], "modules": "any" });
    let envelope = spe_kernel::dsse::sign("application/vnd.spe.permit+json", old.to_string().as_bytes(), &body_key());
    assert!(PermitBody::read(&envelope).unwrap_err().to_string().contains("spe.permit/2"));
}

#[test]
fn fields_are_what_they_say() {
    let change = |at: &str, value: Value| {
        let mut raw = serde_json::to_value(permit()).unwrap();
        *raw.pointer_mut(at).unwrap() = value;
        serde_json::from_value::<PermitBody>(raw).is_ok()
    };
    assert!(change("/article", json!(69)) && !change("/article", json!(67)));
    assert!(change("/purpose/article53", json!(["a", "e.i", "e.ii", "f"])));
    for bad in ["g", "e.iii", "scientific-research", "(e)", ""] {
        assert!(!change("/purpose/article53", json!([bad])), "{bad:?} is no point of Art. 53(1)");
    }
    assert!(change("/data/0/category", json!("q")) && !change("/data/0/category", json!("r")));
    for (amount, good) in [
        ("0", true),
        ("12.5", true),
        ("1200.00", true),
        ("1.234", false),
        ("-1", false),
        (".5", false),
        ("1e3", false),
        ("", false),
    ] {
        assert_eq!(Amount::try_from(amount.to_owned()).is_ok(), good, "{amount:?}");
    }
    assert!(Currency::try_from("EUR".to_owned()).is_ok() && Currency::try_from("eur".to_owned()).is_err());
}

fn timed(kind: Value) -> DatasetSchema {
    let mut raw = serde_json::to_value(schema()).unwrap();
    raw["tables"][0]["time"] = "when".into();
    let mut column = kind;
    column["name"] = "when".into();
    raw["tables"][0]["columns"].as_array_mut().unwrap().push(column);
    serde_json::from_value(raw).unwrap()
}

/// What would be a bug: a row outside of the range that is in the window, at either end, for any kind of time.
#[test]
fn a_time_range_is_a_condition_on_rows() {
    let window = |kind: Value, from: Option<&str>, until: Option<&str>| {
        let day = |day: &str| day.parse().unwrap();
        let body =
            read(|p| p.data[0].time_range = Some(TimeRange { from: from.map(day), until: until.map(day) })).unwrap();
        let windows = body.windows(&timed(kind), &"north".parse().unwrap()).unwrap();
        windows.of(&"visits".parse().unwrap()).unwrap().to_string()
    };
    let (date, instant, year) =
        (json!({"type": "date"}), json!({"type": "timestamp"}), json!({"type": "integer", "min": 1990, "max": 2030}));
    assert_eq!(
        window(date.clone(), Some("2015-01-01"), Some("2020-01-01")),
        "when >= date \"2015-01-01\" and when < date \"2020-01-01\""
    );
    assert_eq!(window(date.clone(), Some("1969-12-31"), None), "when >= date \"1969-12-31\"");
    assert_eq!(window(instant, None, Some("2020-01-01")), "when < timestamp \"2020-01-01T00:00:00.000000Z\"");
    assert_eq!(window(year.clone(), Some("2015-01-01"), Some("2020-01-01")), "when >= 2015 and when < 2020");
    assert_eq!(
        window(year, Some("2015-01-02"), Some("2020-12-31")),
        "when >= 2016 and when < 2020",
        "a year that is partly outside"
    );
}

/// What would be a bug: a table of which nothing is covered, and that is cut, or keeps a whole permit from being used.
#[test]
fn a_time_range_is_of_the_tables_of_its_entry() {
    let mut two = timed(json!({"type": "date"}));
    let beside = TableSchema { name: "tests".parse().unwrap(), time: None, ..two.tables[0].clone() };
    two.tables.push(beside);
    let range = TimeRange { from: Some("2015-01-01".parse().unwrap()), until: None };
    let body = read(|p| p.data[0].time_range = Some(range)).unwrap();
    let windows = body.windows(&two, &"north".parse().unwrap()).unwrap();
    assert!(windows.of(&"visits".parse().unwrap()).is_some() && windows.of(&"tests".parse().unwrap()).is_none());
}

#[test]
fn a_time_range_on_a_table_without_time_is_refused() {
    let range = TimeRange { from: Some("2015-01-01".parse().unwrap()), until: None };
    let body = read(|p| p.data[0].time_range = Some(range)).unwrap();
    let refused = body.windows(&schema(), &"north".parse().unwrap()).unwrap_err();
    assert_eq!(refused.clause(), Some(Clause::Data));
    assert!(refused.to_string().contains("visits") && refused.to_string().contains("time"), "{refused}");
    let elsewhere =
        read(|p| (p.data[0].time_range, p.data[0].nodes) = (Some(range), vec!["south".parse().unwrap()])).unwrap();
    assert!(elsewhere.windows(&schema(), &"north".parse().unwrap()).unwrap().is_empty(), "it is about another node");
    let of_another =
        read(|p| (p.data[0].time_range, p.data[0].dataset) = (Some(range), "labs".parse().unwrap())).unwrap();
    assert!(
        of_another.windows(&schema(), &"north".parse().unwrap()).unwrap().is_empty(),
        "it is about another dataset"
    );
}

/// What would be a bug: answers under two time ranges that are taken for answers about the same data.
#[test]
fn every_time_range_is_data_of_its_own() {
    let cohort = Digest::of(b"cohort");
    let digest = |range: Option<TimeRange>| {
        let body = read(|p| p.data[0].time_range = range).unwrap();
        body.windows(&timed(json!({"type": "date"})), &"north".parse().unwrap()).unwrap().digest(cohort)
    };
    let from = |day: &str| Some(TimeRange { from: Some(day.parse().unwrap()), until: None });
    let until = |day: &str| Some(TimeRange { from: None, until: Some(day.parse().unwrap()) });
    let all = [None, from("2015-01-01"), from("2015-01-02"), until("2015-01-01")].map(digest);
    assert_eq!(all[0], cohort);
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(digest(from("2015-01-01")), all[1]);
    let cut = read(|p| p.data[0].time_range = from("2015-01-01")).unwrap();
    let cut = cut.windows(&timed(json!({"type": "date"})), &"north".parse().unwrap()).unwrap();
    assert_ne!(cut.digest(cohort), cut.digest(Digest::of(b"another cohort")), "two cohorts under one digest");
}

#[test]
fn a_permit_is_exported_as_an_odrl_agreement() {
    let mut body = permit();
    body.data[0].time_range = Some(TimeRange { from: Some("2015-01-01".parse().unwrap()), until: None });
    body.data[0].nodes = vec!["north".parse().unwrap()];
    let odrl = agreement(&body, &body_key().public());
    let mut exact = body.clone();
    exact.environment.release = Review::ExactTables;
    let exact = agreement(&exact, &body_key().public()).to_string();
    assert!(
        exact.contains("NOT differentially private") && !odrl.to_string().contains("NOT differentially"),
        "{exact}"
    );
    assert_eq!((&odrl["@type"], &odrl["uid"]), (&json!("Agreement"), &json!("urn:spe:permit:p-1")));
    assert_eq!(odrl["assigner"]["uid"], json!(format!("urn:spe:key:{}", body_key().public())));
    assert_eq!(odrl["assignee"][0]["uid"], "urn:spe:person:ada");
    let permission = &odrl["permission"][0];
    assert_eq!(permission["target"][0]["uid"], "urn:spe:dataset:care@north");
    let constraints = permission["constraint"].as_array().unwrap();
    let value = |left: Value, operator: &str| {
        let found = constraints.iter().find(|c| c["leftOperand"] == left && c["operator"] == operator);
        found.map(|c| c["rightOperand"].clone()).unwrap_or_else(|| panic!("no {operator} on {left}"))
    };
    assert_eq!(value(json!("purpose"), "isAnyOf"), json!([{ "@id": "eu-ehds:HealthcareScientificResearch" }]));
    assert_eq!(value(json!("dateTime"), "lt")["@value"], "2031-01-01T00:00:00Z");
    assert_eq!(value(json!({ "@id": "spe:moduleDigest" }), "isAnyOf"), json!([crate::fixture::module()]));
    assert_eq!(value(json!({ "@id": "spe:recordDate" }), "gteq")["@value"], "2015-01-01");
    assert!(odrl["prohibition"].to_string().contains("spe:reIdentify"));
    assert_eq!(person_key().public(), body.persons[0].key.unwrap(), "keys are not exported, names are");
    assert!(!odrl["assignee"].to_string().contains("ed25519"));
}
