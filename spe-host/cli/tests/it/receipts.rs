//! What a receipt says, who is told what, and that nothing in it can be another.

use std::fs;

use serde_json::Value;
use spe_kernel::{audit::PaidUnder, ids::Digest, tlog::LogProof};

use crate::place::{Place, eventually, module, outcome};

fn receipt(place: &Place, folder: &str) -> LogProof {
    LogProof::parse(&fs::read_to_string(place.path(&format!("{folder}/north-0.tlog-proof"))).unwrap()).unwrap()
}

/// Checks the receipt in that folder with the answer beside it, and the permit in `permit`.
fn verify<'a>(file: &'a str, answer: &'a str, permit: &'a str, node_key: &'a str) -> Vec<&'a str> {
    vec!["audit", "verify", "--receipt", file, "--answer", answer, "--permit", permit, "--node-key", node_key]
}

/// A node at work; the job in which `ada` was answered. On its way somebody put blanks behind the permit, which nobody signs.
fn answered() -> (Place, String) {
    let place = Place::at_work(&["north"]);
    let signed = fs::read(place.path("permit.json")).unwrap();
    fs::write(place.path("permit.json"), [&signed[..], b" \n "].concat()).unwrap();
    let job = place.ask("rho=0.1", &[])["job"].as_str().unwrap().to_owned();
    fs::write(place.path("permit.json"), signed).unwrap();
    (place, job)
}

/// What would be a bug: a receipt that leaves out what was paid, for what, under which permit, or where that stands; one that holds with
/// another permit or salt; one that tells who asks the same later under another permit whose answer that was.
#[test]
fn a_receipt_names_the_permit_to_whoever_has_it_and_to_nobody_else() {
    let (mut place, job) = answered();
    place.ok(&["job", "result", &job, "--as", "researcher", "--receipts", "hers"]);
    let node_key = place.ok(&["key", "show", "north/signing.key"])["public_key"].as_str().unwrap().to_owned();
    let said = place.ok(&verify("hers/north-0.tlog-proof", "hers/north-0.answer.json", "permit.json", &node_key));
    let certificate = place.ok(&["job", "certificate", &job, "--as", "researcher"]);
    let (event, participant) = (&said["entry"]["event"], &certificate["participants"][0]);
    assert_eq!(event["module"], Digest::of(&fs::read(module("visits-by-coinsurance")).unwrap()).to_string());
    assert_eq!(event["answer"]["snapshot"], participant["snapshot"], "{participant}");
    assert_eq!(event["answer"]["plan"], certificate["question"]["plan_digest"]);
    assert_eq!(
        (event["loss"].as_str(), event["software"].as_str()),
        (Some("rho=0.1"), Some(spe_node::journal::SOFTWARE))
    );
    let document = place.ok(&["permit", "show", "permit.json"])["digest"].as_str().unwrap().to_owned();
    let paid = &said["paid_under"];
    assert_eq!(
        (paid["permit"]["number"].as_str(), &paid["document"]),
        (Some("dap-2026-0001"), &document.clone().into())
    );
    assert_eq!(
        (&paid["permit"]["issuer"], &said["permit_compared"]),
        (&place.access_body.clone().into(), &true.into())
    );
    let hers = receipt(&place, "hers");
    let (index, size) = (said["index"].as_u64().unwrap(), said["size"].as_u64().unwrap());
    assert!(index < size && !hers.path.is_empty(), "no proof that it is in the log: {said}");
    the_same_again_names_nobody(&place, &job, &node_key, &hers);
    nothing_else_holds(&place, &node_key, &hers);

    place.stop("north");
    let released = place.ok(&["audit", "show", "north", "--event", "released"]);
    assert_eq!(released.as_array().unwrap().len(), 1, "the same answer has another entry: {released}");
    assert_eq!((&released[0]["index"], &released[0]["event"]), (&index.into(), event), "it stands elsewhere");
    let whole = place.ok(&["audit", "verify", "north"]);
    assert_eq!(whole["holds"], true, "{whole}");
}

