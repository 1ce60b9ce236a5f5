//! A process that is killed after any step, and the command given again.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use openrms_xrml::chain;

use super::*;
use crate::config::Config;
use crate::{client_bundle, running::Server};

const STEPS: [Step; 9] = [
    Step::Folder,
    Step::Database,
    Step::Keys,
    Step::Hierarchy,
    Step::People,
    Step::AdminToken,
    Step::ConfigFile,
    Step::Cluster,
    Step::Enrolled,
];

#[test]
fn a_killed_provisioning_is_completed_by_the_next() {
    for killed_after in STEPS {
        let folder = tempfile::tempdir().unwrap();
        let options = RootOptions::new(folder.path().join("data"), "http://127.0.0.1:8080");
        let killed = catch_unwind(AssertUnwindSafe(|| {
            provision_root_with(&options, &|step| {
                if step == killed_after {
                    // Unwinds from the middle of the work; no clean-up runs after it here.
                    std::panic::resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(killed.is_err(), "{killed_after:?}");
        let done = provision_root(&options).unwrap();
        assert_eq!(
            done.already,
            killed_after == Step::Enrolled,
            "{killed_after:?}"
        );
        let bundle = client_bundle(&options.data).unwrap();
        // The chain of the SPC issuer leads to the anchors: one hierarchy, not two halves.
        let nodes = chain::parse_verified(&bundle.trust.spc_issuer_chain).unwrap();
        let anchors = bundle.trust.anchors().unwrap();
        chain::verify_path(&nodes, Some(clock::now()), |key| anchors.contains(key)).unwrap();
        let mut config = Config::for_data_dir(&options.data).unwrap();
        config.listen = vec![(Ipv4Addr::LOCALHOST, 0).into()];
        config.limits.spare_keys = 0;
        Server::start(config).unwrap().stop();
    }
}

#[test]
fn steps_are_told_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = RootOptions::new(folder.path().join("data"), "https://rms.example");
    let told = Mutex::new(Vec::new());
    provision_root_with(&options, &|step| told.lock().unwrap().push(step)).unwrap();
    assert_eq!(told.into_inner().unwrap(), STEPS);
    // Behind a proxy that does HTTPS.
    let config = Config::for_data_dir(&options.data).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.url.as_deref(), Some("https://rms.example/_wmcs"));
}
