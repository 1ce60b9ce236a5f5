//! Where a PostgreSQL database is: `postgres://user@host:port/database?sslmode=verify-full`, as
//! its own programs write it. The password comes apart from it.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use zeroize::Zeroizing;

/// A database of a PostgreSQL server. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresLocation {
    user: String,
    host: Host,
    port: u16,
    database: String,
    tls: Tls,
    root_certificate: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
    connections: NonZeroU32,
    password: Option<Zeroizing<String>>,
    /// Where tables are looked for, when it is not the server that says so.
    schema: Option<&'static str>,
}

/// Why a text names no PostgreSQL database. The text itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// It begins with something else.
    #[error("a database's URL begins with postgres://")]
    Scheme,
    /// There is a password in it, where every log and process list would show it.
    #[error("a database's URL must not contain the password: name a file with it instead")]
    Password,
    /// A part is missing.
    #[error("the database's URL lacks its {0}")]
    Lacks(&'static str),
    /// A part is not what it should be.
    #[error("the {0} of the database's URL is malformed")]
    Malformed(&'static str),
    /// A parameter is unknown. Leaving it out could mean less than was asked for.
    #[error("the parameter {0:?} of the database's URL is not known")]
    Unknown(String),
}

impl PostgresLocation {
    /// The password for signing in, where the server asks for one. The driver keeps a copy for
    /// later connections, which is not wiped.
    #[must_use]
    pub fn with_password(self, password: Zeroizing<String>) -> Self {
        Self {
            password: Some(password),
            ..self
        }
    }

    /// The most connections a server of the cluster keeps to it, those that wait for changes
    /// apart: `connections` in the URL, 8 where it is not given.
    pub fn connections(&self) -> NonZeroU32 {
        self.connections
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// The same server, at a database that every server has.
    pub(super) fn for_maintenance(&self) -> Self {
        let database = match self.database.as_str() {
            "postgres" => "template1",
            _ => "postgres",
        };
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    pub(super) fn with_one_connection(self) -> Self {
        Self {
            connections: NonZeroU32::MIN,
            ..self
        }
    }

    /// The same database, with tables in a schema of their own.
    pub(super) fn in_schema(self, schema: &'static str) -> Self {
        Self {
            schema: Some(schema),
            ..self
        }
    }

    /// What the driver is told. Everything that it would take from the environment is set.
    pub(super) fn options(&self) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(&self.user)
            .password(self.password.as_ref().map_or("", |password| password))
            .database(&self.database)
            .application_name(APPLICATION)
            .ssl_mode(self.tls.mode());
        options = match &self.host {
            Host::Tcp(name) => options.host(name),
            Host::Socket(folder) => options.socket(folder),
        };
        if let Some(file) = &self.root_certificate {
            options = options.ssl_root_cert(file);
        }
        if let Some((certificate, key)) = &self.client_certificate {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        if let Some(schema) = self.schema {
            options = options.options([("search_path", schema)]);
        }
        options
    }
}

impl FromStr for PostgresLocation {
    type Err = LocationError;

    fn from_str(url: &str) -> Result<Self, LocationError> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or(LocationError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        // Looked for before all else: what is wrong elsewhere must not be said with it in view.
        if user.contains(':') || parameters(query).any(|(name, _)| name == "password") {
            return Err(LocationError::Password);
        }
        let user = decode(user).ok_or(LocationError::Malformed("user"))?;
        let database = decode(database).ok_or(LocationError::Malformed("database"))?;
        let (mut host, port) = host_and_port(address)?;
        let (mut tls, mut root_certificate) = (None, None);
        let (mut certificate, mut key) = (None, None);
        let mut connections = CONNECTIONS;
        for (name, value) in parameters(query) {
            let value = decode(value).ok_or(LocationError::Malformed("query"))?;
            match name {
                "host" if value.starts_with('/') => host = Some(Host::Socket(value.into())),
                "host" => return Err(LocationError::Malformed("host")),
                "sslmode" => {
                    tls = Some(Tls::named(&value).ok_or(LocationError::Malformed("sslmode"))?);
                }
                "sslrootcert" => root_certificate = Some(PathBuf::from(value)),
                "sslcert" => certificate = Some(PathBuf::from(value)),
                "sslkey" => key = Some(PathBuf::from(value)),
                "connections" => {
                    connections = value
                        .parse()
                        .ok()
                        .filter(|&number| number <= MOST_CONNECTIONS)
                        .ok_or(LocationError::Malformed("connections"))?;
                }
                other => return Err(LocationError::Unknown(other.to_owned())),
            }
        }
        if user.is_empty() {
            return Err(LocationError::Lacks("user"));
        }
        if database.is_empty() {
            return Err(LocationError::Lacks("database"));
        }
        let host = host.ok_or(LocationError::Lacks("host"))?;
        Ok(Self {
            tls: tls.unwrap_or_else(|| host.default_tls()),
            client_certificate: match (certificate, key) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                (None, None) => None,
                (Some(_), None) => return Err(LocationError::Lacks("sslkey")),
                (None, Some(_)) => return Err(LocationError::Lacks("sslcert")),
            },
            user,
            host,
            port,
            database,
            root_certificate,
            connections,
            password: None,
            schema: None,
        })
    }
}

impl fmt::Display for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, database) = (encode(&self.user), encode(&self.database));
        write!(f, "postgres://{user}@")?;
        let mut separator = '?';
        let mut parameter = |f: &mut fmt::Formatter<'_>, name: &str, value: &str| {
            write!(f, "{separator}{name}={}", encode(value))?;
            separator = '&';
            Ok(())
        };
        match &self.host {
            Host::Tcp(name) if name.contains(':') => {
                write!(f, "[{name}]:{}/{database}", self.port)?;
            }
            Host::Tcp(name) => write!(f, "{name}:{}/{database}", self.port)?,
            Host::Socket(folder) => {
                write!(f, ":{}/{database}", self.port)?;
                parameter(f, "host", &folder.to_string_lossy())?;
            }
        }
        if self.tls != self.host.default_tls() {
            parameter(f, "sslmode", self.tls.name())?;
        }
        if let Some(file) = &self.root_certificate {
            parameter(f, "sslrootcert", &file.to_string_lossy())?;
        }
        if let Some((certificate, key)) = &self.client_certificate {
            parameter(f, "sslcert", &certificate.to_string_lossy())?;
            parameter(f, "sslkey", &key.to_string_lossy())?;
        }
        if self.connections != CONNECTIONS {
            parameter(f, "connections", &self.connections.to_string())?;
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// A name or an address.
    Tcp(String),
    /// The folder with the server's Unix socket.
    Socket(PathBuf),
}

