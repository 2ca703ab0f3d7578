//! `spe demo`: a hub and three nodes as processes on this machine, over real data, from a researcher's module to a
//! policymaker's number.

mod cast;
mod oracle;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use spe_kernel::{
    permit::{PermitBody, PermitPerson},
    person::PersonIdentity,
};
use spe_wire::view::View;

use crate::{
    demo::cast::Cast,
    output::Output,
    page,
    show::{self, Reading},
};

/// The example data and modules travel in the binary, so that the demo needs no file.
const DATA: &[u8] = include_bytes!("../../../../examples/data/randhie.csv");
const DECLARATION: &[u8] = include_bytes!("../../../../examples/data/rand-hie.toml");
const VISITS: &[u8] = include_bytes!("../../../../examples/modules/visits-by-coinsurance.wasm");
const HOSPITAL: &[u8] = include_bytes!("../../../../examples/modules/hospital-use.wasm");
const HOSTILE: &[u8] = include_bytes!("../../../../guest-sdk/evil/modules/hostile.wasm");

/// The permit that a data access body would start from.
const PERMIT: &str = include_str!("../../../../policies/permits/visits.toml");

/// The nodes, and which two of the experiment's six sites each holds.
const NODES: [(&str, &str); 3] =
    [("north", "site in (\"1\", \"2\")"), ("middle", "site in (\"3\", \"4\")"), ("south", "site in (\"5\", \"6\")")];

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Folder to make; it holds the hub, the nodes, the researcher's files and the result page
    #[arg(long, default_value = "spe-demo")]
    dir: PathBuf,
    /// Keep hub and nodes running until Enter is pressed, to try commands against them
    #[arg(long)]
    stay: bool,
}

pub(crate) fn run(args: &DemoArgs, output: Output) -> Result<()> {
    ensure!(
        !output.json,
        "the demo is a story for people; its commands answer with --json in a terminal of their own (--stay)"
    );
    let started = Instant::now();
    let cast = set_up(&args.dir)?;
    let visits = ask_visits(&cast)?;
    let hospital = ask_hospital(&cast)?;
    ask_again(&cast, &visits)?;
    ask_too_much(&cast)?;
    run_hostile(&cast)?;
    cast.say("Budgets after all that");
    cast.run(&["budget", "--as", "researcher"])?;
    let page = write_page(&cast, &visits, &hospital)?;
    cast.say(&format!("Done in {:.1} s. The result page: {}", started.elapsed().as_secs_f64(), page.display()));
    if args.stay {
        cast.stay()?;
    }
    Ok(())
}

/// Hub, data access body, researcher, three nodes with their data: what each of them would type.
fn set_up(dir: &Path) -> Result<Cast> {
    let mut cast = Cast::new(dir)?;
    cast.write("randhie.csv", DATA)?;
    cast.write("rand-hie.toml", DECLARATION)?;
    for (file, module) in [("visits.wasm", VISITS), ("hospital.wasm", HOSPITAL), ("hostile.wasm", HOSTILE)] {
        cast.write(file, module)?;
    }
    cast.say("A hub, which holds no data, no engine and no noise");
    let port = cast.free_port(20_000)?;
    cast.run(&["hub", "init", "hub", "--listen", &format!("127.0.0.1:{port}"), "--host", "localhost"])?;
    cast.start("hub", &["hub", "run", "hub"])?;
    cast.say("A data access body and a researcher, each with a key");
    let body = cast.key("access-body.key")?;
    cast.run(&["hub", "invite", "hub", "--person", "ada", "--out", "researcher"])?;
    let ada = cast.key("researcher/signing.key")?;
    let issuer = login(&mut cast, port)?;
    cast.say("A key holder, in a trust zone of its own: it makes the pseudonyms, holds the keys and never sees data");
    let keys = cast.free_port(port + 2)?;
    cast.run(&["keyholder", "init", "keyholder", "--listen", &format!("127.0.0.1:{keys}"), "--host", "localhost"])?;
    cast.start("keyholder", &["keyholder", "run", "keyholder"])?;
    cast.wait_listening(keys)?;
    cast.say("Three nodes, two of the six sites of the experiment each; data is pseudonymised and never leaves them");
    for (node, sites) in NODES {
        let bundle = format!("{node}-invitation");
        cast.run(&["hub", "invite", "hub", "--node", node, "--out", &bundle])?;
        let keys = format!("{node}-keys");
        cast.run(&["keyholder", "invite", "keyholder", "--node", node, "--out", &keys])?;
        let init = ["node", "init", node, "--connection", &bundle, "--keyholder", &keys, "--access-body", &body];
        cast.run(&[&init[..], &["--unmeasured"]].concat())?;
        cast.append(&format!("{node}/policy.toml"), &people(&issuer))?;
        let ingest = ["data", "ingest", node, "--declaration", "rand-hie.toml", "--table", "years=randhie.csv"];
        cast.run(&[&ingest[..], &["--where", sites, "--budget", "rho=2"]].concat())?;
        cast.start(node, &["node", "run", node])?;
    }
    cast.print(
        "  Nobody measured these nodes' machine (--unmeasured; policy.toml says so): a module made for it could be late for one person\n  \
         on purpose, three times at most. `spe node selftest DIR --adopt`, a minute at each node, closes that.\n",
    );
    cast.say("A data permit, signed by the data access body");
    cast.write("permit.toml", permit(&ada, &issuer)?.as_bytes())?;
    cast.run(&["permit", "sign", "permit.toml", "--key", "access-body.key", "--out", "permit.json"])?;
    cast.run(&["permit", "show", "permit.json"])?;
    cast.wait_online(NODES.len())?;
    Ok(cast)
}

