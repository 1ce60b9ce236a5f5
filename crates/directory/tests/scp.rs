//! The service connection point in a real Active Directory, where the environment names one
//! (`CORP_LDAPS_URL` and the like, `PARTNER_` for a second forest). Skipped with a line where it
//! does not. A forest has one such place, so each is used by one test only.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod test_bed;

use std::collections::HashSet;

use ldap3::{Scope, SearchEntry};
use openrms_directory::scp::{
    self, CertificationUrl, OtherCluster, Registration, Removal, ScpError, ScpPlace,
};
use openrms_directory::{DirectoryError, LdapSecrets, LdapSettings, LdapSignIn};
use openrms_negotiate::{NegotiateError, TicketSource, Tickets};
use test_bed::TestBed;
use zeroize::Zeroizing;

/// A forest that is as it was before, once this is dropped.
struct Forest {
    access: Access,
    /// What was registered before.
    before: Option<CertificationUrl>,
}

/// The ways to look at it.
#[derive(Clone)]
struct Access(TestBed);

impl Forest {
    async fn from_env(prefix: &str, name: &'static str) -> Option<Self> {
        let access = Access(TestBed::from_env(prefix, name)?);
        let found = access.administrator().await.found().await.unwrap();
        let before = scp::location(&found).ok();
        let forest = Self { access, before };
        forest.access.clear().await;
        Some(forest)
    }
}

impl Drop for Forest {
    fn drop(&mut self) {
        let (access, before) = (self.access.clone(), self.before.take());
        let restore = async move {
            access.clear().await;
            if let Some(url) = before {
                let place = access.administrator().await;
                place.register(&url, OtherCluster::Keep).await.unwrap();
            }
        };
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(restore);
        });
        if thread.join().is_err() {
            eprintln!("the forest could not be restored");
        }
    }
}

impl Access {
    async fn open(&self, user: &str, password: &str) -> Result<ScpPlace, ScpError> {
        ScpPlace::open(&self.0.settings(), self.0.secrets_of(user, password)).await
    }

    async fn administrator(&self) -> ScpPlace {
        self.open("administrator", &self.0.administrator_password)
            .await
            .unwrap()
    }

    async fn service(&self) -> ScpPlace {
        self.open("svc-rms", &self.0.service_password)
            .await
            .unwrap()
    }

    /// As a client that signs in with the service account looks.
    async fn find(&self) -> Result<CertificationUrl, ScpError> {
        scp::find(&self.0.settings(), self.0.secrets()).await
    }

    fn container(&self) -> String {
        format!(
            "CN=RightsManagementServices,CN=Services,CN=Configuration,{}",
            self.0.base_dn
        )
    }

    /// The container and what is in it, the container last.
    async fn objects(&self) -> Vec<SearchEntry> {
        let found = self
            .0
            .administrator()
            .await
            .search(
                &self.container(),
                Scope::Subtree,
                "(objectClass=*)",
                vec!["*"],
            )
            .await
            .unwrap();
        if found.1.rc == 32 {
            return Vec::new();
        }
        let (entries, _) = found.success().unwrap();
        let mut entries: Vec<_> = entries.into_iter().map(SearchEntry::construct).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.dn.len()));
        entries
    }

    /// What every change of an object changes.
    async fn versions(&self) -> Vec<(String, Vec<String>)> {
        let version = |entry: SearchEntry| (entry.dn, entry.attrs["uSNChanged"].clone());
        self.objects().await.into_iter().map(version).collect()
    }

    async fn clear(&self) {
        let mut raw = self.0.administrator().await;
        for entry in self.objects().await {
            let deleted = raw.delete(&entry.dn).await.unwrap();
            deleted.success().unwrap();
        }
    }

    /// Makes an object in the container by hand.
    async fn add(&self, name: &str, class: &str, url: Option<&CertificationUrl>) -> String {
        let dn = format!("CN={name},{}", self.container());
        let mut attributes = vec![("objectClass", HashSet::from([class]))];
        if let Some(url) = url {
            attributes.push(("keywords", HashSet::from(["1.0", "MSRMRootCluster"])));
            attributes.push(("serviceBindingInformation", HashSet::from([url.as_str()])));
        }
        let added = self
            .0
            .administrator()
            .await
            .add(&dn, attributes)
            .await
            .unwrap();
        added.success().unwrap();
        dn
    }

    async fn delete(&self, dn: &str) {
        let deleted = self.0.administrator().await.delete(dn).await.unwrap();
        deleted.success().unwrap();
    }
}