impl Host {
    /// Whoever is not on this machine is only believed with a certificate.
    fn default_tls(&self) -> Tls {
        match self {
            Self::Socket(_) => Tls::Disable,
            Self::Tcp(name) if name == "localhost" => Tls::Prefer,
            Self::Tcp(name) => match name.parse::<IpAddr>() {
                Ok(address) if address.is_loopback() => Tls::Prefer,
                _ => Tls::VerifyFull,
            },
        }
    }
}

/// What TLS has to be, under the names that PostgreSQL's own programs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Tls {
    const ALL: [Self; 5] = [
        Self::Disable,
        Self::Prefer,
        Self::Require,
        Self::VerifyCa,
        Self::VerifyFull,
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tls| tls.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn mode(self) -> PgSslMode {
        match self {
            Self::Disable => PgSslMode::Disable,
            Self::Prefer => PgSslMode::Prefer,
            Self::Require => PgSslMode::Require,
            Self::VerifyCa => PgSslMode::VerifyCa,
            Self::VerifyFull => PgSslMode::VerifyFull,
        }
    }
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn host_and_port(address: &str) -> Result<(Option<Host>, u16), LocationError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest
                .split_once(']')
                .ok_or(LocationError::Malformed("host"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => port,
                None if after.is_empty() => "",
                None => return Err(LocationError::Malformed("host")),
            };
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(LocationError::Malformed("host"));
            }
            (host, port)
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    let port = match port {
        "" => PORT,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits
            .parse()
            .map_err(|_| LocationError::Malformed("port"))?,
        _ => return Err(LocationError::Malformed("port")),
    };
    let host = decode(host).ok_or(LocationError::Malformed("host"))?;
    Ok(match host.as_str() {
        "" => (None, port),
        folder if folder.starts_with('/') => (Some(Host::Socket(folder.into())), port),
        name if name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "/@,".contains(c)) =>
        {
            return Err(LocationError::Malformed("host"));
        }
        name => (Some(Host::Tcp(name.to_owned())), port),
    })
}