/// Under another permit, somebody else asks the same, and gets the same answer for nothing.
fn the_same_again_names_nobody(place: &Place, job: &str, node_key: &str, hers: &LogProof) {
    let permit = fs::read_to_string(place.path("permit.toml")).unwrap();
    place.ok(&["hub", "invite", "hub", "--person", "adele", "--out", "adele"]);
    let [ada, adele] =
        [place.ok(&["key", "show", "researcher/signing.key"]), place.ok(&["key", "new", "adele/signing.key"])];
    let [ada, adele] = [&ada, &adele].map(|key| key["public_key"].as_str().unwrap());
    let permit = permit.replace("\"ada\"", "\"adele\"").replace("dap-2026-0001", "dap-2026-0002").replace(ada, adele);
    fs::write(place.path("other.toml"), permit).unwrap();
    place.ok(&["permit", "sign", "other.toml", "--key", "access-body.key", "--out", "other.json"]);
    let ask = ["job", "submit", &module("visits-by-coinsurance"), "--as", "adele", "--permit", "other.json"];
    let ask = [&ask[..], &["--dataset", "rand-hie", "--purpose", "policymaking", "--loss", "rho=0.1"]].concat();
    let other = place.view(&ask).0["job"].as_str().unwrap().to_owned();
    place.ok(&["job", "result", &other, "--as", "adele", "--receipts", "others"]);
    assert_eq!(place.spent("north"), "rho=0.1", "the same answer was charged again");
    let same = |file: &str| {
        fs::read(place.path(&format!("hers/{file}"))).unwrap()
            == fs::read(place.path(&format!("others/{file}"))).unwrap()
    };
    assert!(same("north-0.answer.json"), "another answer");
    let others = receipt(place, "others");
    assert_eq!(others.entry, hers.entry, "another entry");
    assert_eq!(others.opening, None, "who asks the same is told whose answer it was");
    assert!(!String::from_utf8_lossy(&others.entry).contains("dap-2026"), "the entry itself names a permit");
    let said = place.ok(&["audit", "verify", "--receipt", "others/north-0.tlog-proof", "--node-key", node_key]);
    assert_eq!(said["paid_under"], Value::Null);
    for permit in ["permit.json", "other.json"] {
        let (_, why) =
            place.fails(&verify("others/north-0.tlog-proof", "others/north-0.answer.json", permit, node_key));
        assert!(why.contains("the receipt holds") && why.contains("does not say under which permit"), "{why}");
        assert!(!why.contains("does not hold"), "a receipt that holds is said not to: {why}");
    }
    for (answer, permit, what) in
        [("north-0.answer.json", "permit.toml", "permit"), ("../permit.json", "permit.json", "answer")]
    {
        let answer = format!("others/{answer}");
        let (_, why) = place.fails(&verify("others/north-0.tlog-proof", &answer, permit, node_key));
        assert!(why.contains(&format!("is not a signed {what}")), "{why}");
    }
    // Once more, it is the very same.
    place.ok(&["job", "result", job, "--as", "researcher", "--receipts", "again"]);
    let again = receipt(place, "again");
    assert_eq!((&again.entry, &again.opening), (&hers.entry, &hers.opening));
}

/// Another permit, document or salt in the receipt; another permit beside it.
fn nothing_else_holds(place: &Place, node_key: &str, hers: &LogProof) {
    let refused = |proof: &LogProof, why: &str| {
        fs::write(place.path("forged.tlog-proof"), proof.to_text()).unwrap();
        let (_, said) = place.fails(&["audit", "verify", "--receipt", "forged.tlog-proof", "--node-key", node_key]);
        assert!(said.contains(why), "{said}");
    };
    let paid = PaidUnder::parse(hers.opening.as_ref().unwrap()).unwrap();
    let mut other_permit = paid.clone();
    other_permit.permit.number = "dap-2026-0002".parse().unwrap();
    let other_document =
        PaidUnder { document: Digest::of(&fs::read(place.path("other.json")).unwrap()), ..paid.clone() };
    let other_salt = PaidUnder { salt: [0; 32].into(), ..paid.clone() };
    for other in [other_permit, other_document, other_salt] {
        let forged = LogProof { opening: Some(other.to_bytes().unwrap()), ..hers.clone() };
        refused(&forged, "made for another permit or salt");
    }
    let (mut text, at) = (String::from_utf8(hers.entry.clone()).unwrap(), "\"paid_under\":\"blake3:");
    let at = text.find(at).unwrap() + at.len();
    let digit = if text[at..].starts_with('0') { "1" } else { "0" };
    text.replace_range(at..=at, digit);
    refused(&LogProof { entry: text.into_bytes(), opening: None, ..hers.clone() }, "does not hold");
    let (_, why) = place.fails(&verify("hers/north-0.tlog-proof", "hers/north-0.answer.json", "other.json", node_key));
    assert!(why.contains("not under the given document"), "{why}");
}

/// Checks the receipts of a job with so many rounds, which are written into a folder of its name, each with its answer; what they say.
pub(crate) fn verified(place: &Place, (folder, rounds): (&str, u32), permit: &str) -> Vec<Value> {
    place.ok(&["job", "result", folder, "--as", "researcher", "--receipts", folder]);
    let node_key = place.ok(&["key", "show", "north/signing.key"])["public_key"].as_str().unwrap().to_owned();
    let files = fs::read_dir(place.path(folder)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        files.filter(|file| file.ends_with(".tlog-proof")).count(),
        rounds as usize,
        "a receipt for each answer"
    );
    let one = |round: u32| {
        let [proof, answer] = ["tlog-proof", "answer.json"].map(|kind| format!("{folder}/north-{round}.{kind}"));
        let said = place.ok(&verify(&proof, &answer, permit, &node_key));
        assert_eq!(
            (said["entry"]["event"]["kind"].as_str(), &said["permit_compared"]),
            (Some("released"), &true.into())
        );
        assert_eq!(said["entry"]["event"]["answer"]["round"].as_u64().unwrap_or_default(), u64::from(round), "{said}");
        said
    };
    (0..rounds).map(one).collect()
}

