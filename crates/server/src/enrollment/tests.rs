//! Certificates that come by file, good and bad, and renewal as time goes by.

use std::path::Path;

use openrms_crypto::Mode;
use openrms_directory::{Member, NewPerson};
use openrms_engine::Cluster;
use openrms_engine::authority::EnrollmentService;
use openrms_engine::sub_enroll::sub_enroll;
use openrms_store::{ConfigurationVersion, RevocationType};

use super::*;
use crate::access::{AccessRules, OpenTo, Part, PartRule};
use crate::bundle::client_bundle;
use crate::clock;
use crate::config::Config;
use crate::credential::Credential;
use crate::open::{Opened, blocking};
use crate::provision::{Authority, RootOptions, provision_root};
use crate::renewal::{SlcKeeper, Tended};
use crate::root_cluster::RootSignIn;
use crate::slc::Notice;

/// A data directory with something provisioned, and nothing running.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(authority: Authority) -> Self {
        Self::with(authority, |_| {})
    }

    fn with(authority: Authority, edit: impl FnOnce(&mut RootOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = RootOptions {
            authority,
            ..RootOptions::new(folder.path().join("data"), "https://rms.example")
        };
        edit(&mut options);
        provision_root(&options).unwrap();
        Self { folder }
    }

    fn with_opened<T: Send>(&self, work: impl AsyncFnOnce(&Opened) -> T + Send) -> T {
        let config = Config::for_data_dir(self.folder.path().join("data")).unwrap();
        let done = blocking(async || {
            let opened = Opened::open(&config).await?;
            let done = work(&opened).await;
            opened.store.close().await;
            Ok::<_, crate::open::OpenError>(done)
        });
        done.unwrap()
    }

    fn version(&self) -> ConfigurationVersion {
        self.with_opened(async |o| o.store.configuration_version().await.unwrap())
    }

    fn request(&self) -> String {
        self.with_opened(async |opened| request_document(newest(opened)).await.unwrap())
    }

    /// As `rmsd authority sign`.
    fn sign(&self, request: &str, days: u32, now: Time) -> Result<String, String> {
        let request = offline_enrollment::decode_request(request.as_bytes(), &Limits::server())
            .map_err(|error| error.to_string())?;
        self.with_opened(async |opened| {
            let roles = opened.store.authority_roles().await.unwrap();
            let service = EnrollmentService::load(&roles, &*opened.provider).unwrap();
            let answer = service.enroll(&*opened.store, &request, days, now).await;
            let answer = answer.map_err(|refusal| refusal.to_string())?;
            Ok(offline_enrollment::encode_response(&answer))
        })
    }

    /// As `rmsd enroll sign-sub`.
    fn sign_sub(&self, request: &str, days: u32) -> String {
        let request =
            offline_enrollment::decode_sub_request(request.as_bytes(), &Limits::server()).unwrap();
        self.with_opened(async |opened| {
            let stored = opened.store.snapshot().await.unwrap();
            let vault = opened.vault.clone();
            let cluster = Cluster::new(&stored, &*opened.provider, vault).unwrap();
            let store = &*opened.store;
            let answer = sub_enroll(&cluster, store, &request, days, clock::now()).await;
            offline_enrollment::encode_sub_response(&answer.unwrap())
        })
    }

    fn bundle(&self) -> ClientTrust {
        client_bundle(self.folder.path().join("data"))
            .unwrap()
            .trust
    }

    fn trust(&self) -> Trust {
        Trust {
            bundle: Some(self.bundle()),
            pinned: None,
        }
    }

    fn complete(&self, response: &str, trust: Trust, now: Time) -> Result<Enrolled, EnrollError> {
        self.with_opened(async |opened| {
            by_file(newest(opened), response.as_bytes(), trust, now).await
        })
    }

    fn is_enrolled(&self) -> bool {
        !self.chain().is_empty()
    }

    /// The SLC chain.
    fn chain(&self) -> String {
        self.with_opened(async |opened| {
            let stored = opened.store.snapshot().await.unwrap();
            stored.current_licensor_key().unwrap().slc_chain.clone()
        })
    }

    /// One round of a keeper of this server.
    fn tend(&self, keeper: &mut SlcKeeper, now: Time) -> Tended {
        self.with_opened(async |opened| {
            let (store, provider) = (&*opened.store, &*opened.provider);
            let stored = store.snapshot().await.unwrap();
            let cluster = Cluster::new(&stored, provider, opened.vault.clone()).unwrap();
            keeper.tend(newest(opened), &cluster, now).await
        })
    }
}

