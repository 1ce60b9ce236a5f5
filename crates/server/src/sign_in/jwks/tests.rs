//! Issuers that move, hang, lie and change their keys.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use super::*;
use crate::sign_in::bearer::test_issuer::{DISCOVERY, ISSUER, JWKS, NOW, TestIssuer, TestKey};

fn source() -> KeySource {
    KeySource {
        issuer: IssuerUrl::try_from(ISSUER.to_owned()).unwrap(),
        jwks_uri: None,
        fresh_seconds: 3600,
        keep_seconds: 86_400,
    }
}

fn keys_of(http: &Arc<TestIssuer>) -> Arc<IssuerKeys> {
    Arc::new(IssuerKeys::new(source(), http.clone()))
}

fn has(known: &KnownKeys, id: &str) -> bool {
    known.keys.find(Some(id), SignatureAlgorithm::Es256).is_ok()
}

#[tokio::test]
async fn keys_are_fetched_once_an_hour() {
    let http = Arc::new(TestIssuer::with(&[&TestKey::ec("one")]));
    let keys = keys_of(&http);
    for seconds in [0, 1, 3599] {
        assert!(has(&keys.current(NOW.plus(seconds)).await.unwrap(), "one"));
    }
    assert_eq!(http.asked_for(JWKS), 1);
    http.publish_keys(&[&TestKey::ec("two")]);
    let known = keys.current(NOW.plus(3600)).await.unwrap();
    assert!(has(&known, "two") && !has(&known, "one"));
    assert_eq!((http.asked_for(JWKS), http.asked_for(DISCOVERY)), (2, 1));
}

#[tokio::test]
async fn old_keys_are_used_for_a_day_while_the_issuer_is_down() {
    let http = Arc::new(TestIssuer::with(&[&TestKey::ec("one")]));
    let keys = keys_of(&http);
    keys.current(NOW).await.unwrap();
    http.go_down();
    for seconds in [3600, 3601, 3614, 3615, 86_399] {
        assert!(has(&keys.current(NOW.plus(seconds)).await.unwrap(), "one"));
    }
    // One question each 15 seconds.
    assert_eq!(http.asked_for(JWKS) + http.asked_for(DISCOVERY), 2 + 3);
    let error = keys.current(NOW.plus(86_400)).await.unwrap_err();
    assert!(matches!(error, KeysError::Fetch { .. }), "{error}");
}

#[tokio::test]
async fn an_issuer_that_comes_back_is_noticed() {
    let http = Arc::new(TestIssuer::default());
    let keys = keys_of(&http);
    for seconds in [0, 1, 14] {
        let error = keys.current(NOW.plus(seconds)).await.unwrap_err();
        assert!(matches!(error, KeysError::Fetch { .. }), "{error}");
    }
    assert_eq!(http.asked_for(DISCOVERY), 1);
    http.publish(DISCOVERY, &json!({ "issuer": ISSUER, "jwks_uri": JWKS }));
    http.publish_keys(&[&TestKey::ec("one")]);
    assert!(has(&keys.current(NOW.plus(15)).await.unwrap(), "one"));
}

