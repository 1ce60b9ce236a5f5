//! A client, made of the environment and the command line: whose folder, which server, who signs
//! in, and whether a server that is met for the first time is believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use openrms_client::hierarchy::BUNDLE_PATH;
use openrms_client::machine_settings::MachineSettingsError;
use openrms_client::{
    Bundle, Client, ClientBuilder, CredentialSource, Credentials, Discovery, Dns, Found, Hierarchy,
    Home, HttpOptions, HttpTransport, JoinPolicy, Joined, LicenseServers, LockboxSecretSource,
    MachineIdentity, MachineSettings, NoProxy, Origin, Scheme, Secret, ServerUrl, Spoken, Word,
};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::shell::{Shell, plain};

/// Options of every command that may ask a server.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connection {
    /// URL of the rights-management service; else `RMS_SERVER`, else what `rms init` remembered,
    /// else what the machine's settings say.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<ServerUrl>,
    /// Who signs in: account name or mail address; else `RMS_USER`. The password is taken from
    /// --password-file, from `RMS_PASSWORD`, or asked for; `RMS_TOKEN` takes the place of both.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File with the password in its first line.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// File with further TLS authorities (PEM); else `RMS_CA_FILE`.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Believe a server that is met for the first time, without asking.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Ask whichever server a file names for a license, not only your own. It is sent your account
    /// certificate, never a password.
    #[arg(long)]
    pub(crate) any_license_server: bool,
}

impl Connection {
    /// A client as it is, for what is already there.
    pub(crate) fn client(&self, shell: Shell) -> Result<Client, Failure> {
        self.client_as(shell, None)
    }

    /// A client of somebody whose credentials may be known already.
    pub(crate) fn client_as(
        &self,
        shell: Shell,
        known: Option<Credentials>,
    ) -> Result<Client, Failure> {
        // A wrong name is told at once, not when a server wants the password.
        if let Some(path) = &self.password_file {
            fs::metadata(path).map_err(|error| Failure::io("read", path, &error))?;
        }
        let source = Prompt {
            shell,
            options: self.clone(),
            known: Mutex::new(known),
        };
        let discovery = self.discovery(shell)?;
        #[cfg(unix)]
        let forest = openrms_client::Forest::of_own_ticket(discovery.machine.name_servers());
        let names = Dns::new(discovery.machine.name_servers());
        let passphrase = Passphrase { shell };
        let allowed = if self.any_license_server {
            LicenseServers::Any
        } else {
            LicenseServers::OnlyConfigured
        };
        let home = home(&discovery.machine)?;
        let transport = transport(&discovery)?;
        let builder = client_of(&home, transport, discovery, source, passphrase)?;
        let builder = builder.license_servers(allowed);
        #[cfg(unix)]
        let builder = builder.forest(forest);
        Ok(builder.name_service(names).build())
    }

    /// What options, environment and the machine's settings say.
    pub(crate) fn discovery(&self, shell: Shell) -> Result<Discovery, Failure> {
        let explicit = Spoken {
            server: word(self.server.clone(), "--server"),
            client_level: word(shell.client_level(), "--client-level"),
            ca_file: word(self.ca_file.clone(), "--ca-file"),
            ..Spoken::default()
        };
        Ok(Discovery {
            explicit,
            environment: environment()?,
            machine: machine_settings()?,
        })
    }

    /// Who signs in, where the caller says so.
    pub(crate) fn user(&self) -> Option<String> {
        self.user.clone().or_else(|| text_variable("RMS_USER"))
    }

    /// A client that belongs to a hierarchy; one that is missing is joined.
    pub(crate) fn ready(&self, shell: Shell) -> Result<Client, Failure> {
        let client = self.client(shell)?;
        if client.known_hierarchy()?.is_none() {
            let server = client.server()?;
            self.join(shell, &client, &server, None)?;
        }
        Ok(client)
    }