/// The persons whom a stopped node's log names for that kind of event, in order.
pub(crate) fn named(place: &Place, kind: &str) -> Vec<String> {
    let log = place.ok(&["audit", "show", "north", "--event", kind]);
    log.as_array().unwrap().iter().filter_map(|entry| entry["person"].as_str().map(str::to_owned)).collect()
}

/// What would be a bug: a round whose answer left without a receipt, or with another round's; a receipt that says that a later round was paid
/// for again.
#[test]
fn every_round_has_a_receipt_of_its_own() {
    let mut place = Place::at_work(&["north"]);
    let view = place.ask_module(&module("kmeans"), "rho=0.3", &["--rounds", "3"]);
    assert_eq!((&view["rounds"]["done"], &view["state"]), (&3.into(), &"complete".into()), "{view}");
    let job = view["job"].as_str().unwrap();
    let said = verified(&place, (job, 3), "permit.json");
    let losses: Vec<_> = said.iter().map(|one| one["entry"]["event"]["loss"].as_str().unwrap()).collect();
    assert_eq!(losses, ["rho=0.3", "rho=0", "rho=0"], "all rounds are paid for with the first");
    let node_key = place.ok(&["key", "show", "north/signing.key"])["public_key"].as_str().unwrap().to_owned();
    let [proof, answer] = ["north-0.tlog-proof", "north-1.answer.json"].map(|file| format!("{job}/{file}"));
    let (_, why) = place.fails(&verify(&proof, &answer, "permit.json", &node_key));
    assert!(why.contains("the receipt is for the answer"), "{why}");
    place.stop("north");
    let released = place.ok(&["audit", "show", "north", "--event", "released"]);
    let stands = |entries: &Value| entries.as_array().unwrap().iter().map(|e| e["event"].clone()).collect::<Vec<_>>();
    assert_eq!(stands(&released), said.iter().map(|one| one["entry"]["event"].clone()).collect::<Vec<_>>());
}

/// What would be a bug: an answer that a person let leave and that has no receipt; a log that does not say by name who let it leave, and who
/// refused another.
#[test]
fn what_an_officer_released_has_a_receipt_and_the_log_names_the_officer() {
    let mut place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    let officers = ["ola", "max"].map(|name| {
        let key = place.ok(&["key", "new", &format!("{name}.key")])["public_key"].as_str().unwrap().to_owned();
        format!("[[officers]]\nname = \"{name}\"\nkey = \"{key}\"\nduties = [\"check-outputs\"]\n\n")
    });
    place.policy("north", "[outputs]", &format!("{}[outputs]", officers.concat()));
    place.policy("north", "review = \"automatic\"", "review = \"checked\"");
    place.start_all(&["north"]);
    let at = |place: &Place, job: &str| outcome(&place.view(&["job", "result", job, "--as", "researcher"]).0, "north");
    let mut jobs = Vec::new();
    for (loss, officer, verdict, ends) in
        [("rho=0.1", "max", "approve", "answered"), ("rho=0.2", "ola", "refuse", "refused")]
    {
        let job = place.ask(loss, &["--detach"])["job"].as_str().unwrap().to_owned();
        eventually("it waits for an officer", || at(&place, &job)["stage"] == "awaits-release");
        let waiting = place.ok(&["node", "desk", "list", "north"]);
        let matter = waiting[0]["matter"].as_object().unwrap().values().next().unwrap().as_str().unwrap();
        let short: String = matter.trim_start_matches("blake3:").chars().take(12).collect();
        let key = format!("{officer}.key");
        let decide = ["node", "desk", verdict, "north", &short, "--officer", officer, "--key", &key, "--reason", "so"];
        place.ok(&decide);
        eventually("it is decided", || at(&place, &job)["outcome"] == ends);
        jobs.push(job);
    }
    let said = verified(&place, (&jobs[0], 1), "permit.json");
    place.stop("north");
    assert_eq!(named(&place, "gate-decided"), ["max", "ola"], "the log names somebody else, or nobody");
    let log = place.ok(&["audit", "show", "north", "--event", "gate-decided"]);
    assert_eq!((&log[0]["event"]["released"], &log[1]["event"]["released"]), (&true.into(), &false.into()), "{log}");
    assert_eq!(log[0]["event"]["envelope"], said[0]["entry"]["event"]["envelope"], "another answer was decided on");
    let hers = place.ok(&["audit", "show", "north", "--person", "ola", "--event", "gate-decided"]);
    assert_eq!(hers.as_array().unwrap().len(), 1, "what ola decided is not found by her name: {hers}");
}