/// A server of the newest level.
fn newest(opened: &Opened) -> Applicant<'_> {
    Applicant::new(opened, ServiceLevel::default())
}

/// A root cluster that serves, and asks licensing clusters who is calling.
struct RootCluster {
    running: crate::Running,
    place: Place,
    url: String,
}

impl RootCluster {
    fn start(slc_days: u32) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut people = crate::people::empty("example.test".parse().unwrap(), None).unwrap();
        people
            .add_person(NewPerson {
                account: "licensing".parse().unwrap(),
                display_name: "licensing".into(),
                mail: None,
                addresses: Vec::new(),
                created: None,
            })
            .unwrap();
        let account = Member::parse("licensing").unwrap();
        people.set_password(&account, RIGHT_PASSWORD).unwrap();
        let place = Place::with(Authority::Own, |options| {
            options.url.clone_from(&url);
            options.people = Some(people);
            options.slc_days = Some(slc_days);
        });
        let mut config = Config::for_data_dir(place.folder.path().join("data")).unwrap();
        let rule = PartRule {
            access: Some(OpenTo::SignedIn),
            ..PartRule::default()
        };
        config.access = AccessRules::new([(Part::SubEnrollment, rule)].into()).unwrap();
        config.limits.spare_keys = 0;
        Self {
            running: crate::Server::start_with_listener(config, listener).unwrap(),
            place,
            url,
        }
    }

    /// A licensing cluster that this one has certified for some days.
    fn certify(&self, days: u32) -> Place {
        let licensing = Place::with(Authority::RootByFiles(self.url.clone()), |options| {
            options.url = "https://licensing.example".into();
        });
        let signed = self.place.sign_sub(&licensing.request(), days);
        licensing
            .complete(&signed, self.place.trust(), clock::now())
            .unwrap();
        licensing
    }

    /// Renews its own certificate, and returns when the new one is in use.
    fn renew(&self) {
        let by = OnLine::default();
        self.place
            .with_opened(async |opened| {
                on_line(newest(opened), Trust::default(), &by, clock::now()).await
            })
            .unwrap();
        self.running.reload_now().unwrap();
    }
}

/// How a licensing cluster signs in there, with what is in a file.
fn password_in(file: &Path) -> RootSignIn {
    RootSignIn::Password {
        user: "licensing".to_owned(),
        password: Credential::File(file.to_owned()),
    }
}

const RIGHT_PASSWORD: &str = "correct horse";

#[test]
fn a_server_is_enrolled_by_files_and_by_its_own_files_alone() {
    let now = clock::now();
    let authority = Place::new(Authority::Own);
    let server = Place::new(Authority::Files);
    let other = Place::new(Authority::Files);
    let stranger = Place::new(Authority::Own);
    let request = server.request();
    let signed = authority.sign(&request, 365, now).unwrap();
    let before = server.version();

    let strict = Trust {
        pinned: Some(stranger.bundle().anchors().unwrap()),
        ..authority.trust()
    };
    let of_other = authority.sign(&other.request(), 365, now).unwrap();
    let of_stranger = stranger.sign(&request, 365, now).unwrap();
    let (spoilt, cut) = (signed.replacen("RMS 2.0", "RMS 9.0", 1), &signed[..900]);
    let renamed = request.replace("<Name>OpenRMS</Name>", "<Name>Mallory</Name>");
    let redirected = request.replace("https://rms.example", "https://evil.example");
    let renamed = authority.sign(&renamed, 365, now).unwrap();
    let redirected = authority.sign(&redirected, 365, now).unwrap();
    for (what, response, trust, at) in [
        ("cut", cut, authority.trust(), now),
        ("spoilt", &spoilt, authority.trust(), now),
        ("of another server", &of_other, authority.trust(), now),
        ("of another hierarchy", &of_stranger, authority.trust(), now),
        ("with its bundle", &of_stranger, strict.clone(), now),
        ("with other anchors", &signed, strict, now),
        ("without a bundle", &signed, Trust::default(), now),
        ("expired", &signed, authority.trust(), now.plus_days(400)),
        ("too early", &signed, authority.trust(), now.plus(-172_800)),
        ("renamed", &renamed, authority.trust(), now),
        ("redirected", &redirected, authority.trust(), now),
        ("a request", &request, authority.trust(), now),
    ] {
        let error = server.complete(response, trust, at).unwrap_err();
        let named = match what {
            "cut" | "a request" => matches!(error, EnrollError::Malformed { .. }),
            "spoilt" => matches!(error, EnrollError::Forged(_)),
            "of another server" => matches!(error, EnrollError::OtherServer("key")),
            "renamed" => matches!(error, EnrollError::OtherServer("name")),
            "redirected" => matches!(error, EnrollError::OtherServer("URL")),
            "of another hierarchy" => matches!(error, EnrollError::Untrusted(_)),
            "with its bundle" | "with other anchors" => {
                matches!(error, EnrollError::OtherHierarchy)
            }
            "without a bundle" => matches!(error, EnrollError::NoBundle),
            "expired" => matches!(error, EnrollError::Expired(_)),
            "too early" => matches!(error, EnrollError::NotYetValid(_)),
            _ => false,
        };
        assert!(named, "{what}: {error}");
        assert_eq!(server.version(), before, "{what}");
    }
    assert!(!server.is_enrolled());
    server.complete(&signed, authority.trust(), now).unwrap();
    assert!(server.is_enrolled());
    assert_eq!(server.bundle(), authority.bundle());
}