    /// Joins a server's hierarchy: the one with that fingerprint, or the one that a person
    /// believes.
    pub(crate) fn join(
        &self,
        shell: Shell,
        client: &Client,
        server: &ServerUrl,
        fingerprint: Option<&str>,
    ) -> Result<Joined, Failure> {
        let policy = self.policy(shell, client, server, fingerprint)?;
        Ok(client.init(server, &policy)?)
    }

    /// Joins the hierarchy of a server that was found. Before that, the person learns where it was
    /// found; one that nothing proves to be the right one, somebody has to confirm. That nobody is
    /// to be asked (`--yes`) confirms nothing.
    pub(crate) fn join_found(
        &self,
        shell: Shell,
        client: &Client,
        found: Found,
        fingerprint: Option<&str>,
    ) -> Result<Joined, Failure> {
        shell.say(format_args!(
            "{} is what {} names",
            found.server, found.place
        ));
        let question = "Nothing proves that it is the right one. Do you know it?";
        let is_known = found.is_proven
            || fingerprint.is_some()
            || (!self.yes && shell.confirm(question) == Some(true));
        // Without anybody's word it is refused, and not even asked whom it trusts.
        let (found, policy) = if is_known {
            let policy = self.policy(shell, client, &found.server, fingerprint)?;
            (found.confirmed(), policy)
        } else {
            (found, JoinPolicy::TrustOnFirstUse)
        };
        Ok(client.init_found(&found, &policy)?)
    }

    fn policy(
        &self,
        shell: Shell,
        client: &Client,
        server: &ServerUrl,
        fingerprint: Option<&str>,
    ) -> Result<JoinPolicy, Failure> {
        let known = client.known_hierarchy()?;
        Ok(match fingerprint {
            Some(fingerprint) => JoinPolicy::Pinned(fingerprint.to_owned()),
            // Another hierarchy than the known one is refused by the client.
            None if known.is_some() => JoinPolicy::TrustOnFirstUse,
            None if !server.origin().is_private() => JoinPolicy::TrustOnFirstUse,
            None => self.believe(shell, client, server)?,
        })
    }

    /// Shows a server's anchors and has them believed or not. What was shown is pinned.
    fn believe(
        &self,
        shell: Shell,
        client: &Client,
        server: &ServerUrl,
    ) -> Result<JoinPolicy, Failure> {
        let url = format!("{server}{BUNDLE_PATH}");
        let answer = client.transport().get(&url, None);
        let bundle = match answer {
            Ok(answer) if answer.status == 200 => {
                serde_json::from_slice::<Bundle>(&answer.body).ok()
            }
            _ => None,
        };
        let policy = JoinPolicy::TrustOnFirstUse;
        let hierarchy = bundle.and_then(|bundle| Hierarchy::from_bundle(&bundle, &policy).ok());
        // The client says why there is none.
        let Some(hierarchy) = hierarchy else {
            return Ok(policy);
        };
        let anchors = hierarchy.fingerprints();
        for (name, fingerprint) in &anchors {
            shell.say(format_args!(
                "{server} has the trust anchor {} {fingerprint}",
                plain(name)
            ));
        }
        let pinned = match anchors.as_slice() {
            [(_, fingerprint)] => JoinPolicy::Pinned(fingerprint.clone()),
            _ => policy,
        };
        // Whoever answers on this very machine could as well be asked for the fingerprint.
        if self.yes || server.origin().is_loopback() {
            return Ok(pinned);
        }
        match shell.confirm("Do you trust it with deciding who may open your files?") {
            Some(true) => Ok(pinned),
            answer => {
                let fingerprint = anchors.first().map(|(_, print)| print.as_str());
                let message = match answer {
                    Some(_) => format!("{server} is not trusted"),
                    None => format!("{server} is met for the first time and nobody can be asked"),
                };
                let hint = format!(
                    "compare with your administrator, then: rms init --server {server} \
                     --fingerprint {}",
                    fingerprint.unwrap_or("HEX")
                );
                Err(Failure::new(
                    Exit::Untrusted,
                    "hierarchy-not-confirmed",
                    message,
                    hint,
                ))
            }
        }
    }

