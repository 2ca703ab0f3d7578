//! Applications, and what data access bodies and applicants sign about them.

use jiff::Timestamp;
use spe_kernel::{
    application::{Applicant, Application, ApplicationBody, DataForm, Ethics, IntendedUse, Tools},
    decision::{DecisionBody, Outcome, Part, Reason},
    document::{Document, open, sign},
    dsse::SecretKey,
    ids::Digest,
    notice::{NoticeBody, Step, SupplementBody},
    permit::{Article, Limits, Modules, PermitBody, PermitData, PermitPerson, PurposeStatement},
    purpose::{ApplicantBody, Article54},
};
use spe_wire::Ruling;

use crate::federation::{Person, TODAY, secret};

pub(crate) fn now() -> Timestamp {
    TODAY.parse().unwrap()
}

pub(crate) fn body_of(node: &str) -> SecretKey {
    secret(&format!("access body of {node}"))
}

fn data(nodes: &[&str]) -> PermitData {
    PermitData {
        dataset: "census".parse().unwrap(),
        nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
        category: "a".parse().unwrap(),
        columns: vec!["people.age".into()],
        time_range: None,
        format: "CSV".into(),
        pseudonymised: false,
    }
}

pub(crate) fn application(person: &Person, number: &str) -> ApplicationBody {
    ApplicationBody {
        format: ApplicationBody::FORMAT.into(),
        number: number.parse().unwrap(),
        article: Article::Permit,
        submitted_at: now(),
        applicant_body: ApplicantBody::Private,
        form: DataForm { pseudonymised: false, justification: None },
        safeguards: vec!["answers are noisy".into()],
        statistics: None,
        plans: Vec::new(),
        legal_basis: None,
        applicant: Applicant { name: "Institute".into(), functions: "research".into(), contact: "by post".into() },
        purpose: PurposeStatement { article53: vec!["e".to_owned().try_into().unwrap()], text: "to know".into() },
        intended_use: IntendedUse { text: "a count".into(), benefit: "knowledge".into(), coverage: "here".into() },
        period: spe_kernel::application::Period { from: now(), until: end(), justification: "a year".into() },
        tools: Tools {
            text: "one module".into(),
            modules: Modules::Any,
            loss_cap: "rho=1".parse().unwrap(),
            limits: Limits::NONE,
        },
        ethics: Ethics { text: "none is needed".into(), reference: None },
        opt_out_exception: None,
        prohibited_uses: Article54::default(),
        persons: vec![PermitPerson::investigator(person.name.parse().unwrap(), person.key.public())],
        data: vec![data(&[])],
        own_datasets: Vec::new(),
    }
}

fn end() -> Timestamp {
    "2027-03-02T09:00:00Z".parse().unwrap()
}

pub(crate) fn permit_for(body: &ApplicationBody, number: &str, nodes: &[&str]) -> PermitBody {
    PermitBody {
        application: body.number.clone(),
        purpose: body.purpose.clone(),
        applicant_body: body.applicant_body,
        data: vec![data(nodes)],
        persons: body.persons.clone(),
        ..PermitBody::granted(number.parse().unwrap(), (now(), end()), "rho=1".parse().unwrap())
    }
}

fn decision(envelope: &[u8], nodes: &[&str], outcome: Outcome) -> DecisionBody {
    let application = Application::verify(envelope).unwrap();
    let nodes = nodes.iter().map(|node| node.parse().unwrap()).collect();
    DecisionBody {
        format: DecisionBody::FORMAT.into(),
        application: application.body().number.clone(),
        application_digest: application.digest(),
        part: vec![Part { dataset: "census".parse().unwrap(), nodes }],
        issuer: "a data access body".into(),
        decided_by: "its head".into(),
        decided_at: now(),
        outcome,
    }
}

pub(crate) fn granting(envelope: &[u8], nodes: &[&str], permit: &PermitBody, key: &SecretKey) -> Ruling {
    let digest = Digest::of(&serde_json::to_vec(permit).unwrap());
    let decision = decision(envelope, nodes, Outcome::Positive { permit: digest });
    Ruling { decision: sign(&decision, key), permit: Some(permit.sign(key)) }
}

/// The same decision, made at another time.
pub(crate) fn decided_at(ruling: &Ruling, at: Timestamp, key: &SecretKey) -> Ruling {
    let (body, ..) = open::<DecisionBody>(&ruling.decision).unwrap().into_parts();
    Ruling { decision: sign(&DecisionBody { decided_at: at, ..body }, key), permit: ruling.permit.clone() }
}

pub(crate) fn refusing(envelope: &[u8], nodes: &[&str], key: &SecretKey) -> Ruling {
    let reasons = vec![Reason { article: "Art. 68(1)(c)".into(), text: "the data does not suffice".into() }];
    let outcome = Outcome::Negative { reasons, offers_answer: false };
    Ruling { decision: sign(&decision(envelope, nodes, outcome), key), permit: None }
}

pub(crate) fn notice(envelope: &[u8], nodes: &[&str], step: Step, key: &SecretKey) -> Vec<u8> {
    let application = Application::verify(envelope).unwrap();
    let notice = NoticeBody {
        format: NoticeBody::FORMAT.into(),
        application: application.body().number.clone(),
        application_digest: application.digest(),
        nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
        issuer: "a data access body".into(),
        issued_at: now(),
        step,
    };
    sign(&notice, key)
}

pub(crate) fn supplement(envelope: &[u8], answer: &str, key: &SecretKey) -> Vec<u8> {
    let application = Application::verify(envelope).unwrap();
    let supplement = SupplementBody {
        format: SupplementBody::FORMAT.into(),
        application: application.body().number.clone(),
        application_digest: application.digest(),
        signed_at: now(),
        answers: vec![answer.into()],
    };
    sign(&supplement, key)
}