#[test]
fn a_tampered_request_is_not_signed_or_not_taken_back() {
    let now = clock::now();
    let authority = Place::new(Authority::Own);
    let (server, thief) = (Place::new(Authority::Files), Place::new(Authority::Files));
    let (request, theirs) = (server.request(), thief.request());
    authority.sign(&request, 365, now).unwrap();
    let field = |text: &str, name: &str| {
        let (_, after) = text.split_once(&format!("<{name}>")).unwrap();
        after
            .split_once(&format!("</{name}>"))
            .unwrap()
            .0
            .to_owned()
    };
    // Somebody else's key under a GUID that is taken.
    let key = "aPublicKeyBytes";
    let swapped = request.replace(&field(&request, key), &field(&theirs, key));
    let refused = authority.sign(&swapped, 365, now).unwrap_err();
    assert!(refused.contains("another key"), "{refused}");
    let version = format!("<Version>{}</Version>", field(&request, "Version"));
    for spoilt in [
        request.replace(&version, ""),
        request.replace(&field(&request, key), "!"),
        request.replace("</EnrollParameters>", ""),
    ] {
        assert!(authority.sign(&spoilt, 365, now).is_err());
    }
}

#[test]
fn another_mode_is_refused_by_name() {
    let now = clock::now();
    let authority = Place::with(Authority::Own, |options| options.mode = Mode::One);
    let server = Place::new(Authority::Files);
    let refused = authority.sign(&server.request(), 365, now).unwrap_err();
    assert!(refused.contains("2048 bits"), "{refused}");
    assert!(!server.is_enrolled());
}

#[test]
fn a_licensing_cluster_is_enrolled_by_files_and_by_its_root_cluster_alone() {
    let now = clock::now();
    let root = Place::new(Authority::Own);
    let licensing = Place::with(
        Authority::RootByFiles("https://rms.example".into()),
        |options| options.url = "https://licensing.example".into(),
    );
    let request = licensing.request();
    // The authority's own certificate would make it a root cluster; its request is not taken.
    assert!(root.sign(&request, 365, now).is_err());
    let signed = root.sign_sub(&request, 365);
    licensing.complete(&signed, root.trust(), now).unwrap();
    let (root_url, servers) = licensing.with_opened(async |opened| {
        let stored = opened.store.snapshot().await.unwrap();
        let cluster = Cluster::new(&stored, &*opened.provider, opened.vault.clone()).unwrap();
        let root = cluster.root.as_ref().map(|root| root.base_url.clone());
        (root.unwrap(), cluster.server().unwrap().chain.len())
    });
    assert_eq!(root_url, "https://rms.example/_wmcs");
    assert_eq!(servers, 5);
}