    /// The network, for what is not asked by a client.
    pub(crate) fn transport(&self) -> Result<HttpTransport, Failure> {
        transport(&self.discovery(Shell::default())?)
    }
}

/// The network: further authorities and proxy as they are set.
fn transport(discovery: &Discovery) -> Result<HttpTransport, Failure> {
    let failed = |error| Failure::from(openrms_client::Error::from(error));
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))
    };
    let ca_file = discovery.ca_file().map_err(failed)?;
    let proxy = discovery.proxy().map_err(failed)?;
    let no_proxy = discovery.no_proxy().map_err(failed)?;
    HttpTransport::new(&HttpOptions {
        extra_roots: ca_file.map(|(path, _)| read(path)).transpose()?,
        proxy: proxy.map(|(proxy, _)| proxy),
        no_proxy: no_proxy.map(|(list, _)| list).unwrap_or_default(),
        ..HttpOptions::default()
    })
    .map_err(|error| Failure::new(Exit::Failed, "network-setup", error.to_string(), ""))
}

/// A client over a folder, to be built.
pub(crate) fn client_of(
    home: &Path,
    transport: HttpTransport,
    discovery: Discovery,
    credentials: impl CredentialSource + 'static,
    passphrase: impl LockboxSecretSource + 'static,
) -> Result<ClientBuilder, Failure> {
    let home = Home::open(home).map_err(openrms_client::Error::from)?;
    let machine = machine(&home)?;
    Ok(Client::builder(home, machine, transport)
        .discovery(discovery)
        .credentials(credentials)
        .lockbox_passphrase(passphrase))
}

/// `$RMS_HOME`, else `$XDG_DATA_HOME/openrms`, else `~/.local/share/openrms`; on Windows
/// `%LOCALAPPDATA%\OpenRMS`, which is the person's alone as all of the profile is. Below all but the
/// first one for each computer, where the machine's settings say that home folders are shared.
fn home(machine: &MachineSettings) -> Result<PathBuf, Failure> {
    if let Some(home) = std::env::var_os("RMS_HOME").filter(|home| !home.is_empty()) {
        return Ok(home.into());
    }
    let [variable, below_home, name] = HOME;
    let home = user_folder(variable, below_home)?.join(name);
    if !machine.store_per_computer() {
        return Ok(home);
    }
    let computer = MachineIdentity::of_this_process().map_err(|error| {
        let message = format!("this computer has no identity to name a folder after: {error}");
        let hint = "systemd-machine-id-setup makes one";
        Failure::new(Exit::Failed, "no-machine-id", message, hint)
    })?;
    Ok(home.join("computers").join(computer.computer_name()))
}

/// A folder of the XDG base directory specification, or one of Windows for a person's data.
pub(crate) fn user_folder(variable: &str, below_home: &str) -> Result<PathBuf, Failure> {
    if let Some(folder) = std::env::var_os(variable).map(PathBuf::from)
        && folder.is_absolute()
    {
        return Ok(folder);
    }
    std::env::home_dir()
        .filter(|home| home.is_absolute())
        .map(|home| home.join(below_home))
        .ok_or_else(|| {
            let message = "it is not known where your home folder is";
            Failure::new(Exit::Failed, "no-home", message, "set RMS_HOME or HOME")
        })
}

/// The machine's identity; on a machine without one, as in small containers, one that is kept in
/// the folder.
fn machine(home: &Home) -> Result<MachineIdentity, Failure> {
    if let Ok(machine) = MachineIdentity::of_this_process() {
        return Ok(machine);
    }
    let path = home.path().join("machine-id");
    let io = |error| Failure::io("read", &path, &error);
    if !path.exists() {
        let id = random_text()?;
        let lock = home.lock().map_err(openrms_client::Error::from)?;
        lock.write("machine-id", id.as_bytes())
            .map_err(openrms_client::Error::from)?;
    }
    let id = fs::read_to_string(&path).map_err(io)?;
    MachineIdentity::of_this_person(&id).map_err(io)
}

