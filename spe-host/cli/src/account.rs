//! Who runs this program: what an operator does has a person, too.

use std::{fs, os::unix::fs::MetadataExt};

use spe_kernel::audit::{Person, Who};

/// The person who works under this process's account: the operating system knows no more.
pub(crate) fn operator() -> Person {
    Person { name: format!("account {}", name()), key: None, identity: None }
}

/// The same, now, at a hub's machine.
pub(crate) fn hub_operator() -> spe_hub::Operator {
    spe_hub::Operator { account: operator(), at: jiff::Timestamp::now() }
}

/// The same, as audit logs have it.
pub(crate) fn account() -> Who {
    Who::Person(operator())
}

/// By the process's user id, which no variable of the environment can change: the account's name, or where it is none of this machine's,
/// the number.
fn name() -> String {
    let Ok(process) = fs::metadata("/proc/self") else { return "unknown".into() };
    let id = process.uid().to_string();
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&accounts, &id).unwrap_or_else(|| format!("uid {id}"))
}

/// The name of the account of that number, as in passwd(5).
fn named(accounts: &str, id: &str) -> Option<String> {
    let fields = |line: &str| {
        let mut fields = line.split(':');
        (fields.next().map(str::to_owned), fields.nth(1).map(str::to_owned))
    };
    accounts.lines().map(fields).find(|(_, number)| number.as_deref() == Some(id)).and_then(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::named;

    /// What would be a bug: an act that is written down as another account's, or as nobody's.
    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nkim:x:1000:0::/home/kim:/bin/sh\n\nodd\n";
        assert_eq!(named(accounts, "0").as_deref(), Some("root"));
        assert_eq!(named(accounts, "1000").as_deref(), Some("kim"));
        assert_eq!(named(accounts, "1001"), None, "a number that nobody has");
    }
}
