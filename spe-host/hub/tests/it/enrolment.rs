//! Joining with a one-time token.

use jiff::ToSpan;
use spe_hub::{dismiss, invite, invite_by_token};
use spe_kernel::refusal::Refusal;
use spe_wire::{Connection, EnrolRequest, Enrolled, HubClient, Invitation, request::MemberKey};

use crate::federation::{Federation, TODAY, founder, role};

/// An invitation that ends in a week.
fn invited(federation: &Federation, member: &str) -> Invitation {
    let until = TODAY.parse::<jiff::Timestamp>().unwrap() + (7 * 24).hours();
    invite_by_token(federation.dir.path(), &role(member), None, until, &founder()).unwrap()
}

async fn hand_in(invitation: &Invitation, key: &MemberKey) -> Result<Enrolled, Refusal> {
    let hub = HubClient::stranger(&invitation.hub, invitation.ca).await.unwrap();
    let token = invitation.token.expose_text().to_owned();
    hub.enrol(EnrolRequest { member: invitation.member.clone(), token, request: key.request().unwrap() }).await
}

fn refused(answer: Result<Enrolled, Refusal>, reason: &str) {
    let refusal = answer.expect_err("a token that is not good gave a certificate");
    assert!(matches!(&refusal, Refusal::NotAllowed { what, .. } if what.contains(reason)), "{reason}: {refusal}");
}

/// What would be a bug: a member that cannot call with its certificate, or a private key that the hub has.
#[tokio::test]
async fn a_token_gives_a_certificate_for_a_key_that_stays() {
    let federation = Federation::found().await;
    let invitation = invited(&federation, "person anna");
    let key = MemberKey::generate().unwrap();
    let enrolled = hand_in(&invitation, &key).await.unwrap();
    let own = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(own.path().join(name), text).unwrap();
    write("ca.pem", &enrolled.ca);
    write("cert.pem", &enrolled.certificate);
    write("key.pem", &key.expose_pem());
    let connection = toml::to_string(&Connection::new(invitation.member.clone(), &invitation.hub)).unwrap();
    write("connection.toml", &connection);
    crate::federation::client(own.path()).await.jobs().await.expect("the certificate is good");
    let secret = key.expose_pem().lines().nth(1).unwrap().to_owned();
    for file in walk(federation.dir.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
        assert!(!holds(&secret), "the private key is in the hub's {}", file.display());
        assert!(!holds(invitation.token.expose_text()), "the token is in the hub's {}", file.display());
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// What would be a bug: two members by one token; or one who must be invited again because the answer was lost on the way.
#[tokio::test]
async fn a_token_is_good_once_and_for_one_key() {
    let mut federation = Federation::found().await;
    let invitation = invited(&federation, "node north");
    let key = MemberKey::generate().unwrap();
    let first = hand_in(&invitation, &key).await.unwrap();
    assert_eq!(hand_in(&invitation, &key).await.unwrap(), first, "the same key again gets the same certificate");
    federation.stop().await;
    federation.start(|_| {}).await;
    assert_eq!(hand_in(&invitation, &key).await.unwrap(), first, "a restart forgot it");
    refused(hand_in(&invitation, &MemberKey::generate().unwrap()).await, "was used at");
    dismiss(federation.dir.path(), &role("node north"), &founder()).unwrap();
    refused(hand_in(&invitation, &key).await, "does not know it");
}

/// What would be a bug: a token that is good for longer, for somebody else, or though it was replaced.
#[tokio::test]
async fn a_token_that_is_over_or_for_another_is_refused_in_its_own_words() {
    let federation = Federation::found().await;
    let key = MemberKey::generate().unwrap();
    let invitation = invited(&federation, "node north");
    let other = Invitation { member: role("node south"), ..invitation.clone() };
    refused(hand_in(&other, &key).await, "for another member");
    let unknown = Invitation { token: spe_wire::Token::random().unwrap(), ..invitation.clone() };
    refused(hand_in(&unknown, &key).await, "does not know it");
    let newer = invited(&federation, "node north");
    refused(hand_in(&invitation, &key).await, "does not know it");
    (federation.set_time)(newer.until);
    refused(hand_in(&newer, &key).await, "ended at");
    let latest =
        invite_by_token(federation.dir.path(), &role("node north"), None, newer.until + 1.hour(), &founder()).unwrap();
    hand_in(&latest, &key).await.expect("a new invitation is good");
    assert!(
        invite(federation.dir.path(), &role("node north"), None, &founder()).is_err(),
        "a member was invited twice"
    );
    assert!(
        invite_by_token(federation.dir.path(), &role("hub"), None, newer.until, &founder()).is_err(),
        "a second hub was invited"
    );
}