/// 32 random hexadecimal digits.
pub(crate) fn random_text() -> Result<Zeroizing<String>, Failure> {
    let bytes = openrms_crypto::random::guid_bytes().map_err(|error| {
        Failure::new(
            Exit::Failed,
            "no-randomness",
            format!("no random numbers: {error}"),
            "",
        )
    })?;
    Ok(Zeroizing::new(format!(
        "{:032x}",
        u128::from_be_bytes(bytes)
    )))
}

/// Finds credentials when they are first needed, and asks for a password only once.
struct Prompt {
    shell: Shell,
    options: Connection,
    known: Mutex<Option<Credentials>>,
}

impl CredentialSource for Prompt {
    fn credentials(
        &self,
        origin: &Origin,
        user: Option<&str>,
        offered: Option<&[Scheme]>,
    ) -> Option<Credentials> {
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.is_none() {
            *known = self.find(origin, user, offered);
        }
        known.clone()
    }
}

impl Prompt {
    /// A token before anything else, then whom the command names, then the ticket of whoever is
    /// logged on, then whoever signed in last and has to be asked for a password.
    fn find(
        &self,
        origin: &Origin,
        user: Option<&str>,
        offered: Option<&[Scheme]>,
    ) -> Option<Credentials> {
        if let Some(token) = secret_variable("RMS_TOKEN") {
            return Some(Credentials::Bearer(secret(&token)));
        }
        let named = self.options.user();
        if named.is_none() && offered.is_none_or(|offered| offered.contains(&Scheme::Negotiate)) {
            // Whether tickets are taken is known once the server has said so.
            offered?;
            return Some(Credentials::Negotiate);
        }
        let takes_passwords = |offered: &[Scheme]| offered.contains(&Scheme::Basic);
        if offered.is_some_and(|offered| !offered.is_empty() && !takes_passwords(offered)) {
            return None;
        }
        let user = named.or_else(|| user.map(str::to_owned))?;
        let password = match (&self.options.password_file, secret_variable("RMS_PASSWORD")) {
            (Some(path), _) => first_line(path)
                .inspect_err(|failure| self.shell.complain(failure))
                .ok()?,
            (None, Some(password)) => password,
            (None, None) => self
                .shell
                .password(&format!("Password of {} at {origin}", plain(&user)))?,
        };
        Some(Credentials::Basic {
            user,
            password: secret(&password),
        })
    }
}

/// Finds the passphrase of the lockbox: `RMS_LOCKBOX_PASSPHRASE`, a credential of the service
/// manager, or a person.
struct Passphrase {
    shell: Shell,
}

impl LockboxSecretSource for Passphrase {
    fn passphrase(&self, fingerprint: &str) -> Option<Secret> {
        if let Some(known) = self.new_passphrase() {
            return Some(known);
        }
        let prompt = format!("Passphrase of the lockbox {}", plain(fingerprint));
        Some(secret(&self.shell.password(&prompt)?))
    }

    fn new_passphrase(&self) -> Option<Secret> {
        given_passphrase()
            .inspect_err(|failure| self.shell.complain(failure))
            .ok()
            .flatten()
    }
}