#[test]
fn third_parties_that_may_revoke_the_certificate_stand_in_it() {
    let key = openrms_crypto::SoftwareKey::generate(Mode::Two).unwrap();
    let public = openrms_crypto::PrivateKey::public(&key).clone();
    let place = Place::with(Authority::Own, |options| {
        options.revocation_keys = vec![public.clone()];
    });
    let slc = place.with_opened(async |opened| {
        let stored = opened.store.snapshot().await.unwrap();
        assert_eq!(stored.policies.revocation_type, RevocationType::Custom);
        stored.current_licensor_key().unwrap().slc_chain.clone()
    });
    let modulus = openrms_xrml::values::encode_base64(public.modulus_le());
    let leaf = chain::split(&slc).unwrap()[0];
    assert!(leaf.contains("External revocation authority") && leaf.contains(&modulus));
}

#[test]
fn a_cluster_that_is_its_own_authority_renews_a_month_ahead_and_one_server_does_it() {
    let place = Place::new(Authority::Own);
    let chain = async |opened: &Opened| {
        let stored = opened.store.snapshot().await.unwrap();
        stored.current_licensor_key().unwrap().slc_chain.clone()
    };
    let cluster = async |opened: &Opened| {
        let stored = opened.store.snapshot().await.unwrap();
        Cluster::new(&stored, &*opened.provider, opened.vault.clone()).unwrap()
    };
    place.with_opened(async |opened| {
        let store = &*opened.store;
        let first = chain(opened).await;
        let before = cluster(opened).await;
        let until = before.server().unwrap().slc.range().unwrap().until;
        let mut keeper = SlcKeeper::default();
        let early = until.plus(-31 * 86_400);
        let done = keeper.tend(newest(opened), &before, early).await;
        assert_eq!(done, Tended::Nothing);
        assert_eq!(chain(opened).await, first);

        // Two servers at once and one a moment later, each with a state of its own.
        let late = until.plus(-29 * 86_400);
        let [mut one, mut other, mut last] = std::array::from_fn(|_| SlcKeeper::default());
        let version = store.configuration_version().await.unwrap();
        let (a, b) = tokio::join!(
            one.tend(newest(opened), &before, late),
            other.tend(newest(opened), &before, late)
        );
        let c = last.tend(newest(opened), &before, late).await;
        assert_eq!(
            (a, b, c),
            (Tended::Renewed, Tended::Renewed, Tended::Renewed)
        );
        let changes = store.configuration_version().await.unwrap().number() - version.number();
        assert_eq!(changes, 1);
        let after = cluster(opened).await;
        assert_eq!(Notice::of(&after, late), None);
        let (old, new) = (before.server().unwrap(), after.server().unwrap());
        assert_eq!(old.slc.key(), new.slc.key());
        assert_eq!(old.identity().object(), new.identity().object());
        // Both lead to the anchors, and what was issued under the old one holds under the new.
        let anchors = authority::anchors(&store.authority_roles().await.unwrap()).unwrap();
        for text in [&first, &chain(opened).await] {
            let nodes = chain::parse_verified(text).unwrap();
            chain::verify_path(&nodes, None, |key| anchors.contains(key)).unwrap();
        }
        assert_eq!(old.slc.range().unwrap().from, new.slc.range().unwrap().from);
    });
}

#[test]
fn a_licensing_cluster_that_may_sign_in_renews_at_its_root_and_takes_over_what_is_above() {
    let root = RootCluster::start(365);
    let licensing = root.certify(20);
    let first = licensing.chain();
    root.renew();
    let now = clock::now();
    let file = licensing.folder.path().join("root.password");
    let mut keeper = SlcKeeper::new(Some(password_in(&file)), None);
    // No password, a wrong one an hour later, and the right one, which is not tried at once.
    assert_eq!(
        licensing.tend(&mut keeper, now),
        Tended::Told(Notice::Month)
    );
    std::fs::write(&file, "wrong\n").unwrap();
    let later = |seconds| now.plus(seconds);
    assert_ne!(licensing.tend(&mut keeper, later(3_600)), Tended::Renewed);
    std::fs::write(&file, format!("{RIGHT_PASSWORD}\n")).unwrap();
    assert_ne!(licensing.tend(&mut keeper, later(5_400)), Tended::Renewed);
    assert_eq!(licensing.chain(), first);
    assert_eq!(licensing.tend(&mut keeper, later(7_200)), Tended::Renewed);
    assert_eq!(licensing.tend(&mut keeper, later(10_800)), Tended::Nothing);

    let (second, above) = (licensing.chain(), root.place.chain());
    assert!(second.ends_with(&above) && !first.ends_with(&above));
    licensing.with_opened(async |opened| {
        let stored = opened.store.snapshot().await.unwrap();
        assert_eq!(stored.settings.get(ROOT_SLC), Some(&above));
        let cluster = Cluster::new(&stored, &*opened.provider, opened.vault.clone()).unwrap();
        assert!(cluster.may_issue(now.plus_days(360)));
        assert!(!cluster.may_issue(now.plus_days(366)));
    });
}