/// Ada, as the issuer knows her.
const SUBJECT: &str = "ada-7f3a";

/// An issuer of logins, and the researcher's login there, on the way that a browser would go.
fn login(cast: &mut Cast, hub: u16) -> Result<String> {
    cast.say("An issuer of logins for demonstration (NOT FOR PRODUCTION): ada logs in, and her login names her key");
    let port = cast.free_port(hub + 1)?;
    let issuer = format!("http://127.0.0.1:{port}/development");
    let person = format!("[[persons]]\nsubject = \"{SUBJECT}\"\nname = \"Ada\"\namr = [\"pwd\", \"otp\"]\n");
    cast.write("persons.toml", person.as_bytes())?;
    cast.start("issuer", &["dev-issuer", "--persons", "persons.toml", "--listen", &format!("127.0.0.1:{port}")])?;
    cast.wait_listening(port)?;
    let key = ["--client-id", "spe", "--key", "researcher/signing.key", "--development-person", SUBJECT];
    cast.run(&[&["login", "--issuer", &issuer], &key[..]].concat())?;
    cast.print("  The permit names this person and this key. Each node checks alone that both signed, and a second factor was used.\n");
    Ok(issuer)
}

/// What a node's operator writes to take logins of the demonstration's issuer, and no job without one.
fn people(issuer: &str) -> String {
    format!(
        "\n[people]\nlogin_required = true\ndevelopment_issuer = true\n[[people.issuers]]\nissuer = \"{issuer}\"\nclient_id = \"spe\"\n"
    )
}

/// A permit of the sample's kind, for the demo's columns and budget.
fn permit(ada: &str, issuer: &str) -> Result<String> {
    let columns = ["coins", "year", "xage", "female", "mdvis", "totadm", "disea", "hlthg", "hlthf", "hlthp"];
    let mut permit: PermitBody = toml::from_str(PERMIT).context("the sample permit")?;
    permit.number = "dap-2026-0042".parse()?;
    permit.original = permit.number.clone();
    permit.issuer = "Demonstration data access body".into();
    permit.valid_until = "2036-01-01T00:00:00Z".parse()?;
    permit.environment.loss_cap = "rho=0.6".parse()?;
    let identity = Some(PersonIdentity { issuer: issuer.into(), subject: SUBJECT.into() });
    permit.persons = vec![PermitPerson { identity, ..PermitPerson::investigator("ada".parse()?, ada.parse()?) }];
    for data in &mut permit.data {
        data.columns = columns.map(|column| format!("years.{column}")).to_vec();
    }
    Ok(toml::to_string(&permit)?)
}

/// Fuel for one person: plenty for the demo's modules (`spe module check`). Answers wait for as much.
const FUEL: &str = "5000";

/// A job under the demo's permit.
fn submit(module: &str, loss: &str, more: &[&str]) -> Vec<String> {
    let fixed = ["job", "submit", module, "--as", "researcher", "--permit", "permit.json", "--dataset", "rand-hie"];
    let price = ["--purpose", "policymaking", "--loss", loss, "--fuel", FUEL];
    let all = fixed.iter().chain(&price).chain(more);
    all.map(|s| (*s).to_owned()).collect()
}

