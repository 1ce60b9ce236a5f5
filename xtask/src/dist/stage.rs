//! What each package installs, laid out once for all kinds of packages: `PACKAGE/usr/…`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::keys::Keys;
use super::notices::Crates;
use super::{Release, programs};
use crate::{Failure, pages};

/// A folder with a folder for each package.
pub(crate) struct Stage {
    folder: PathBuf,
}

impl Stage {
    /// Lays out the packages of these programs, whose bills of materials are in `bills`. With keys, the
    /// server's holds their public halves, by which it takes the updates that it hands out.
    pub(crate) fn make(
        folder: &Path,
        programs: &Path,
        bills: &Path,
        keys: Option<&Keys>,
        release: &Release,
    ) -> Result<Self, Failure> {
        let stage = Self {
            folder: folder.to_owned(),
        };
        stage.program(CLIENT, "rms", programs)?;
        stage.program(SERVER, "rmsd", programs)?;
        let crates = Crates::read()?;
        for (package, program) in [(CLIENT, "rms"), (SERVER, "rmsd")] {
            let notices = crates.of(&bills.join(format!("{program}.cdx.json")))?;
            let place = stage.place(package, &format!("usr/share/doc/{package}/{NOTICES}"))?;
            fs::write(&place, notices)?;
            fs::set_permissions(place, Permissions::from_mode(0o644))?;
        }
        stage.pages()?;
        stage.gather()?;
        if let Some(keys) = keys {
            stage.file(
                SERVER,
                &keys.release_public(),
                "usr/share/openrms/openrms-release.pem",
            )?;
        }
        stage.version(release)?;
        plain(folder)?;
        Ok(stage)
    }

    /// What a package installs.
    pub(crate) fn package(&self, package: &str) -> PathBuf {
        self.folder.join(package)
    }

    /// The folder of all of them.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn program(&self, package: &str, name: &str, from: &Path) -> Result<(), Failure> {
        let program = from.join(name);
        if !program.is_file() {
            return Err(format!("{}: there is no such program", program.display()).into());
        }
        let place = self.place(package, &format!("usr/bin/{name}"))?;
        programs::strip(&program, &place)?;
        fs::set_permissions(&place, Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Manual pages and completions, made from the command lines.
    fn pages(&self) -> Result<(), Failure> {
        let made = self.folder.join("pages");
        pages::write(&made)?;
        for page in files(&made.join("man1"), &[".1"])? {
            let name = name(&page)?;
            let package = if name.starts_with("rmsd") {
                SERVER
            } else {
                CLIENT
            };
            self.file(package, &page, &format!("usr/share/man/man1/{name}"))?;
        }
        for (package, program) in [(CLIENT, "rms"), (SERVER, "rmsd")] {
            for (from, to) in [
                (
                    format!("{program}.bash"),
                    format!("bash-completion/completions/{program}"),
                ),
                (
                    format!("_{program}"),
                    format!("zsh/vendor-completions/_{program}"),
                ),
                (
                    format!("{program}.fish"),
                    format!("fish/vendor_completions.d/{program}.fish"),
                ),
            ] {
                let from = made.join("completions").join(from);
                self.file(package, &from, &format!("usr/share/{to}"))?;
            }
        }
        fs::remove_dir_all(made)?;
        Ok(())
    }

    fn gather(&self) -> Result<(), Failure> {
        for gathered in GATHERED {
            for file in files(Path::new(gathered.from), gathered.endings)? {
                let target = format!("{}/{}", gathered.to, name(&file)?);
                self.file(gathered.package, &file, &target)?;
                if fs::metadata(&file)?.permissions().mode() & 0o111 != 0 {
                    let place = self.place(gathered.package, &target)?;
                    fs::set_permissions(place, Permissions::from_mode(0o755))?;
                }
            }
        }
        Ok(())
    }

    /// What identifies the client says which version it is of.
    fn version(&self, release: &Release) -> Result<(), Failure> {
        let file = self.place(BACKCOMPAT, "usr/share/openrms/backcompat.d/msdrm.toml")?;
        let text = fs::read_to_string(&file)?;
        fs::write(
            &file,
            text.replace("@VERSION@", &release.version.to_string()),
        )?;
        Ok(())
    }

    fn file(&self, package: &str, from: &Path, to: &str) -> Result<(), Failure> {
        let place = self.place(package, to)?;
        fs::copy(from, &place).map_err(|error| format!("{}: {error}", from.display()))?;
        let is_program = fs::metadata(from)?.permissions().mode() & 0o100 != 0;
        let mode = if is_program { 0o755 } else { 0o644 };
        fs::set_permissions(&place, Permissions::from_mode(mode))?;
        Ok(())
    }

    fn place(&self, package: &str, to: &str) -> Result<PathBuf, Failure> {
        let place = self.folder.join(package).join(to);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(place)
    }
}

/// Files in a folder whose names end so, in the order of their names; none where there is no folder.
pub(crate) fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = name(&path)?;
            if path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a file, which is UTF-8 in everything that is packed.
pub(crate) fn name(file: &Path) -> Result<&str, Failure> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| format!("{}: a name is expected", file.display()).into())
}