fn url(text: &str) -> CertificationUrl {
    text.parse().unwrap()
}

fn own() -> CertificationUrl {
    url("https://rms.corp.example/_wmcs/certification")
}

fn another() -> CertificationUrl {
    url("https://rms2.corp.example/_wmcs/certification")
}

#[tokio::test]
async fn an_administrator_registers_what_clients_then_find_and_removes_it() {
    let Some(forest) = Forest::from_env("CORP", "corp.example").await else {
        return;
    };
    let corp = &forest.access;
    let place = corp.administrator().await;
    let error = corp.find().await.unwrap_err();
    assert!(matches!(error, ScpError::None), "{error}");
    let (keep, own) = (OtherCluster::Keep, own());

    let done = place.register(&own, keep).await.unwrap();
    assert_eq!(done, Registration::Added);
    assert_eq!(corp.find().await.unwrap(), own);
    a_person_finds_it_with_a_ticket(&corp.0, &own).await;
    let objects = corp.objects().await;
    let [point, container] = objects.as_slice() else {
        panic!("{objects:?}");
    };
    assert_eq!(container.dn, corp.container());
    assert!(container.attrs["objectClass"].contains(&"container".to_owned()));
    assert_eq!(point.dn, format!("CN=SCP,{}", corp.container()));
    assert_eq!(point.dn, place.dn());
    let class = &point.attrs["objectClass"];
    assert!(class.contains(&"serviceConnectionPoint".to_owned()));
    assert!(point.attrs["objectCategory"][0].starts_with("CN=Service-Connection-Point,"));
    assert_eq!(point.attrs["serviceBindingInformation"], [own.as_str()]);
    let keywords: HashSet<_> = point.attrs["keywords"].iter().map(String::as_str).collect();
    assert_eq!(keywords, HashSet::from(["MSRMRootCluster", "1.0"]));

    let done = place.register(&own, keep).await.unwrap();
    assert_eq!(done, Registration::Unchanged);
    // The same cluster, written otherwise.
    let ported = url("https://RMS.corp.example:443/_wmcs/certification");
    let done = place.register(&ported, keep).await.unwrap();
    assert_eq!(done, Registration::Changed);
    assert_eq!(corp.find().await.unwrap().as_str(), ported.as_str());
    let catalog = LdapSettings {
        servers: vec![corp.0.url.replace(":636", ":3269").parse().unwrap()],
        ..corp.0.settings()
    };
    let secrets = || {
        corp.0
            .secrets_of("administrator", &corp.0.administrator_password)
    };
    assert_eq!(scp::find(&catalog, secrets()).await.unwrap(), ported);
    let over_catalog = ScpPlace::open(&catalog, secrets()).await.unwrap();
    let done = over_catalog.register(&own, keep).await.unwrap();
    assert_eq!(done, Registration::Changed);

    let done = place.remove(&own, keep).await.unwrap();
    assert_eq!(done, Removal::Removed);
    assert!(corp.objects().await.is_empty());
    let done = place.remove(&own, keep).await.unwrap();
    assert_eq!(done, Removal::Absent);

    another_cluster_is_kept_unless_told_otherwise(corp, &place).await;
    what_else_is_in_the_place_is_respected(corp, &place).await;
}