fn ask_visits(cast: &Cast) -> Result<View> {
    cast.say("The policymaker's question: do people see the doctor less when they pay a share?");
    let view = cast.submit(&submit("visits.wasm", "rho=0.1", &[]))?;
    present(cast, &view, &[Some(oracle::visits_by_coinsurance(DATA, f64::INFINITY)?)]);
    let clamped: Vec<_> = oracle::visits_by_coinsurance(DATA, 20.0)?.iter().map(|x| format!("{x:.3}")).collect();
    cast.print(&format!(
        "  The module bounds one person's number at 20 visits a year. That bias is not in the intervals: without noise it\n  \
         would give {}.\n",
        clamped.join(", ")
    ));
    Ok(view)
}

fn ask_hospital(cast: &Cast) -> Result<View> {
    cast.say("A second question: who of the adults is admitted to hospital, and how often?");
    let view = cast.submit(&submit("hospital.wasm", "rho=0.3", &["--param", "min_age=18"]))?;
    present(cast, &view, &oracle::hospital_use(DATA, 18.0)?);
    Ok(view)
}

fn present(cast: &Cast, view: &View, exact: &[Option<Vec<f64>>]) {
    for (i, statistic) in view.statistics.iter().enumerate() {
        let reading = Reading { exact: exact.get(i).and_then(|e| e.as_deref()), ..Reading::default() };
        cast.print(&format!("\n{}", show::statistic(statistic, reading)));
    }
    cast.print(&format!("\n{}", show::nodes(&view.nodes)));
    if !exact.is_empty() {
        cast.print(
            "  * exact: this demonstration's operator holds the public data and may know it; a researcher does not\n",
        );
    }
}

fn ask_again(cast: &Cast, first: &View) -> Result<()> {
    cast.say("The same question again: the same stored bytes from each node, free");
    let before = cast.spent()?;
    let again = cast.submit(&submit("visits.wasm", "rho=0.1", &[]))?;
    ensure!(again.nodes == first.nodes, "the answer to the same question differs");
    ensure!(cast.spent()? == before, "the same question was charged twice");
    cast.print(&format!("  {} answers, byte for byte the same; nothing was charged\n", again.answered));
    Ok(())
}

fn ask_too_much(cast: &Cast) -> Result<()> {
    cast.say("A question that costs more than the permit has left: refused before any data is read");
    let before = cast.spent()?;
    let view = cast.submit(&submit("visits.wasm", "rho=0.5", &[]))?;
    ensure!(view.statistics.is_empty(), "a question over budget was answered");
    ensure!(cast.spent()? == before, "a refused question was charged");
    cast.print(&show::nodes(&view.nodes));
    Ok(())
}

fn run_hostile(cast: &Cast) -> Result<()> {
    cast.say("A hostile module: it counts across people, loops for ever, grows memory, traps. It needs no review to be harmless");
    let view = cast.submit(&submit("hostile.wasm", "rho=0.05", &[]))?;
    present(cast, &view, &[]);
    cast.wait_online(NODES.len()).context("a hostile module took a node down")?;
    cast.print("  Every node is still there. Each person moved the answers by one bounded contribution and no more.\n");
    Ok(())
}

fn write_page(cast: &Cast, visits: &View, hospital: &View) -> Result<PathBuf> {
    let visits_exact = vec![Some(oracle::visits_by_coinsurance(DATA, f64::INFINITY)?)];
    let sections = [
        section("Do people see the doctor less when they pay a share of the cost?", visits, visits_exact),
        section(
            "Who of the adults is admitted to hospital, and how often?",
            hospital,
            oracle::hospital_use(DATA, 18.0)?,
        ),
    ];
    let notice = format!(
        "RAND Health Insurance Experiment, 5,912 people at three nodes. {} Exact values are shown because this data is public.",
        page::NOTICE
    );
    let path = cast.path("result.html");
    std::fs::write(&path, page::render("Doctor visits and hospital care by what people pay", &notice, &sections))?;
    Ok(path)
}

const fn section<'a>(question: &'a str, view: &'a View, exact: Vec<Option<Vec<f64>>>) -> page::Section<'a> {
    page::Section { question, view, exact, least: None }
}
