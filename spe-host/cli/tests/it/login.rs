//! Who may ask, from the login to the answer: real processes, an issuer that a program plays the browser for, a node that asks for
//! logins.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use jiff::Timestamp;
use serde_json::Value;
use spe_identity::{Url, development::choose};
use spe_kernel::{
    dsse::SecretKey,
    ids::Digest,
    job::{JOB_FORMAT, JobBody, Purpose},
    plan::{Choices, Plan},
    refusal::{Refusal, Stop},
};
use spe_node::{
    run::{Escort, Step, Submitted, run},
    site::Site,
};

use crate::place::{Place, SPE, module, outcome};

const PERSONS: &str = "[[persons]]\nsubject = \"ada\"\nname = \"Ada\"\namr = [\"pwd\", \"otp\"]\n\
    [[persons]]\nsubject = \"bob\"\nname = \"Bob\"\namr = [\"pwd\", \"otp\"]\n\
    [[persons]]\nsubject = \"service\"\nname = \"No second factor\"\namr = [\"pwd\"]\n";

/// A running `spe dev-issuer`.
struct Issuer {
    process: Child,
    /// Kept open: it writes there.
    _said: BufReader<ChildStdout>,
    address: String,
}

impl Issuer {
    fn start(place: &Place) -> Self {
        std::fs::write(place.path("persons.toml"), PERSONS).unwrap();
        let args = ["dev-issuer", "--persons", "persons.toml", "--listen", "127.0.0.1:0"];
        let mut process = spawn(place, &args, |command| command.stdout(Stdio::piped()));
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("NOT FOR PRODUCTION"), "{line}");
        let address = line.split_whitespace().last().unwrap().to_owned();
        Self { process, _said: said, address }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(place: &Place, args: &[&str], pipe: impl Fn(&mut Command) -> &mut Command) -> Child {
    let mut command = Command::new(SPE);
    pipe(command.args(args).current_dir(place.dir.path()).stdin(Stdio::null())).spawn().unwrap()
}

/// `spe login`, with somebody at a browser who is `subject`.
fn login(place: &Place, issuer: &Issuer, subject: &str) {
    let args =
        ["login", "--issuer", &issuer.address, "--client-id", "spe", "--key", "researcher/signing.key", "--no-browser"];
    let mut process = spawn(place, &args, |command| command.stderr(Stdio::piped()).stdout(Stdio::null()));
    let mut said = String::new();
    let mut lines = BufReader::new(process.stderr.take().unwrap());
    lines.read_line(&mut said).unwrap();
    let page: Url = said.trim().split_once(": ").unwrap().1.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(choose(&page, subject)).unwrap();
    assert!(process.wait().unwrap().success(), "spe login: {said}");
}

fn append(file: &Path, text: &str) {
    let before = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, before + text).unwrap();
}

fn people(issuer: &Issuer) -> String {
    let address = &issuer.address;
    format!("\n[people]\ndevelopment_issuer = true\n[[people.issuers]]\nissuer = \"{address}\"\nclient_id = \"spe\"\n")
}

/// A permit for ada's login; with her key too, if `with_key`.
fn permit(place: &Place, issuer: &Issuer, name: &str, with_key: bool) {
    let text = std::fs::read_to_string(place.path("permit.toml")).unwrap();
    let mut permit: toml::Table = toml::from_str(&text).unwrap();
    (permit["number"], permit["original"]) = (name.into(), name.into());
    let person = permit["persons"][0].as_table_mut().unwrap();
    if !with_key {
        person.remove("key");
    }
    let identity = [("issuer", issuer.address.as_str()), ("subject", "ada")].map(|(k, v)| (k.to_owned(), v.into()));
    person.insert("identity".into(), toml::Table::from_iter(identity).into());
    std::fs::write(place.path(&format!("{name}.toml")), toml::to_string(&permit).unwrap()).unwrap();
    let (draft, out) = (format!("{name}.toml"), format!("{name}.json"));
    place.ok(&["permit", "sign", &draft, "--key", "access-body.key", "--out", &out]);
}

