//! The packages for Windows on machines of Wine: the Windows Installer is Wine's, programs and
//! packages are those of `cargo xtask dist windows` (`OPENRMS_DIST`/windows; of a later version,
//! `OPENRMS_DIST_NEWER`/windows). What only Windows itself can show, the manual lists.
#![allow(clippy::panic, clippy::unwrap_used, reason = "they are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use delivery::{Network, Ran, Service, Wine, dist, exit_code, newer};

#[test]
fn s6_s9_s10_s36_a_package_is_installed_unattended_and_its_properties_are_settings() {
    let (Some(packages), Some(wine)) = (packages(), Wine::new(None)) else {
        return;
    };
    let url = "https://rms.corp.example";
    let location = "https://licensing.corp.example/_wmcs/licensing";
    let properties = [
        format!("SERVICEURL={url}"),
        format!("ENTERPRISEPUBLISHING={location}"),
    ];
    let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
    wine.msiexec("/i", &packages.client, &properties).done();
    assert!(wine.path(RMS).is_file());
    assert_eq!(
        wine.installed(CLIENT).as_deref(),
        Some(packages.version.as_str())
    );
    assert_eq!(wine.registry(MACHINE, "server").as_deref(), Some(url));
    let shown = settings(&wine);
    assert_eq!(
        shown["server"],
        (url.to_owned(), format!(r"{LONG}\OpenRMS"))
    );
    assert_eq!(shown["service_location.enterprise_publishing"].0, location);

    // The same once more is nothing.
    wine.msiexec("/i", &packages.client, &[]).done();
    assert_eq!(wine.registry(MACHINE, "server").as_deref(), Some(url));

    wine.msiexec("/x", &packages.client, &[]).done();
    assert!(!wine.path(RMS).exists());
    assert_eq!(wine.installed(CLIENT), None);
    assert_eq!(wine.registry(MACHINE, "server"), None);
    assert_eq!(wine.registry(PRESENCE, "Version"), None);
}

#[test]
fn settings_come_from_the_registry_and_policy_wins() {
    let (Some(packages), Some(wine)) = (packages(), Wine::new(None)) else {
        return;
    };
    wine.msiexec("/i", &packages.client, &[]).done();
    // What the client before was told, by keys with default values.
    let [old, new] = ["old", "new"].map(|name| format!("https://{name}.example/_wmcs/licensing"));
    for name in ["EnterprisePublishing", "CloudPublishing"] {
        wine.set_registry(&format!(r"{MSDRM}\{name}"), "", &old);
    }
    wine.set_registry(
        &format!(r"{MACHINE}\service_location"),
        "enterprise_publishing",
        &new,
    );
    wine.set_registry(MACHINE, "server", "https://machine.example");
    wine.set_registry(POLICY, "server", "https://policy.example");
    wine.set_registry_of(
        "REG_MULTI_SZ",
        POLICY,
        "name_servers",
        r"192.0.2.53\0192.0.2.54",
    );
    wine.set_registry_of("REG_DWORD", POLICY, "store_per_computer", "1");
    let file = wine.path(r"C:\Program Files\OpenRMS\client.toml");
    fs::write(
        &file,
        "server = 'https://file.example'\nnotice_url = 'https://help.example'\n",
    )
    .unwrap();
    let shown = settings(&wine);
    let by = |value: &str, place: &str| (value.to_owned(), place.to_owned());
    let key = |name: &str| format!(r"{LONG}\{name}");
    assert_eq!(
        shown["service_location.cloud_publishing"],
        by(&old, &key(r"Microsoft\MSDRM\ServiceLocation"))
    );
    assert_eq!(
        shown["service_location.enterprise_publishing"],
        by(&new, &key("OpenRMS"))
    );
    assert_eq!(
        shown["server"],
        by("https://policy.example", &key(r"Policies\OpenRMS"))
    );
    assert_eq!(shown["name_servers"].1, key(r"Policies\OpenRMS"));
    assert_eq!(shown["store_per_computer"].1, key(r"Policies\OpenRMS"));
    assert_eq!(
        shown["notice_url"],
        by(
            "https://help.example",
            r"C:\Program Files\OpenRMS\client.toml"
        )
    );
    wine.set_registry(POLICY, "sever", "https://typo.example");
    let refused = wine.run(RMS, ["config", "show"]).refused(6);
    assert!(refused.contains(&key(r"Policies\OpenRMS")), "{refused}");
}

