//! One forest of a real Active Directory, as the environment names it (`CORP_LDAPS_URL` and the
//! like, `PARTNER_` for the second one).
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, of which each file uses its part"
)]

use std::env;
use std::io::Write as _;
use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings};
use openrms_directory::{LdapSecrets, LdapSettings, LdapSignIn};
use openrms_negotiate::TicketSource;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

/// What the environment says of a forest.
#[derive(Clone)]
pub(crate) struct TestBed {
    pub(crate) forest: &'static str,
    pub(crate) url: String,
    pub(crate) base_dn: String,
    pub(crate) service_password: String,
    pub(crate) administrator_password: String,
    pub(crate) roots: Vec<CertificateDer<'static>>,
}

impl TestBed {
    /// The forest, or `None` with a line on the terminal.
    pub(crate) fn from_env(prefix: &str, forest: &'static str) -> Option<Self> {
        let variable = |name: &str| {
            let value = env::var(name).ok();
            if value.is_none() {
                println!("skipped: {name} is not set, no Active Directory to test with");
            }
            value
        };
        let of_forest = |name: &str| variable(&format!("{prefix}_{name}"));
        let pem = std::fs::read(variable("AD_CA")?).expect("the file AD_CA names");
        Some(Self {
            forest,
            url: of_forest("LDAPS_URL")?,
            base_dn: of_forest("BASE_DN")?,
            service_password: of_forest("SVC_PASSWORD")?,
            administrator_password: of_forest("ADMIN_PASSWORD")?,
            roots: CertificateDer::pem_slice_iter(&pem)
                .collect::<Result<_, _>>()
                .unwrap(),
        })
    }

    pub(crate) fn settings(&self) -> LdapSettings {
        LdapSettings {
            forest: Some(self.forest.parse().unwrap()),
            servers: vec![self.url.parse().unwrap()],
            ..LdapSettings::default()
        }
    }

    pub(crate) fn secrets_of(&self, user: &str, password: &str) -> LdapSecrets {
        LdapSecrets {
            sign_in: LdapSignIn::Password {
                name: format!("{user}@{}", self.forest),
                password: Zeroizing::new(password.to_owned()),
            },
            roots: self.roots.clone(),
        }
    }

    /// Those of whoever has the tickets.
    pub(crate) fn tickets(&self, source: TicketSource) -> LdapSecrets {
        LdapSecrets {
            sign_in: LdapSignIn::Kerberos(source),
            roots: self.roots.clone(),
        }
    }

    /// The realm of its principals.
    pub(crate) fn realm(&self) -> String {
        self.forest.to_uppercase()
    }

    /// The domain controller by its name, which tickets are for; `None` with a line on the terminal
    /// where the name is not known.
    pub(crate) fn controller(&self) -> Option<String> {
        let name = format!("dc1.{}", self.forest);
        if (name.as_str(), 389).to_socket_addrs().is_err() {
            println!("skipped: {name} does not resolve; run under `active-directory exec`");
            return None;
        }
        Some(name)
    }

    /// A file in a folder with a ticket of somebody.
    pub(crate) fn kinit(&self, folder: &Path, user: &str, password: &str, life: &str) -> PathBuf {
        let cache = folder.join(format!("{user}.ccache"));
        let mut kinit = Command::new("kinit")
            .args(["-l", life, "-c"])
            .arg(&cache)
            .arg(format!("{user}@{}", self.realm()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(kinit.stdin.take().unwrap(), "{password}").unwrap();
        assert!(kinit.wait().unwrap().success(), "kinit {user}");
        cache
    }

    /// A file in a folder with the key of somebody.
    pub(crate) fn keytab(&self, folder: &Path, user: &str, password: &str) -> PathBuf {
        let keytab = folder.join(format!("{user}.keytab"));
        let _ = std::fs::remove_file(&keytab);
        let mut ktutil = Command::new("ktutil")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (realm, cipher) = (self.realm(), "aes256-cts-hmac-sha1-96");
        writeln!(
            ktutil.stdin.take().unwrap(),
            "addent -password -p {user}@{realm} -k 1 -e {cipher}\n{password}\nwkt {}\nq",
            keytab.display()
        )
        .unwrap();
        assert!(ktutil.wait().unwrap().success(), "ktutil {user}");
        assert!(keytab.exists(), "ktutil {user}");
        keytab
    }

    /// Those of the service account.
    pub(crate) fn secrets(&self) -> LdapSecrets {
        self.secrets_of("svc-rms", &self.service_password)
    }

    /// A connection of one's own, as one who may change the directory.
    pub(crate) async fn administrator(&self) -> Ldap {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(self.roots.clone());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let settings = LdapConnSettings::new().set_config(Arc::new(tls));
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &self.url)
            .await
            .unwrap();
        ldap3::drive!(connection);
        let name = format!("administrator@{}", self.forest);
        let answer = ldap.simple_bind(&name, &self.administrator_password).await;
        answer.unwrap().success().unwrap();
        ldap
    }
}
