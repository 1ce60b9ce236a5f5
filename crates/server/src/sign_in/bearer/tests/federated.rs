//! Issuers that speak for people of other organizations.

use serde_json::{Value, json};

use super::*;

/// Addresses of the federated account of a token with these claims changed.
async fn aliases(more: &str, changed: Value) -> Vec<String> {
    let domains = "federated = true\nmail_domains = [\"corp.example\"]\n";
    let house = House::new(&format!("{domains}{more}"));
    let identity = house.check_claims(changed).await.unwrap();
    assert_eq!(identity.mail.as_str(), "Alice@corp.example");
    match identity.standing {
        Standing::Federated { aliases } => aliases.iter().map(ToString::to_string).collect(),
        Standing::Directory { .. } => panic!("not federated"),
    }
}

#[tokio::test]
async fn further_addresses_are_those_of_the_issuers_domains() {
    assert!(aliases("", json!({})).await.is_empty());
    let told = json!({ "proxyAddresses": [
        "SMTP:alice@corp.example", "smtp:A.Smith@mail.corp.example", "a@corp.example",
        "alice@gmail.example", "smtp:alice@notcorp.example", "sip:alice@corp.example",
        "x500:/o=Corp/cn=alice", "smtp:", "", "\u{e4}", "not an address@corp.example",
    ]});
    assert_eq!(
        aliases("", told.clone()).await,
        [
            "alice@corp.example",
            "A.Smith@mail.corp.example",
            "a@corp.example"
        ]
    );
    let one = json!({ "verified_secondary_email": "a@corp.example" });
    let name = "claims = { aliases = \"verified_secondary_email\" }";
    assert_eq!(aliases(name, one).await, ["a@corp.example"]);
    assert!(aliases(name, told).await.is_empty());
}

#[tokio::test]
async fn further_addresses_are_bounded_and_are_texts() {
    let many: Vec<_> = (0..100).map(|n| format!("a{n}@corp.example")).collect();
    let kept = aliases("", json!({ "proxyAddresses": many })).await;
    assert_eq!(kept, many[..16]);
    let house = House::new("federated = true\nmail_domains = [\"corp.example\"]");
    for wrong in [json!([1]), json!({}), json!(["a@corp.example", null])] {
        let outcome = house.check_claims(json!({ "proxyAddresses": wrong })).await;
        assert_eq!(outcome, Err(invalid("proxyAddresses")), "{wrong}");
    }
}

#[tokio::test]
async fn a_federated_issuer_speaks_for_its_domains_and_for_no_sids() {
    let house = House::new("federated = true\nmail_domains = [\"partner.example\"]");
    let outside = house.check_claims(json!({})).await;
    assert_eq!(outside, Err(BearerError::MailDomain));
    let sid = json!({ "email": "a@partner.example", "onprem_sid": "S-1-5-21-1-2-3-500" });
    let standing = house.check_claims(sid).await.unwrap().standing;
    let aliases = Vec::new();
    assert_eq!(standing, Standing::Federated { aliases });
    assert!(house.bearer.has_issuer(true) && !house.bearer.has_issuer(false));
    let own = House::new("");
    assert!(own.bearer.has_issuer(false) && !own.bearer.has_issuer(true));
}
