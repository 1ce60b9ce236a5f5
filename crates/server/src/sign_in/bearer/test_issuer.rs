//! An issuer in memory, with keys of its own, that signs whatever a test wants to see refused.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use openrms_xrml::Time;
use serde_json::{Value, json};

use super::BearerSettings;
use crate::sign_in::jwks::{Fetch, FetchError, FetchUrl};

pub(in crate::sign_in) const ISSUER: &str = "https://login.example/tenant";
pub(in crate::sign_in) const DISCOVERY: &str =
    "https://login.example/tenant/.well-known/openid-configuration";
pub(in crate::sign_in) const JWKS: &str = "https://login.example/keys";
pub(in crate::sign_in) const AUDIENCE: &str = "https://rights.corp.example/";
pub(in crate::sign_in) const NOW: Time = Time::from_unix(1_900_000_000);

/// Key pair and name.
#[derive(Clone)]
pub(in crate::sign_in) struct TestKey {
    id: Option<String>,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl TestKey {
    pub(in crate::sign_in) fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let body = STANDARD.encode(pair.as_der().unwrap().as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        Self {
            id: Some(id.to_owned()),
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        }
    }

    pub(in crate::sign_in) fn ec(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            id: Some(id.to_owned()),
            algorithm: Algorithm::ES256,
            private: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
        }
    }

    /// The same key under another name.
    pub(in crate::sign_in) fn named(&self, id: Option<&str>) -> Self {
        Self {
            id: id.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The same key for signatures of another kind.
    pub(in crate::sign_in) fn signing(&self, algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            ..self.clone()
        }
    }

    /// The public key, as issuers publish it.
    pub(in crate::sign_in) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["use"] = json!("sig");
        if let Some(id) = &self.id {
            jwk["kid"] = json!(id);
        }
        jwk
    }

    /// A token with the header that belongs to this key.
    pub(in crate::sign_in) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({}), claims)
    }

    /// A token whose header has further members, or others: null takes one away.
    pub(in crate::sign_in) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let algorithm = format!("{:?}", self.algorithm);
        let mut all = json!({ "alg": algorithm, "typ": "at+jwt", "kid": self.id });
        let members = all.as_object_mut().unwrap();
        members.extend(header.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        self.sign(&all.to_string(), &claims.to_string())
    }

    /// A token of these very texts.
    pub(in crate::sign_in) fn sign(&self, header: &str, claims: &str) -> String {
        let message = message(header, claims);
        let key = &self.private;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, self.algorithm);
        format!("{message}.{}", signature.unwrap())
    }
}

/// Header and claims of a token, without a signature.
pub(in crate::sign_in) fn message(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|text| URL_SAFE_NO_PAD.encode(text));
    format!("{header}.{claims}")
}

/// Answers from memory and writes down what it was asked for.
#[derive(Default)]
pub(in crate::sign_in) struct TestIssuer {
    documents: Mutex<HashMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
}

impl TestIssuer {
    pub(in crate::sign_in) fn with(keys: &[&TestKey]) -> Self {
        let issuer = Self::default();
        issuer.publish(DISCOVERY, &json!({ "issuer": ISSUER, "jwks_uri": JWKS }));
        issuer.publish_keys(keys);
        issuer
    }

    pub(in crate::sign_in) fn publish(&self, url: &str, document: &Value) {
        let document = document.to_string().into_bytes();
        self.documents
            .lock()
            .unwrap()
            .insert(url.to_owned(), document);
    }

    pub(in crate::sign_in) fn publish_keys(&self, keys: &[&TestKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.publish(JWKS, &json!({ "keys": keys }));
    }

    pub(in crate::sign_in) fn go_down(&self) {
        self.documents.lock().unwrap().clear();
    }

    /// How often it was asked for a document.
    pub(in crate::sign_in) fn asked_for(&self, url: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == url).count()
    }
}

impl Fetch for TestIssuer {
    fn get(&self, url: &FetchUrl, limit: usize) -> Result<Vec<u8>, FetchError> {
        let url = url.to_string();
        self.asked.lock().unwrap().push(url.clone());
        match self.documents.lock().unwrap().get(&url) {
            None => Err(FetchError::Unreachable("connection refused".into())),
            Some(document) if document.len() > limit => Err(FetchError::TooLarge(limit)),
            Some(document) => Ok(document.clone()),
        }
    }
}

/// Settings for the issuer, with further lines.
pub(in crate::sign_in) fn settings(more: &str) -> BearerSettings {
    let issuer = format!("issuer = \"{ISSUER}\"\naudiences = [\"{AUDIENCE}\"]");
    toml::from_str(&format!("[[issuers]]\n{issuer}\n{more}")).unwrap()
}

/// What a good token says, but for what is changed: null takes a claim away.
pub(in crate::sign_in) fn claims(changed: &Value) -> Value {
    let now = NOW.unix();
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "248289761001",
        "iat": now, "nbf": now, "exp": now + 600,
        "email": "Alice@corp.example", "email_verified": true,
        "preferred_username": "alice", "groups": ["staff", "engineering"],
    });
    let members = claims.as_object_mut().unwrap();
    members.extend(changed.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    claims
}