/// Folders open to all whatever the umask is.
fn plain(folder: &Path) -> Result<(), Failure> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            plain(&path)?;
        }
    }
    Ok(())
}

/// Files of the source that are installed as they are.
struct Gathered {
    package: &'static str,
    from: &'static str,
    endings: &'static [&'static str],
    to: &'static str,
}

impl Gathered {
    const fn new(
        package: &'static str,
        from: &'static str,
        endings: &'static [&'static str],
        to: &'static str,
    ) -> Self {
        Self {
            package,
            from,
            endings,
            to,
        }
    }
}

const UNITS: &[&str] = &[".service", ".socket", ".timer", ".path", ".target"];

const GATHERED: &[Gathered] = &[
    Gathered::new(SERVER, "packaging/systemd", UNITS, "usr/lib/systemd/system"),
    Gathered::new(
        SERVER,
        "packaging/systemd/sysusers.d",
        &[".conf"],
        "usr/lib/sysusers.d",
    ),
    Gathered::new(
        SERVER,
        "packaging/systemd/tmpfiles.d",
        &[".conf"],
        "usr/lib/tmpfiles.d",
    ),
    Gathered::new(
        SERVER,
        "packaging/systemd",
        &[".conf"],
        "usr/share/doc/openrms-server/examples",
    ),
    Gathered::new(
        CLIENT,
        "packaging/systemd/user",
        UNITS,
        "usr/lib/systemd/user",
    ),
    Gathered::new(
        CLIENT,
        "packaging/systemd/user",
        &[".preset"],
        "usr/lib/systemd/user-preset",
    ),
    Gathered::new(
        CLIENT,
        "packaging/desktop",
        &["rms-open.desktop"],
        "usr/share/applications",
    ),
    Gathered::new(
        CLIENT,
        "packaging/desktop",
        &["rms-open"],
        "usr/libexec/openrms",
    ),
    Gathered::new(
        CLIENT,
        "packaging/desktop",
        &[".xml"],
        "usr/share/mime/packages",
    ),
    Gathered::new(
        CLIENT,
        "packaging/desktop",
        &["rms-open"],
        "usr/libexec/openrms",
    ),
    Gathered::new(
        CLIENT,
        "packaging/metainfo",
        &[".metainfo.xml"],
        "usr/share/metainfo",
    ),
    Gathered::new(
        CLIENT,
        "packaging/client.d",
        &[".toml"],
        "usr/share/openrms/client.d",
    ),
    Gathered::new(
        CLIENT,
        "packaging/client.d",
        &["README"],
        "etc/openrms/client.d",
    ),
    Gathered::new(
        CLIENT,
        "packaging/apt",
        &[""],
        "usr/share/doc/openrms-client/examples",
    ),
    Gathered::new(
        CLIENT,
        "packaging/dnf",
        &[""],
        "usr/share/doc/openrms-client/examples",
    ),
    Gathered::new(
        BACKCOMPAT,
        "packaging/backcompat",
        &[".toml"],
        "usr/share/openrms/backcompat.d",
    ),
];

/// The licences of others, in the folder of a package's documents.
pub(crate) const NOTICES: &str = "THIRD-PARTY.txt";
pub(crate) const CLIENT: &str = "openrms-client";
pub(crate) const BACKCOMPAT: &str = "openrms-client-backcompat";
pub(crate) const SERVER: &str = "openrms-server";
