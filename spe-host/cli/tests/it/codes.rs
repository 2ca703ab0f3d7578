//! Exit codes: what is wrong in the same way has the same code in every command (`docs/operations.md`, "Exit codes").

use std::fs;

use crate::place::{Place, example};

/// A hub, a node that is stopped, and documents with something wrong in each.
fn place() -> Place {
    let place = Place::new("rho=1");
    place.node("north", "site = \"1\"", "rho=2");
    place.ok(&["key", "new", "other.key"]);
    let ada = place.ok(&["key", "show", "researcher/signing.key"])["public_key"].as_str().unwrap().to_owned();
    place.permit("expired", &ada, "rho=1", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    place.permit("early", &ada, "rho=1", "2035-01-01T00:00:00Z", "2036-01-01T00:00:00Z");
    let signed = fs::read_to_string(place.path("permit.json")).unwrap();
    let at = signed.len() / 2;
    let other = if signed.as_bytes()[at] == b'A' { "B" } else { "A" };
    fs::write(place.path("bent.json"), format!("{}{other}{}", &signed[..at], &signed[at + 1..])).unwrap();
    fs::write(place.path("text.json"), "hello").unwrap();
    fs::write(place.path("two.ids"), "1\n2\n").unwrap();
    fs::write(place.path("none.ids"), "\n").unwrap();
    let permit = fs::read_to_string(place.path("permit.toml")).unwrap();
    fs::write(place.path("field.toml"), format!("nonsense = 1\n{permit}")).unwrap();
    fs::write(
        place.path("unlawful.toml"),
        permit.replace("applicant_body = \"public\"", "applicant_body = \"private\""),
    )
    .unwrap();
    fs::copy(example("policies/applications/template.toml"), place.path("application.toml")).unwrap();
    let revocation = fs::read_to_string(example("policies/revocations/permit.toml")).unwrap();
    fs::write(place.path("revoke.toml"), &revocation).unwrap();
    fs::write(place.path("ahead.toml"), revocation.replace("2026-06", "2999-06")).unwrap();
    place.ok(&["revocation", "sign", "revoke.toml", "--key", "other.key", "--out", "revoke.json"]);
    place
}

/// Runs each command, which has `·` for an empty text, and compares its exit code and what it says.
fn compare(place: &Place, table: &str) {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    let wrong = lines.filter_map(|line| {
        let (code, rest) = line.split_once(' ').unwrap();
        let (command, says) = rest.split_once(" => ").unwrap();
        let args: Vec<&str> = command.split_whitespace().map(|arg| if arg == "·" { "" } else { arg }).collect();
        let (found, message) = place.fails(&args);
        let holds = found.to_string() == code && message.contains(says);
        (!holds).then(|| format!("spe {command}: expected {code} and {says:?}, found {found}: {message}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What would be a bug: a script that cannot tell what it did wrong from what the machine did.
#[test]
fn what_is_wrong_in_the_same_way_has_the_same_code() {
    let place = place();
    let other = place.ok(&["key", "show", "other.key"])["public_key"].as_str().unwrap().to_owned();
    let signing = "--key access-body.key --out signed.json";
    let officer = "--officer ola --key other.key";
    let visits = "--dataset rand-hie";
    compare(
        &place,
        &format!(
            "1 permit sign nowhere.toml {signing} => nowhere.toml
             1 permit sign permit.toml --key nowhere.key --out signed.json => nowhere.key
             1 permit sign permit.toml --key text.json --out signed.json => not a key
             1 permit sign permit.toml --key access-body.key --out permit.json => exists already
             3 permit sign text.json {signing} => text.json: the permit is malformed
             3 permit sign field.toml {signing} => unknown field `nonsense`
             5 permit sign unlawful.toml {signing} => Art. 53(2)
             1 permit show nowhere.json => nowhere.json
             3 permit show text.json => not a signed permit
             3 permit show revoke.json => and not application/vnd.spe.permit+json
             9 permit show bent.json => does not verify
             9 permit odrl bent.json => does not verify
             5 permit check expired.json => expired at
             5 permit check early.json => too early
             9 permit check permit.json --access-body {other} => not trusted
             3 application sign permit.toml {signing} => the application is malformed
             3 application sign application.toml --key other.key --out signed.json => the key of none of its persons
             3 application show permit.json => malformed
             3 decision sign permit.toml {signing} => the decision is malformed
             3 decision show permit.json => not a signed decision
             3 decision show bent.json => not a signed decision
             3 revocation sign permit.toml {signing} => the revocation is malformed
             3 revocation sign ahead.toml {signing} => in the future
             3 revocation show permit.json => not a signed revocation"
        ),
    );
    compare(
        &place,
        &format!(
            "1 hub fingerprint nowhere => nowhere/hub.toml
             5 hub invite hub --person ada --out again => invited twice
             5 hub invite hub --person ada --token => invited twice
             1 hub invite hub --person kim --out researcher => exists already
             2 hub invite hub --person kim --out kim --roles king => king
             2 hub roles hub ada --roles king => king
             4 hub roles hub nobody => person nobody
             4 hub roles hub nobody --roles auditor => person nobody
             4 hub dismiss hub --person nobody => person nobody
             4 hub dismiss hub --node nowhere => node nowhere
             3 hub record hub --point i --of · => 1 to 200 bytes
             3 join nonsense --dir kim => whole line
             8 register list --hub localhost:1 --ca {zeros} => cannot be reached
             3 register list --hub nowhere --ca {zeros} => host:port
             3 register list => --hub HOST:PORT
             8 application list --as researcher => cannot be reached
             1 application list --as nowhere => not a member's folder",
            zeros = "0".repeat(64)
        ),
    );
    compare(
        &place,
        &format!(
            "1 node incident list nowhere => nowhere/node.toml
             1 node misses north => has not run yet
             1 audit show north => has not run yet
             4 node incident update north 7 --what done => incident 7
             3 node incident open north --what · => 0 bytes
             4 node desk approve north 3f9a {officer} => spe node desk list north
             3 node desk approve north · {officer} => first characters
             3 node desk refuse north 3f9a {officer} => --reason
             4 node desk refuse north 3f9a {officer} --reason no => 3f9a
             1 node desk revoke north nowhere.json => nowhere.json
             3 node desk revoke north permit.json => not a signed revocation
             9 node desk revoke north revoke.json => not trusted
             4 node forget-person north --name nobody => nobody
             3 node misses north --resume rand-hie --reason · => --reason is empty
             2 audit show north --event nonsense => `job-refused`
             3 audit acknowledge north --reason · => --reason is empty
             7 audit acknowledge north --reason lost => nothing was found
             5 audit prune north --before 2999-01-01T00:00:00Z => Art. 73(1)(e)
             9 audit verify north --witness-key {other} => no witness has cosigned
             3 audit verify --receipt text.json --node-key {other} => malformed
             4 node optout add north --dataset visits --id 1 => spe data list
             3 node optout add north {visits} --id 1 --id 2 => 2 values
             3 node optout add north {visits} --ids-file none.ids => names nobody
             3 node optout add north {visits} --id 1234 --source 1234 => contains a person's id
             3 node optout show north {visits} --ids-file two.ids => one person
             4 node optout list north --dataset visits => spe data list
             4 node optout verify north {visits} --permit permit.json --table visits => it has years
             9 node optout verify north {visits} --permit bent.json => does not verify
             4 node optout verify north --dataset visits --permit permit.json => visits"
        ),
    );
    compare(
        &place,
        &format!(
            "1 keyholder list nowhere => spe keyholder init
             4 keyholder dismiss keyholder --node south => node south
             4 keyholder rotate keyholder visits --data-key => any key of dataset visits
             4 keyholder rotate keyholder rand-hie --node south --data-key => rand-hie at node south
             4 keyholder destroy keyholder north visits --by me --reason over --yes => visits at node north
             4 keyholder destroy keyholder north visits --by me --reason over => spe keyholder list keyholder
             3 keyholder destroy keyholder north rand-hie --by · --reason over --yes => 1 to 500 bytes
             3 keyholder destroy keyholder north rand-hie --version 1 --by me --reason over --yes => newest data key
             3 keyholder verify permit.json --key {other} => malformed"
        ),
    );
}

/// What would be a bug: a refused invitation that changes what its member may do.
#[test]
fn a_refused_invitation_changes_no_roles() {
    let place = Place::new("rho=1");
    let before = place.ok(&["hub", "roles", "hub", "ada"]);
    place.fails(&["hub", "invite", "hub", "--person", "ada", "--roles", "auditor", "--token"]);
    assert_eq!(place.ok(&["hub", "roles", "hub", "ada"]), before);
    place.ok(&["hub", "invite", "hub", "--person", "kim", "--roles", "auditor", "--token"]);
    assert_eq!(place.ok(&["hub", "roles", "hub", "kim"])["roles"], serde_json::json!(["auditor"]));
}

/// What would be a bug: an application that is named as it is printed, and a refusal that does not say which name is meant.
#[test]
fn refusals_of_the_hub_name_what_lists_print() {
    let mut place = Place::new("rho=1");
    place.start_hub();
    crate::place::eventually("the hub answers", || place.run(&["budget", "--as", "researcher"]).status.success());
    let hub = place.ok(&["hub", "fingerprint", "hub"])["hub"].as_str().unwrap().to_owned();
    compare(&place, &format!("9 register list --hub {hub} --ca {} => fingerprint", "0".repeat(64)));
    compare(
        &place,
        "4 application status app-2026-0017 --as researcher => `spe application list` has it
         4 application status application-0000000000000000 --as researcher => application application-0000000000000000 is not known here
         4 application accept app-1 --node north --key access-body.key --issuer us --as researcher => is not known here
         3 application submit permit.json --as researcher => the application is malformed
         3 revocation submit permit.json --as researcher => malformed
         4 job result job-1 --as researcher => job job-1 is not known here
         8 budget nothing --as researcher => no node is connected yet
         3 report activity --from 2027-01-01T00:00:00Z --until 2026-01-01T00:00:00Z --as researcher => no time
         2 report activity --from 2027-01-01 --as researcher => write 2027-01-01T00:00:00Z",
    );
}