#[tokio::test]
async fn an_issuer_that_moved_its_keys_is_followed() {
    let http = Arc::new(TestIssuer::with(&[&TestKey::ec("one")]));
    let keys = keys_of(&http);
    keys.current(NOW).await.unwrap();
    let moved = "https://login.example/other/keys";
    http.go_down();
    http.publish(DISCOVERY, &json!({ "issuer": ISSUER, "jwks_uri": moved }));
    http.publish(moved, &json!({ "keys": [TestKey::ec("two").jwk()] }));
    assert!(has(&keys.current(NOW.plus(3600)).await.unwrap(), "one"));
    assert!(has(&keys.current(NOW.plus(3615)).await.unwrap(), "two"));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_keys_old() {
    let http = Arc::new(TestIssuer::with(&[&TestKey::ec("one")]));
    let keys = keys_of(&http);
    keys.current(NOW).await.unwrap();
    http.publish_keys(&[&TestKey::ec("two")]);
    assert!(has(&keys.current(NOW.plus(-100_000)).await.unwrap(), "two"));
}

#[tokio::test]
async fn keys_are_where_the_settings_say() {
    let http = Arc::new(TestIssuer::default());
    http.publish_keys(&[&TestKey::ec("one")]);
    let jwks_uri = Some(FetchUrl::try_from(JWKS.to_owned()).unwrap());
    let source = KeySource {
        jwks_uri,
        ..source()
    };
    let keys = Arc::new(IssuerKeys::new(source, http.clone()));
    assert!(has(&keys.current(NOW).await.unwrap(), "one"));
    assert_eq!(http.asked_for(DISCOVERY), 0);
}

#[tokio::test]
async fn a_discovery_document_that_lies_is_not_believed() {
    type Expected = fn(&KeysError) -> bool;
    let slash = format!("{ISSUER}/");
    let other: Expected = |error: &KeysError| matches!(error, KeysError::OtherIssuer { .. });
    let insecure: Expected = |error: &KeysError| matches!(error, KeysError::InsecureKeys { .. });
    let none: Expected = |error: &KeysError| matches!(error, KeysError::Discovery { .. });
    let cases: [(Value, Expected); 8] = [
        (
            json!({ "issuer": "https://evil.example", "jwks_uri": JWKS }),
            other,
        ),
        (json!({ "issuer": slash, "jwks_uri": JWKS }), other),
        (
            json!({ "issuer": ISSUER, "jwks_uri": "http://login.example/keys" }),
            insecure,
        ),
        (
            json!({ "issuer": ISSUER, "jwks_uri": "http://127.0.0.1/keys" }),
            insecure,
        ),
        (
            json!({ "issuer": ISSUER, "jwks_uri": "file:///etc/passwd" }),
            insecure,
        ),
        (json!({ "issuer": ISSUER }), none),
        (json!({ "jwks_uri": JWKS }), none),
        (json!([]), none),
    ];
    for (document, expected) in cases {
        let http = Arc::new(TestIssuer::with(&[&TestKey::ec("one")]));
        http.publish(DISCOVERY, &document);
        let error = keys_of(&http).current(NOW).await.unwrap_err();
        assert!(expected(&error), "{document}: {error}");
        assert_eq!(http.asked_for(JWKS), 0);
    }
}

#[tokio::test]
async fn documents_are_bounded() {
    let http = Arc::new(TestIssuer::with(&[]));
    let mut jwk = TestKey::ec("one").jwk();
    jwk["x5c"] = json!(["A".repeat(MAX_KEY_SET)]);
    http.publish(JWKS, &json!({ "keys": [jwk] }));
    let too_large = |error: KeysError| match error {
        KeysError::Fetch { error, .. } => error,
        error => panic!("{error}"),
    };
    let error = keys_of(&http).current(NOW).await.unwrap_err();
    assert_eq!(too_large(error), FetchError::TooLarge(MAX_KEY_SET));
    let discovery = json!({ "issuer": ISSUER, "jwks_uri": JWKS, "x": "y".repeat(MAX_DISCOVERY) });
    http.publish(DISCOVERY, &discovery);
    let error = keys_of(&http).current(NOW).await.unwrap_err();
    assert_eq!(too_large(error), FetchError::TooLarge(MAX_DISCOVERY));

    let http = Arc::new(TestIssuer::with(&[]));
    http.publish(JWKS, &json!({ "keys": vec![json!({ "kty": "x" }); 65] }));
    let error = keys_of(&http).current(NOW).await.unwrap_err();
    let expected = KeySetError::TooMany(65);
    assert!(matches!(error, KeysError::KeySet { error, .. } if error == expected));
}

#[test]
fn keys_that_are_of_no_use_are_left_out() {
    let good = TestKey::ec("one").jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    let rsa = |n: String| json!({ "kty": "RSA", "kid": "one", "n": n, "e": "AQAB" });
    let mut useless = vec![
        json!("a key"),
        json!({}),
        json!({ "kty": "oct", "kid": "one", "k": "AAAA" }),
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("HS256")),
        with("alg", json!("ECDH-ES")),
        with("kid", json!(1)),
        with("kid", json!("k".repeat(257))),
        with("crv", json!("P-521")),
        with("crv", json!("P-384")),
        with("x", json!("AAAA")),
        with("x", json!("not base64")),
        // The private half.
        with("d", json!("AAAA")),
        rsa("AQ".into()),
        // 1024 bits, with and without zeros in front.
        rsa(base64_of(&[0xff; 128])),
        rsa(base64_of(&[[0; 128], [0xff; 128]].concat())),
        rsa(base64_of(&vec![0xff; 1025])),
        rsa(base64_of(&[0; 256])),
    ];
    let parsed = |keys: &[Value]| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes());
    for jwk in &useless {
        assert_eq!(parsed(std::slice::from_ref(jwk)).unwrap().len(), 0, "{jwk}");
    }
    useless.push(with("key_ops", json!(["verify"])));
    assert_eq!(parsed(&useless).unwrap().len(), 1);
    for wrong in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[],\"keys\":[]}"] {
        let outcome = KeySet::parse(wrong.as_bytes());
        assert!(matches!(outcome, Err(KeySetError::Malformed(_))), "{wrong}");
    }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer that answers when it is told to.