#[test]
fn a_newer_package_takes_the_place_of_an_older_one_and_never_the_other_way() {
    let (Some(packages), Some(newer), Some(wine)) = (packages(), newer_packages(), Wine::new(None))
    else {
        return;
    };
    let url = "https://rms.corp.example";
    let property = format!("SERVICEURL={url}");
    wine.msiexec("/i", &packages.client, &[&property]).done();
    wine.msiexec("/i", &newer.client, &[]).done();
    assert_eq!(
        wine.installed(CLIENT).as_deref(),
        Some(newer.version.as_str())
    );
    assert_eq!(wine.registry(MACHINE, "server").as_deref(), Some(url));
    assert!(wine.path(RMS).is_file());

    let refused = wine.msiexec("/i", &packages.client, &[]);
    assert_eq!(refused.code, exit_code(FAILED), "{refused}");
    assert_eq!(
        wine.installed(CLIENT).as_deref(),
        Some(newer.version.as_str())
    );
    assert_eq!(
        wine.registry(PRESENCE, "Version").as_deref(),
        Some(newer.version.as_str())
    );
    wine.msiexec("/x", &newer.client, &[]).done();
    assert!(!wine.path(RMS).exists());
}

#[test]
fn backward_compatibility_is_not_installed_without_the_client() {
    let (Some(packages), Some(wine)) = (packages(), Wine::new(None)) else {
        return;
    };
    let refused = wine.msiexec("/i", &packages.back_compat, &[]);
    assert_eq!(refused.code, exit_code(FAILED), "{refused}");
    assert_eq!(wine.registry(BACK_COMPAT, "Version"), None);
    wine.msiexec("/i", &packages.client, &[]).done();
    wine.msiexec("/i", &packages.back_compat, &[]).done();
    assert_eq!(
        wine.registry(BACK_COMPAT, "StandsFor").as_deref(),
        Some("Windows Rights Management Client with Service Pack 2")
    );
    assert_eq!(wine.registry(BACK_COMPAT, "Program").as_deref(), Some(RMS));
}

#[test]
fn s16_the_bundle_takes_the_command_line_of_the_original() {
    let (Some(packages), Some(wine)) = (packages(), Wine::new(None)) else {
        return;
    };
    let bundle = packages.bundle.to_str().unwrap();
    let line = "-override 1 /I Client.msi REBOOT=ReallySuppress /q \
                -override 2 /I BackCompat.msi REBOOT=ReallySuppress /q";
    let said = wine.run(bundle, line.split_whitespace()).done();
    let steps: Vec<&str> = said
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1))
        .collect();
    assert_eq!(
        steps,
        [
            "Client.msi: /i begins",
            "Client.msi: /i ended with 0",
            "BackCompat.msi: /i begins",
            "BackCompat.msi: /i ended with 0",
        ]
    );
    assert!(wine.path(RMS).is_file());
    assert!(wine.registry(BACK_COMPAT, "Version").is_some());

    let folder = tempfile::tempdir().unwrap();
    let to = format!("/t:{}", Wine::name_of(&folder.path().join("out")));
    wine.run(bundle, ["/x", &to]).done();
    for (name, package) in [
        ("Client.msi", &packages.client),
        ("BackCompat.msi", &packages.back_compat),
    ] {
        let extracted = fs::read(folder.path().join("out").join(name)).unwrap();
        assert!(extracted == fs::read(package).unwrap(), "{name}");
    }

    wine.run(bundle, ["/x", "/q"]).done();
    assert!(!wine.path(RMS).exists());
    assert_eq!(wine.registry(BACK_COMPAT, "Version"), None);
}

#[test]
fn s16_the_second_package_is_not_tried_when_the_first_failed() {
    let (Some(packages), Some(newer), Some(wine)) = (packages(), newer_packages(), Wine::new(None))
    else {
        return;
    };
    wine.msiexec("/i", &newer.client, &[]).done();
    let refused = wine.run(packages.bundle.to_str().unwrap(), ["/q"]);
    assert_eq!(refused.code, exit_code(FAILED), "{refused}");
    assert!(
        refused.out.contains("Client.msi: /i ended with 1603"),
        "{refused}"
    );
    assert!(!refused.out.contains("BackCompat"), "{refused}");
    assert_eq!(wine.registry(BACK_COMPAT, "Version"), None);
}