#[test]
fn a_licensing_cluster_that_was_told_nothing_of_its_root_does_not_ask_it() {
    let root = RootCluster::start(365);
    let licensing = root.certify(20);
    let before = licensing.version();
    let done = licensing.tend(&mut SlcKeeper::default(), clock::now());
    assert_eq!(done, Tended::Told(Notice::Month));
    assert_eq!(licensing.version(), before);
}

#[test]
fn a_root_cluster_that_ends_first_is_not_asked_for_more() {
    let root = RootCluster::start(20);
    let licensing = root.certify(365);
    let (before, file) = (
        licensing.version(),
        licensing.folder.path().join("password"),
    );
    std::fs::write(&file, RIGHT_PASSWORD).unwrap();
    let mut keeper = SlcKeeper::new(Some(password_in(&file)), None);
    let done = licensing.tend(&mut keeper, clock::now());
    assert_eq!(done, Tended::Told(Notice::Month));
    assert_eq!(licensing.version(), before);
}

#[test]
fn who_cannot_renew_by_itself_is_warned_once_a_day_and_stops_on_expiry() {
    let now = clock::now();
    let authority = Place::new(Authority::Own);
    let server = Place::new(Authority::Files);
    let signed = authority.sign(&server.request(), 100, now).unwrap();
    server.complete(&signed, authority.trust(), now).unwrap();
    server.with_opened(async |opened| {
        let (store, provider) = (&*opened.store, &*opened.provider);
        let stored = store.snapshot().await.unwrap();
        let cluster = Cluster::new(&stored, provider, opened.vault.clone()).unwrap();
        let mut keeper = SlcKeeper::default();
        let mut told = Vec::new();
        // Every hour of the last weeks.
        let until = cluster.server().unwrap().slc.range().unwrap().until;
        for hour in -(40 * 24)..(2 * 24) {
            let at = until.plus(hour * 3_600);
            if let Tended::Told(notice) = keeper.tend(newest(opened), &cluster, at).await {
                told.push(notice);
            }
            assert_eq!(cluster.may_issue(at), hour < 0);
        }
        let count = |notice| told.iter().filter(|told| **told == notice).count();
        assert!(told.is_sorted());
        assert!((23..=24).contains(&count(Notice::Month)), "{told:?}");
        assert!((7..=8).contains(&count(Notice::Week)), "{told:?}");
        assert!((2..=3).contains(&count(Notice::Expired)), "{told:?}");
        let events = [Notice::Month, Notice::Week, Notice::Expired].map(Notice::event);
        assert_eq!(events, [16, 17, 18]);
    });
    // Renewed by files, with the same key and GUID.
    let late = now.plus_days(90);
    let renewed = authority.sign(&server.request(), 365, late).unwrap();
    let done = server.complete(&renewed, Trust::default(), late).unwrap();
    assert!(done.until > late.plus_days(364));
}

#[test]
fn a_server_that_was_enrolled_by_files_is_not_renewed_on_line() {
    let server = Place::new(Authority::Files);
    let error = server.with_opened(async |opened| {
        let by = OnLine::default();
        on_line(newest(opened), Trust::default(), &by, clock::now()).await
    });
    assert!(matches!(error, Err(EnrollError::ByFiles)));
}

#[test]
fn a_password_is_not_sent_in_the_clear() {
    let sign_in = SignIn::Password("admin".into(), String::from("secret").into());
    let by = OnLine {
        sign_in: sign_in.clone(),
        proxy: None,
    };
    let server = Place::new(Authority::Files);
    let request = server.with_opened(async |opened| {
        let stored = opened.store.snapshot().await.unwrap();
        OwnServer::of(&stored, newest(opened)).unwrap().sub_enroll()
    });
    let error = ask::sub_enroll("http://rms.example/_wmcs", request, &by).unwrap_err();
    assert!(matches!(error, EnrollError::NotPrivate(_)), "{error}");
    assert!(!format!("{sign_in:?}").contains("secret"));
}