fn node(place: &Place, issuer: &Issuer) {
    place.node("north", "site = \"1\"", "rho=10");
    append(&place.path("north/policy.toml"), &people(issuer));
}

/// Submits under that permit; what the node says, and the exit code.
fn ask(place: &Place, permit: &str, attempt: &str) -> (Value, i32) {
    let module = module("visits-by-coinsurance");
    let permit = format!("{permit}.json");
    let args =
        ["job", "submit", &module, "--as", "researcher", "--permit", &permit, "--dataset", "rand-hie", "--purpose"];
    let (view, code) = place.view(&[&args[..], &["policymaking", "--loss", "rho=0.01", "--attempt", attempt]].concat());
    (outcome(&view, "north"), code)
}

/// What would be a bug: an answer for somebody who did not prove to be the permit's person, or none for the one who did.
#[test]
fn a_job_is_answered_with_the_persons_login_and_with_nothing_less() {
    let mut place = Place::new("rho=5");
    let issuer = Issuer::start(&place);
    node(&place, &issuer);
    permit(&place, &issuer, "login-only", false);
    permit(&place, &issuer, "both", true);
    place.start_all(&["north"]);
    let refused = |permit: &str, expected: &str, exit: i32| {
        let (line, code) = ask(&place, permit, "0");
        assert!(line.to_string().contains(expected), "expected {expected}: {line}");
        assert_eq!(code, exit, "{line}");
    };
    // The permit names the key alone, but the node asks for a login.
    refused("permit", "login-required", 9);
    refused("login-only", "login-required", 9);

    login(&place, &issuer, "ada");
    let kept = place.path("researcher/signing.login.json");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600, "others can read the login");
    let shown = place.ok(&["login", "show", "--key", "researcher/signing.key"]);
    assert_eq!((&shown["subject"], &shown["amr"][1]), (&"ada".into(), &"otp".into()));
    for (attempt, permit) in ["login-only", "both", "permit"].into_iter().enumerate() {
        let (line, code) = ask(&place, permit, &(attempt + 1).to_string());
        assert_eq!(code, 0, "{permit}: {line}");
    }

    login(&place, &issuer, "bob");
    refused("login-only", "person-not-in-permit", 5);
    refused("both", "person-not-in-permit", 5);
    login(&place, &issuer, "service");
    refused("login-only", "login-refused", 9);

    // Somebody else's login beside one's own key: told before anything is signed.
    std::fs::rename(place.path("researcher/signing.key"), place.path("hers.key")).unwrap();
    place.ok(&["key", "new", "researcher/signing.key"]);
    let module = module("visits-by-coinsurance");
    let args =
        ["job", "submit", &module, "--as", "researcher", "--permit", "both.json", "--dataset", "rand-hie", "--purpose"];
    let (_, told) = place.fails(&[&args[..], &["policymaking", "--loss", "rho=0.01"]].concat());
    assert!(told.contains("another key") && told.contains("spe login"), "{told}");
}

/// A researcher's program that is not ours, and a hub that keeps other people's logins: no program of the thief checks anything.
struct Quiet;

impl Escort for Quiet {
    async fn fetch(&mut self, _: Digest) -> Result<Vec<u8>, Stop> {
        Ok(std::fs::read(module("visits-by-coinsurance")).unwrap())
    }
    fn passed(&mut self, _: Step) {}
    fn cancelled(&self) -> bool {
        false
    }
    async fn hold(&mut self, _: Timestamp) {}
}