/// As a client does that has no password.
async fn a_person_finds_it_with_a_ticket(corp: &TestBed, own: &CertificationUrl) {
    let Some(controller) = corp.controller() else {
        return;
    };
    if let Err(error @ NegotiateError::NoLibrary { .. }) = Tickets::new(TicketSource::Own) {
        println!("skipped: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tickets = corp.kinit(folder.path(), "alice", "Alice-Passw0rd", "1h");
    for port in [389, 3268] {
        let settings = LdapSettings {
            servers: vec![format!("ldap://{controller}:{port}").parse().unwrap()],
            ..LdapSettings::default()
        };
        let secrets = corp.tickets(TicketSource::File(tickets.clone()));
        let found = scp::find(&settings, secrets).await.unwrap();
        assert_eq!(found.as_str(), own.as_str());
    }
}

async fn another_cluster_is_kept_unless_told_otherwise(corp: &Access, place: &ScpPlace) {
    let (keep, own, another) = (OtherCluster::Keep, own(), another());
    place.register(&another, keep).await.unwrap();
    let before = corp.versions().await;
    for error in [
        place.register(&own, keep).await.unwrap_err(),
        place.remove(&own, keep).await.unwrap_err(),
    ] {
        assert!(matches!(error, ScpError::OtherCluster { .. }), "{error}");
        assert!(error.to_string().contains(another.as_str()), "{error}");
    }
    assert_eq!(corp.versions().await, before);
    assert_eq!(corp.find().await.unwrap(), another);
    let replace = OtherCluster::Override;
    let done = place.register(&own, replace).await.unwrap();
    assert_eq!(done, Registration::Changed);
    assert_eq!(corp.find().await.unwrap(), own);
    let done = place.remove(&another, replace).await.unwrap();
    assert_eq!(done, Removal::Removed);
}

async fn what_else_is_in_the_place_is_respected(corp: &Access, place: &ScpPlace) {
    let (keep, own, another) = (OtherCluster::Keep, own(), another());
    place.register(&own, keep).await.unwrap();
    let class = "serviceConnectionPoint";
    let rival = corp.add("Rival", class, Some(&another)).await;
    let error = corp.find().await.unwrap_err();
    assert!(matches!(error, ScpError::Several { .. }), "{error}");
    let error = place.register(&own, OtherCluster::Override).await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, ScpError::Elsewhere { dn, .. } if *dn == rival),
        "{error}"
    );
    let done = place.remove(&own, keep).await.unwrap();
    assert_eq!(done, Removal::ContainerLeft);
    assert_eq!(corp.find().await.unwrap(), another);
    corp.delete(&rival).await;

    // Without keywords and URL it is nobody's, and no client finds it.
    let hollow = corp.add("SCP", class, None).await;
    assert!(place.found().await.unwrap().is_empty());
    let done = place.register(&own, keep).await.unwrap();
    assert_eq!(done, Registration::Changed);
    assert_eq!(corp.find().await.unwrap(), own);
    corp.delete(&hollow).await;

    corp.add("SCP", "container", None).await;
    for error in [
        place.register(&own, OtherCluster::Override).await.err(),
        place.remove(&own, OtherCluster::Override).await.err(),
    ] {
        assert!(
            matches!(error, Some(ScpError::NotAnScp { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn the_service_account_may_look_but_not_write() {
    let Some(forest) = Forest::from_env("PARTNER", "partner.example").await else {
        return;
    };
    let partner = &forest.access;
    let (keep, own) = (OtherCluster::Keep, own());
    let service = partner.service().await;
    let denied = |error: ScpError| {
        let text = error.to_string();
        assert!(matches!(error, ScpError::Denied { .. }), "{error}");
        assert!(text.contains("svc-rms@partner.example"), "{text}");
    };
    denied(service.register(&own, keep).await.unwrap_err());
    assert!(partner.objects().await.is_empty());
    partner
        .administrator()
        .await
        .register(&own, keep)
        .await
        .unwrap();
    assert_eq!(
        service.register(&own, keep).await.unwrap(),
        Registration::Unchanged
    );
    denied(
        service
            .register(&another(), OtherCluster::Override)
            .await
            .unwrap_err(),
    );
    denied(service.remove(&own, keep).await.unwrap_err());
    assert_eq!(partner.find().await.unwrap(), own);

    let error = partner.open("administrator", "wrong").await.err();
    assert!(
        matches!(&error, Some(ScpError::SignIn { name }) if name == "administrator@partner.example"),
        "{error:?}"
    );
}

#[tokio::test]
async fn without_a_server_the_directory_is_unreachable() {
    let port = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap().port()
    };
    let settings = LdapSettings {
        servers: vec![format!("ldap://127.0.0.1:{port}").parse().unwrap()],
        allow_plain: true,
        ..LdapSettings::default()
    };
    let secrets = LdapSecrets {
        sign_in: LdapSignIn::Password {
            name: "administrator@corp.example".to_owned(),
            password: Zeroizing::new("secret".to_owned()),
        },
        roots: Vec::new(),
    };
    let error = scp::find(&settings, secrets).await.unwrap_err();
    assert!(
        matches!(
            error,
            ScpError::Directory(DirectoryError::Unreachable { .. })
        ),
        "{error}"
    );
}