/// The passphrase that nobody needs to be asked for: `RMS_LOCKBOX_PASSPHRASE`, or the credential
/// `openrms.lockbox` of systemd (`LoadCredentialEncrypted=`, which can bind it to a TPM).
pub(crate) fn given_passphrase() -> Result<Option<Secret>, Failure> {
    if let Some(text) = secret_variable("RMS_LOCKBOX_PASSPHRASE") {
        return Ok(Some(secret(&text)));
    }
    let folder = text_variable("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let file = folder.map(|folder| folder.join("openrms.lockbox"));
    match file.filter(|file| file.exists()) {
        Some(file) => Ok(Some(secret(&first_line(&file)?)).filter(|text| !text.is_empty())),
        None => Ok(None),
    }
}

/// What the administrator of this machine says, or what stands in the folder in `RMS_CONFIG_DIR` alone.
/// Holds this process to FIPS where that is said.
fn machine_settings() -> Result<MachineSettings, Failure> {
    let settings = match text_variable("RMS_CONFIG_DIR") {
        Some(folder) => MachineSettings::read(Path::new(&folder)),
        None => settings_of_this_system(),
    };
    let settings = settings.map_err(openrms_client::Error::from)?;
    if settings.fips() {
        openrms_crypto::fips::require().map_err(|error| {
            let hint =
                "install the program that was built so, or ask whoever looks after this machine";
            Failure::new(Exit::Failed, "fips-no-module", error.to_string(), hint)
        })?;
    }
    Ok(settings)
}

/// What variables of the environment say. `HTTP_PROXY` in capitals is not looked at, as everywhere:
/// in a CGI program it is what a stranger says.
fn environment() -> Result<Spoken, Failure> {
    let proxies = [
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "all_proxy",
        "ALL_PROXY",
    ];
    let proxy = proxies.iter().find(|name| text_variable(name).is_some());
    Ok(Spoken {
        server: variable(
            "RMS_SERVER",
            "set it to the URL of the service, such as https://rms.example.com",
            str::parse,
        )?,
        client_level: variable(
            "RMS_CLIENT_LEVEL",
            "unset it to be of the newest",
            str::parse,
        )?,
        ca_file: word(
            text_variable("RMS_CA_FILE").map(PathBuf::from),
            "RMS_CA_FILE",
        ),
        proxy: match proxy {
            Some(name) => variable(name, "unset it to use none", str::parse)?,
            None => None,
        },
        no_proxy: match text_variable("no_proxy") {
            Some(_) => variable("no_proxy", NO_PROXY_HINT, NoProxy::parse_list)?,
            None => variable("NO_PROXY", NO_PROXY_HINT, NoProxy::parse_list)?,
        },
    })
}

/// A variable of the environment as what it means; `hint` is for one that means nothing.
fn variable<T, E: std::fmt::Display>(
    name: &'static str,
    hint: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<Word<T>>, Failure> {
    let value = text_variable(name)
        .map(|text| parse(&text).map_err(|error| Failure::usage(format!("{name}: {error}"), hint)));
    Ok(word(value.transpose()?, name))
}

fn word<T>(value: Option<T>, by: &'static str) -> Option<Word<T>> {
    value.map(|value| Word { value, by })
}

/// A variable of the environment; an empty one is none.
pub(crate) fn text_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable of the environment that holds a secret.
pub(crate) fn secret_variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .map(Zeroizing::new)
}

/// The first line of a file that holds a secret.
pub(crate) fn first_line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// A text as a secret.
pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// In `/etc/openrms`, and above what packages say.
#[cfg(unix)]
fn settings_of_this_system() -> Result<MachineSettings, MachineSettingsError> {
    let packaged = Path::new("/usr/share/openrms/client.d");
    MachineSettings::read_over(packaged, Path::new("/etc/openrms"))
}

/// In `%ProgramFiles%\OpenRMS`, where only administrators may write, and in the registry.
#[cfg(windows)]
fn settings_of_this_system() -> Result<MachineSettings, MachineSettingsError> {
    let programs = text_variable("ProgramFiles").unwrap_or_else(|| r"C:\Program Files".to_owned());
    MachineSettings::read_with_registry(&Path::new(&programs).join("OpenRMS"))
}

/// The variable that names the person's data folder, where it is without that, and ours in it.
#[cfg(unix)]
const HOME: [&str; 3] = ["XDG_DATA_HOME", ".local/share", "openrms"];
#[cfg(windows)]
const HOME: [&str; 3] = ["LOCALAPPDATA", r"AppData\Local", "OpenRMS"];
const NO_PROXY_HINT: &str = "hosts, domains, addresses and networks, separated by commas";