#[test]
fn s13_what_was_altered_is_refused() {
    let (Some(packages), Some(wine)) = (packages(), Wine::new(None)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // In the program: somewhere in the client's package, which stands in it as it is.
    let client = fs::read(&packages.client).unwrap();
    let mut bundle = fs::read(&packages.bundle).unwrap();
    let middle = client.len() / 2;
    let piece = &client[middle..middle + 64];
    let at = bundle
        .windows(64)
        .position(|window| window == piece)
        .unwrap();
    bundle[at] ^= 1;
    let altered = folder.path().join("altered.exe");
    fs::write(&altered, bundle).unwrap();
    let refused = wine.run(altered.to_str().unwrap(), ["/q"]);
    assert_eq!(refused.code, exit_code(1620), "{refused}");
    assert!(
        refused.out.contains("Client.msi: file-altered"),
        "{refused}"
    );
    assert!(!wine.path(RMS).exists());
    assert_eq!(wine.installed(CLIENT), None);

    // Outside: the signature tells.
    let Some(authority) = &packages.authority else {
        println!("skipped: the packages are not signed");
        return;
    };
    for package in [&packages.client, &packages.back_compat, &packages.bundle] {
        assert_eq!(verified(package, authority).code, 0);
        let mut bytes = fs::read(package).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let altered = folder.path().join(package.file_name().unwrap());
        fs::write(&altered, bytes).unwrap();
        assert_eq!(verified(&altered, authority).code, 1);
    }
}

#[test]
fn s2_s3_s33_s35_on_windows_protected_files_are_made_and_opened() {
    let Some(packages) = packages() else {
        return;
    };
    let (Some(dist), Some(network)) = (dist(), Network::new()) else {
        return;
    };
    let Some(wine) = Wine::new(Some(&network)) else {
        return;
    };
    let service = Service::start(&network, &dist.join("channel"));
    let hierarchy = Wine::name_of(&service.hierarchy());
    let properties = [
        format!("SERVICEURL={}", Service::URL),
        format!("HIERARCHY={hierarchy}"),
    ];
    let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
    wine.msiexec("/i", &packages.client, &properties).done();
    let bob = [
        ("RMS_USER", "bob@example.com"),
        ("RMS_PASSWORD", Service::PASSWORD),
    ];
    let rms = |words: &[&str]| wine.run_as(&bob, RMS, words);

    // What another machine protected.
    let plan = Wine::name_of(&service.protected());
    rms(&["activate"]).done();
    assert_eq!(rms(&["open", &plan, "--stdout"]).done(), Service::TEXT);

    // 16 MiB there and back.
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..16_u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let [source, protected, opened] =
        ["large.bin", "large.bin.pfile", "back.bin"].map(|name| folder.path().join(name));
    fs::write(&source, &large).unwrap();
    let [source, protected_name, opened_name] =
        [&source, &protected, &opened].map(|path| Wine::name_of(path));
    let grant = ["--grant", "alice@example.com:VIEW", "-o", &protected_name];
    rms(&[&["protect", &source], &grant[..]].concat()).done();
    let inspected = rms(&["inspect", &protected_name]).done();
    assert!(inspected.contains(Service::URL), "{inspected}");
    rms(&["open", &protected_name, "-o", &opened_name]).done();
    assert!(fs::read(&opened).unwrap() == large);
    assert!(
        !fs::read(&protected)
            .unwrap()
            .windows(32)
            .any(|part| part == &large[..32])
    );
}

/// What was made of one version.
struct Packages {
    client: PathBuf,
    back_compat: PathBuf,
    bundle: PathBuf,
    version: String,
    /// Whose signatures they bear, if any.
    authority: Option<PathBuf>,
}

fn packages() -> Option<Packages> {
    Packages::of(&dist()?)
}

fn newer_packages() -> Option<Packages> {
    Packages::of(&newer()?)
}

impl Packages {
    fn of(dist: &Path) -> Option<Self> {
        let folder = dist.join("windows");
        let client = fs::read_dir(&folder).ok().and_then(|files| {
            let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            names.find_map(|name| {
                let version = name
                    .strip_prefix("OpenRMS-Client-")?
                    .strip_suffix("-x64.msi")?;
                Some(version.to_owned())
            })
        });
        let Some(version) = client else {
            println!("skipped: no packages for Windows (cargo xtask dist windows)");
            return None;
        };
        let authority = dist.join("keys/code-signing/ca.crt");
        Some(Self {
            client: folder.join(format!("OpenRMS-Client-{version}-x64.msi")),
            back_compat: folder.join(format!("OpenRMS-BackCompat-{version}-x64.msi")),
            bundle: folder.join(format!("OpenRMS-{version}-x64.exe")),
            authority: authority.exists().then_some(authority),
            version,
        })
    }
}

/// What the client finds set, by key: the value, and who set it.
fn settings(wine: &Wine) -> std::collections::BTreeMap<String, (String, String)> {
    let shown = wine
        .run(RMS, ["config", "show", "--origin", "--json"])
        .done();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let settings = shown["settings"].as_array().unwrap().iter();
    settings
        .map(|setting| {
            let said = (text(&setting["value"]), text(&setting["origin"]["name"]));
            (text(&setting["key"]), said)
        })
        .collect()
}

fn verified(file: &Path, authority: &Path) -> Ran {
    let mut verify = Command::new("osslsigncode");
    verify.arg("verify").arg("-CAfile").arg(authority);
    verify.arg("-TSA-CAfile").arg(authority);
    Ran::of(verify.arg("-in").arg(file))
}

const RMS: &str = r"C:\Program Files\OpenRMS\rms.exe";
const CLIENT: &str = "OpenRMS Client";
const LONG: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE";
const MACHINE: &str = r"HKLM\SOFTWARE\OpenRMS";
const POLICY: &str = r"HKLM\SOFTWARE\Policies\OpenRMS";
const MSDRM: &str = r"HKLM\SOFTWARE\Microsoft\MSDRM\ServiceLocation";
const PRESENCE: &str = r"HKLM\SOFTWARE\OpenRMS Packages\Client";
const BACK_COMPAT: &str = r"HKLM\SOFTWARE\OpenRMS Packages\BackCompat";
const FAILED: i32 = 1603;