struct Slow {
    issuer: TestIssuer,
    started: AtomicUsize,
    go: StdMutex<Receiver<()>>,
}

impl Slow {
    fn new() -> (Arc<Self>, Sender<()>) {
        let (go, wait) = channel();
        let slow = Self {
            issuer: TestIssuer::with(&[&TestKey::ec("one")]),
            started: AtomicUsize::new(0),
            go: StdMutex::new(wait),
        };
        (Arc::new(slow), go)
    }
}

impl Fetch for Slow {
    fn get(&self, url: &FetchUrl, limit: usize) -> Result<Vec<u8>, FetchError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let _ = self.go.lock().unwrap().recv();
        self.issuer.get(url, limit)
    }
}

#[tokio::test]
async fn callers_at_a_time_ask_the_issuer_once() {
    let (http, go) = Slow::new();
    let keys = Arc::new(IssuerKeys::new(source(), http.clone()));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..MAX_WAITING + 10 {
        let keys = keys.clone();
        callers.spawn(async move { keys.current(NOW).await.map(|known| has(&known, "one")) });
    }
    // Those past the bound do not wait.
    for _ in 0..10 {
        let early = callers.join_next().await.unwrap().unwrap();
        assert_eq!(early, Err(KeysError::Busy));
    }
    go.send(()).unwrap();
    go.send(()).unwrap();
    while let Some(caller) = callers.join_next().await {
        assert_eq!(caller.unwrap(), Ok(true));
    }
    assert_eq!(http.started.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_end_the_fetch() {
    let (http, go) = Slow::new();
    let keys = Arc::new(IssuerKeys::new(source(), http.clone()));
    let first = tokio::spawn({
        let keys = keys.clone();
        async move { keys.current(NOW).await.map(drop) }
    });
    while http.started.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert!(has(&keys.current(NOW).await.unwrap(), "one"));
    assert_eq!(http.issuer.asked_for(JWKS), 1);
}

#[tokio::test]
async fn an_issuer_that_hangs_does_not_hold_up_people_with_known_keys() {
    let (http, go) = Slow::new();
    let mut keys = IssuerKeys::new(source(), http.clone());
    keys.patience = Duration::ZERO;
    let keys = Arc::new(keys);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert!(has(&keys.current(NOW).await.unwrap(), "one"));
    // It hangs from here on.
    http.issuer.publish_keys(&[&TestKey::ec("two")]);
    let later = NOW.plus(4000);
    assert!(has(&keys.current(later).await.unwrap(), "one"));
    // And answers after all.
    go.send(()).unwrap();
    while !has(&keys.current(later).await.unwrap(), "two") {
        tokio::task::yield_now().await;
    }
    assert_eq!(http.issuer.asked_for(JWKS), 2);
}

#[tokio::test]
async fn one_caller_at_most_waits_for_newer_keys() {
    let (http, go) = Slow::new();
    let mut keys = IssuerKeys::new(source(), http.clone());
    keys.patience = Duration::from_hours(1);
    let keys = Arc::new(keys);
    go.send(()).unwrap();
    go.send(()).unwrap();
    keys.current(NOW).await.unwrap();
    http.issuer.publish_keys(&[&TestKey::ec("two")]);
    let later = NOW.plus(4000);
    let first = tokio::spawn({
        let keys = keys.clone();
        async move { keys.current(later).await.map(|known| has(&known, "two")) }
    });
    while http.started.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    assert!(has(&keys.current(later).await.unwrap(), "one"));
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap(), Ok(true));
}