/// Resolves `%41`. A zero character is none that a database's names can have.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

/// What the server of databases calls our connections.
pub(super) const APPLICATION: &str = "openrms";
const PORT: u16 = 5432;
const CONNECTIONS: NonZeroU32 = NonZeroU32::new(8).unwrap();
const MOST_CONNECTIONS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(url: &str) -> Result<PostgresLocation, LocationError> {
        url.parse()
    }

    #[test]
    fn a_location_is_written_as_it_was_read() {
        for (url, written) in [
            (
                "postgresql://rms@db.corp.example/openrms",
                "postgres://rms@db.corp.example:5432/openrms",
            ),
            (
                "postgres://r%40ms@[::1]:6543/a%20b?sslmode=require&connections=3",
                "postgres://r%40ms@[::1]:6543/a%20b?sslmode=require&connections=3",
            ),
            (
                "postgres://rms@/openrms?host=/run/postgresql",
                "postgres://rms@:5432/openrms?host=/run/postgresql",
            ),
            (
                "postgres://rms@%2Frun%2Fpg:7/openrms",
                "postgres://rms@:7/openrms?host=/run/pg",
            ),
            (
                "postgres://rms@db/x?sslrootcert=/etc/ca.pem&sslcert=/c&sslkey=/k",
                "postgres://rms@db:5432/x?sslrootcert=/etc/ca.pem&sslcert=/c&sslkey=/k",
            ),
        ] {
            let location = parse(url).unwrap();
            assert_eq!(location.to_string(), written);
            assert_eq!(parse(written).unwrap(), location);
        }
    }

    #[test]
    fn whoever_is_elsewhere_must_show_a_certificate_unless_told_otherwise() {
        for (host, tls) in [
            ("db.corp.example", Tls::VerifyFull),
            ("10.0.0.1", Tls::VerifyFull),
            ("localhost.corp.example", Tls::VerifyFull),
            ("localhost", Tls::Prefer),
            ("127.0.0.9", Tls::Prefer),
            ("[::1]", Tls::Prefer),
            ("%2Frun", Tls::Disable),
        ] {
            let location = parse(&format!("postgres://u@{host}/d")).unwrap();
            assert_eq!(location.tls, tls, "{host}");
        }
        assert_eq!(
            parse("postgres://u@db/d?sslmode=disable").unwrap().tls,
            Tls::Disable
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        use LocationError::{Lacks, Malformed, Password, Scheme, Unknown};
        for (url, error) in [
            ("mysql://u@h/d", Scheme),
            ("/var/lib/openrms.db", Scheme),
            ("postgres://u:secret@h/d", Password),
            ("postgres://u:@h:x/d", Password),
            ("postgres://u@h/d?password=secret", Password),
            ("postgres://h/d", Lacks("user")),
            ("postgres://u@h", Lacks("database")),
            ("postgres://u@/d", Lacks("host")),
            ("postgres://u@h/d?sslcert=/a", Lacks("sslkey")),
            ("postgres://u@h:99999/d", Malformed("port")),
            ("postgres://u@h:+1/d", Malformed("port")),
            ("postgres://u@[::1/d", Malformed("host")),
            ("postgres://u@[::1]x/d", Malformed("host")),
            ("postgres://u@a,b/d", Malformed("host")),
            ("postgres://u@h/%zz", Malformed("database")),
            ("postgres://u@h/%00", Malformed("database")),
            ("postgres://u@h/d?sslmode=allow", Malformed("sslmode")),
            ("postgres://u@h/d?connections=0", Malformed("connections")),
            ("postgres://u@h/d?host=h", Malformed("host")),
            (
                "postgres://u@h/d?sslMode=disable",
                Unknown("sslMode".to_owned()),
            ),
            ("postgres://u@h/d?options=-c", Unknown("options".to_owned())),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let password = Zeroizing::new("s3cret".to_owned());
        let location = parse("postgres://u@h/d").unwrap().with_password(password);
        let shown = format!("{location} {location:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        for url in [
            "postgres://u:s3cret@h/d",
            "postgres://u@h/d?password=s3cret",
        ] {
            let error = parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read_and_written_alike(text in "(postgres://)?[ -~é]{0,60}") {
            if let Ok(location) = parse(&text) {
                prop_assert_eq!(parse(&location.to_string()), Ok(location));
            }
        }
    }
}
