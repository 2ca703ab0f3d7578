//! By whose leave a job waits: what its standing depends on, and whose part of the room it takes.

use jiff::Timestamp;
use spe_kernel::{
    document::Opened,
    dsse::PublicKey,
    ids::{PermitNumber, PersonName},
    job::Job,
    permit::{Permit, PermitBody, PermitId, Version},
    person::{Identity, PersonIdentity},
};

/// All of a permit and a job that says whether they still stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Who permits it.
    pub(crate) issuer: PublicKey,
    /// The permit.
    pub(crate) number: PermitNumber,
    /// It, the first of its line, and the one that it replaces.
    pub(crate) numbers: Vec<PermitNumber>,
    /// End of the permit.
    pub(crate) valid_until: Timestamp,
    /// Who asks, as the job says.
    pub(crate) person: PersonName,
    /// Who signed the job.
    pub(crate) signer: PublicKey,
    /// Whose login the job carries, once that was looked at.
    pub(crate) login: Option<PersonIdentity>,
}

impl Leave {
    /// Of a job under a permit that holds.
    pub(crate) fn of(permit: &Permit, job: &Job) -> Self {
        Self::new(permit.body(), permit.id().issuer, job)
    }

    /// Of a job under a permit that was signed, whether it holds or not.
    pub(crate) fn under(permit: &Opened<PermitBody>, job: &Job) -> Self {
        Self::new(permit.body(), permit.signer(), job)
    }

    fn new(permit: &PermitBody, issuer: PublicKey, job: &Job) -> Self {
        Self {
            issuer,
            number: permit.number.clone(),
            numbers: [&permit.number, &permit.original].into_iter().chain(&permit.replaces).cloned().collect(),
            valid_until: permit.valid_until,
            person: job.body().person.clone(),
            signer: job.signer(),
            login: job.identity().map(Identity::who).cloned(),
        }
    }
}

/// Whose part of the room a job takes that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Share {
    /// That of a person whom permits of this issuer name, by the key that signed the job.
    Person(PublicKey, PersonName),
    /// That of all who ask under this line of permits by login alone.
    Line(PermitId),
}

impl Share {
    /// Whose part a job takes under `permit` that `signer` signed; none, if that names neither the signer nor anybody by login.
    ///
    /// # Security
    /// A login is looked at in the job's turn, so that until then anybody who has a copy of a permit may say to be any of those whom it
    /// names by login: they have one part together, however many they are. Who is named by key loses nothing by it, nor does a person of that name
    /// under another body's permit. Watched by `who_asks_by_login_alone_has_one_part_with_all_of_the_line` beside this.
    pub(crate) fn of(permit: &Opened<PermitBody>, signer: PublicKey) -> Option<Self> {
        let persons = &permit.body().persons;
        if let Some(person) = persons.iter().find(|person| person.key == Some(signer)) {
            return Some(Self::Person(permit.signer(), person.name.clone()));
        }
        let by_login = persons.iter().any(|person| person.identity.is_some());
        by_login.then(|| Self::Line(Version::opened(permit).0))
    }

    /// Whose it is, for who is told that it is taken.
    pub(crate) const fn whose(&self) -> &'static str {
        match self {
            Self::Person(..) => "of this person",
            Self::Line(_) => "of those who ask under this line of permits by login",
        }
    }
}

#[cfg(test)]
mod tests {
    use spe_kernel::{
        document,
        dsse::SecretKey,
        job::Purpose,
        permit::{PermitPerson, Role},
        purpose::Article53,
    };

    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn by_key(name: &str, seed: u8) -> PermitPerson {
        PermitPerson::investigator(name.parse().expect("a name"), key(seed).public())
    }

    fn by_login(name: &str) -> PermitPerson {
        let identity = PersonIdentity { issuer: "https://login".into(), subject: name.into() };
        PermitPerson { key: None, identity: Some(identity), role: Role::DataUser, ..by_key(name, 0) }
    }

    /// A permit that names anna by the key 5, and `others`, signed by the body of that key.
    fn permit(number: &str, others: &[PermitPerson], body: u8) -> Opened<PermitBody> {
        let at = |time: &str| time.parse().expect("a time");
        let period = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let number = number.parse().expect("a number");
        let mut permit = PermitBody::granted(number, period, "rho=1".parse().expect("a loss"));
        permit.application = "app".parse().expect("a number");
        permit.persons = [&[by_key("anna", 5)], others].concat();
        permit.purpose.article53 = vec![Article53(Purpose::ScientificResearch)];
        document::open(&permit.sign(&key(body))).expect("a permit")
    }

    fn share(permit: &Opened<PermitBody>, seed: u8) -> Option<Share> {
        Share::of(permit, key(seed).public())
    }

    /// What would be a bug: two parts for who makes two keys and says to be two persons whom a permit names by login, which is all of the room; a
    /// person whose key is known, and whose part strangers with a copy of the permit can take.
    #[test]
    fn who_asks_by_login_alone_has_one_part_with_all_of_the_line() {
        let one = permit("p-1", &[by_login("bob"), by_login("carl")], 1);
        let anna = Share::Person(key(1).public(), "anna".parse().expect("a name"));
        assert_eq!(share(&one, 5), Some(anna.clone()), "the key is hers");
        let line = Share::Line(PermitId { number: "p-1".parse().expect("a number"), issuer: key(1).public() });
        assert_eq!(share(&one, 6), Some(line.clone()), "bob or carl, or nobody");
        assert_eq!(share(&one, 7), Some(line), "another key says to be another person");
        assert_eq!(share(&permit("p-2", &[], 1), 5), Some(anna), "anna has one part under all permits of a body");
        assert_ne!(share(&permit("p-2", &[by_login("bob")], 1), 6), share(&one, 6), "another line");
        assert_eq!(share(&permit("p-1", &[], 1), 6), None, "a stranger has a part");
    }

    /// What would be a bug: two persons who have the same name, each for another body, and who keep each other out.
    #[test]
    fn anna_of_two_bodies_is_two_persons() {
        let [one, other] = [1, 2].map(|body| permit("p-1", &[by_login("bob")], body));
        assert_ne!(share(&one, 5), share(&other, 5), "by key");
        assert_ne!(share(&one, 6), share(&other, 6), "by login");
        assert!(share(&one, 5).is_some() && share(&one, 6).is_some());
    }
}