/// What would be a bug: a login that is good for whoever has it.
#[test]
fn a_stolen_login_is_worth_nothing_without_its_key() {
    let place = Place::new("rho=5");
    let issuer = Issuer::start(&place);
    node(&place, &issuer);
    permit(&place, &issuer, "login-only", false);
    login(&place, &issuer, "ada");
    let kept = std::fs::read(place.path("researcher/signing.login.json")).unwrap();
    let token = serde_json::from_slice::<Value>(&kept).unwrap()["id_token"].as_str().unwrap().to_owned();
    let site = Site::open(&place.path("north"), (SPE.into(), vec!["compile-module".into()])).unwrap();
    let wasm = std::fs::read(module("visits-by-coinsurance")).unwrap();
    let inspection = spe_sandbox::inspect(&wasm).unwrap();
    let offer = site.offer(&"rand-hie".parse().unwrap()).unwrap();
    let choices = Choices::new("rho=0.01".parse().unwrap());
    let plan = Plan::new(&inspection.manifest, inspection.digest, &offer.schema, &choices).unwrap();
    let permit = std::fs::read(place.path("login-only.json")).unwrap();
    let asks = |signer: &SecretKey, identity: Option<String>| {
        let body = JobBody {
            format: JOB_FORMAT.into(),
            permit: "login-only".parse().unwrap(),
            person: "ada".parse().unwrap(),
            purpose: Purpose::Policymaking,
            nodes: vec![],
            signed_at: Timestamp::now(),
            plan: plan.clone(),
            identity,
        };
        let submitted = Submitted { job: body.sign(signer), permit: permit.clone(), next: None };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
        runtime.block_on(run(&site, &submitted, &mut Quiet)).map(drop)
    };
    let ada: SecretKey = std::fs::read_to_string(place.path("researcher/signing.key")).unwrap().parse().unwrap();
    let thief = SecretKey::from_seed(&[9; 32]);
    let stolen = asks(&thief, Some(token.clone()));
    assert!(
        matches!(&stolen, Err(Stop::Refused(Refusal::LoginRefused { why })) if why.contains("another key")),
        "{stolen:?}"
    );
    let without = asks(&ada, None);
    assert!(matches!(without, Err(Stop::Refused(Refusal::LoginRequired { .. }))), "{without:?}");
    let nonsense = asks(&ada, Some("a.b.c".into()));
    assert!(matches!(nonsense, Err(Stop::Refused(Refusal::LoginRefused { .. }))), "{nonsense:?}");
    assert!(asks(&ada, Some(token)).is_ok());
}

/// What would be a bug: a hub that carries to every node what none of them takes.
#[test]
fn a_hub_that_knows_the_issuers_refuses_early() {
    let mut place = Place::new("rho=5");
    let issuer = Issuer::start(&place);
    node(&place, &issuer);
    permit(&place, &issuer, "login-only", false);
    append(&place.path("hub/hub.toml"), &people(&issuer));
    place.start_all(&["north"]);
    let module = module("visits-by-coinsurance");
    let args = ["job", "submit", &module, "--as", "researcher", "--permit", "login-only.json", "--dataset", "rand-hie"];
    let args = [&args[..], &["--purpose", "policymaking", "--loss", "rho=0.01"]].concat();
    let (code, told) = place.fails(&args);
    assert_eq!(code, 9, "{told}");
    assert!(told.contains("spe login") && told.contains(&issuer.address), "what to do must be said: {told}");
    assert_eq!(place.ok(&["job", "list", "--as", "researcher"]), serde_json::json!([]), "the hub kept the job");
    login(&place, &issuer, "service");
    assert_eq!(place.fails(&args).0, 9);
    login(&place, &issuer, "ada");
    assert_eq!(ask(&place, "login-only", "0").1, 0);
}

#[test]
fn an_issuer_for_development_is_taken_by_nobody_who_did_not_say_so() {
    let place = Place::new("rho=5");
    let issuer = Issuer::start(&place);
    node(&place, &issuer);
    place.policy("north", "development_issuer = true", "development_issuer = false");
    let (_, told) = place.fails(&["node", "run", "north"]);
    assert!(told.contains("policy.toml") && told.contains("NOT FOR PRODUCTION"), "{told}");
    let (_, told) = place.fails(&["dev-issuer", "--persons", "persons.toml", "--listen", "0.0.0.0:0"]);
    assert!(told.contains("NOT FOR PRODUCTION"), "{told}");
}
