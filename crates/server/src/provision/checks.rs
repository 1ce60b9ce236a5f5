//! What is looked into before a cluster is set up, while nothing is made yet: what turns out wrong
//! later is in every license by then, or costs a second set-up.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use openrms_store::Found;
use serde::Serialize;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::url::BaseUrl;
use super::{Authority, ProvisionError, RootOptions};
use crate::clock;
use crate::database::{Database, DatabaseServer};
use crate::http;
use crate::key_protection::KeyProtection;
use crate::open::{OpenError, blocking};
use crate::outbound;

/// One thing that was looked into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which stays the same.
    pub name: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub about: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Perhaps intended, perhaps not.
    Doubtful,
    /// The cluster would not work.
    Bad,
}

/// Looks into everything that `options` name. Changes nothing; takes seconds when others do not
/// answer.
pub fn checks(options: &RootOptions) -> Result<Vec<Check>, ProvisionError> {
    let url = BaseUrl::parse(&options.url)?;
    let mut found = vec![name_resolves(&url), clock()];
    found.extend(ports(options, &url));
    found.push(url_unused(&url));
    if let Some(server) = &options.database {
        found.push(database(server));
    }
    if let Some(tls) = &options.tls {
        found.push(certificate(tls, &url));
    }
    if let Authority::Enroll(service) | Authority::Root(service) = &options.authority {
        found.push(answers("authority", service, options.proxy.as_deref()));
    }
    if let KeyProtection::SecurityModule { library, .. } = &options.keys {
        found.push(module(library));
    }
    Ok(found)
}

/// Clients find the server by this name for as long as its content lives.
fn name_resolves(url: &BaseUrl) -> Check {
    let check = |verdict, about| Check {
        name: "name-resolves",
        verdict,
        about,
    };
    let host = url.host.trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback()) {
        let about = format!("{host} is an address: it can never move to another machine");
        return check(Verdict::Doubtful, about);
    }
    match (host, url.port).to_socket_addrs() {
        Ok(addresses) => {
            let mut addresses: Vec<_> = addresses.map(|address| address.ip()).collect();
            addresses.sort_unstable();
            addresses.dedup();
            let Some(first) = addresses.first() else {
                return check(Verdict::Bad, format!("{host} has no address"));
            };
            if addresses.iter().any(|ip| is_own(*ip)) {
                check(Verdict::Good, format!("{host} is this machine"))
            } else {
                let about = format!("{host} is {first}, which must hand on to this machine");
                check(Verdict::Good, about)
            }
        }
        Err(error) => {
            let about = format!("{host}: {error}; enter it in DNS, or in the hosts file");
            check(Verdict::Bad, about)
        }
    }
}

/// Certificates are valid from and until an instant of this clock.
fn clock() -> Check {
    let now = clock::now();
    let (verdict, about) = if now.unix() < WRITTEN {
        (
            Verdict::Bad,
            format!("{now} is before this program was written"),
        )
    } else {
        (Verdict::Good, now.to_string())
    };
    Check {
        name: "clock",
        verdict,
        about,
    }
}

fn ports(options: &RootOptions, url: &BaseUrl) -> Vec<Check> {
    let listen = super::OneServer::from(options).addresses(url);
    let checked = listen.into_iter().map(|address| {
        let (verdict, about) = match TcpListener::bind(address) {
            Ok(_) => (Verdict::Good, format!("{address} is free")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let hint = "below 1024 the service manager opens it (rmsd.socket), or it takes \
                            CAP_NET_BIND_SERVICE";
                (Verdict::Doubtful, format!("{address}: {error}; {hint}"))
            }
            Err(error) => {
                let hint = match error.kind() {
                    io::ErrorKind::AddrInUse => "; end what listens there",
                    _ => "",
                };
                (Verdict::Bad, format!("{address}: {error}{hint}"))
            }
        };
        Check {
            name: "port-free",
            verdict,
            about,
        }
    });
    checked.collect()
}

/// Whoever answers at the URL already would get what is meant for the cluster.
fn url_unused(url: &BaseUrl) -> Check {
    let host = url.host.trim_matches(['[', ']']);
    let reached = (host, url.port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .and_then(|address| TcpStream::connect_timeout(&address, PATIENCE).ok());
    let (verdict, about) = if reached.is_some() {
        let about = format!(
            "something answers at {}:{} already: a balancer, or another server",
            url.host, url.port
        );
        (Verdict::Doubtful, about)
    } else {
        (Verdict::Good, "nobody answers there yet".to_owned())
    };
    Check {
        name: "url-unused",
        verdict,
        about,
    }
}

/// What is somebody else's is never touched, and what cannot be reached now cannot be later.
fn database(server: &DatabaseServer) -> Check {
    let check = |verdict, about| Check {
        name: "database",
        verdict,
        about,
    };
    let location = match Database::Server(server.clone()).location() {
        Ok(location) => location,
        Err(error) => return check(Verdict::Bad, error.to_string()),
    };
    let found = blocking(async || Ok::<_, OpenError>(location.inspect().await?));
    match found {
        Ok(Found::Missing) => {
            let about = format!("{location} is not there yet; it will be made if the user may");
            check(Verdict::Good, about)
        }
        Ok(Found::Empty) => check(Verdict::Good, format!("{location} is empty")),
        Ok(Found::Cluster) => {
            let about = format!("{location} has tables of a cluster already, which are kept");
            check(Verdict::Doubtful, about)
        }
        Ok(Found::Foreign) => {
            let about = format!("{location} has tables of something else: name an empty one");
            check(Verdict::Bad, about)
        }
        Err(error) => check(Verdict::Bad, format!("{location}: {error}")),
    }
}

/// Clients refuse a server whose certificate is for another name.
fn certificate(tls: &crate::config::Tls, url: &BaseUrl) -> Check {
    let check = |verdict, about| Check {
        name: "tls-certificate",
        verdict,
        about,
    };
    if let Err(error) = http::acceptor(tls, None) {
        return check(Verdict::Bad, error.to_string());
    }
    let Some(der) = http::first_certificate(tls) else {
        return check(Verdict::Bad, "it cannot be read".into());
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return check(Verdict::Bad, "it cannot be read".into());
    };
    if !certificate.validity().is_valid() {
        let until = certificate.validity().not_after;
        return check(Verdict::Bad, format!("it is not valid now (until {until})"));
    }
    let host = url.host.trim_matches(['[', ']']);
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice());
    let fits = names.unwrap_or_default().iter().any(|name| match name {
        GeneralName::DNSName(name) => fits(name, host),
        GeneralName::IPAddress(bytes) => host.parse::<IpAddr>().is_ok_and(|ip| match ip {
            IpAddr::V4(ip) => ip.octets() == **bytes,
            IpAddr::V6(ip) => ip.octets() == **bytes,
        }),
        _ => false,
    });
    if fits {
        check(Verdict::Good, format!("it is for {host}"))
    } else {
        check(Verdict::Bad, format!("it is not for {host}"))
    }
}

/// Whether somebody answers at a URL, and when they think it is.
fn answers(name: &'static str, url: &str, proxy: Option<&str>) -> Check {
    let check = |verdict, about| Check {
        name,
        verdict,
        about,
    };
    let agent = match outbound::agent(None, proxy, PATIENCE * 5) {
        Ok(agent) => agent,
        Err(error) => return check(Verdict::Bad, error.to_string()),
    };
    let answer = match agent.get(url).call() {
        Ok(answer) => answer,
        Err(error) => return check(Verdict::Bad, format!("{url}: {error}")),
    };
    let date = answer
        .headers()
        .get("date")
        .and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let skew = theirs.map(|theirs| (theirs.timestamp().as_second() - clock::now().unix()).abs());
    match skew {
        Some(seconds) if seconds > MOST_SKEW => check(
            Verdict::Bad,
            format!("{url} answers, but its clock is {seconds} seconds from this one"),
        ),
        _ => check(Verdict::Good, format!("{url} answers")),
    }
}

fn module(library: &std::path::Path) -> Check {
    let (verdict, about) = match library.metadata() {
        Ok(_) => (Verdict::Good, format!("{} is there", library.display())),
        Err(error) => (Verdict::Bad, format!("{}: {error}", library.display())),
    };
    Check {
        name: "security-module",
        verdict,
        about,
    }
}

/// Whether a name of a certificate, perhaps with a wildcard for its first label, is for a host.
fn fits(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => host
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// Whether an address is one of this machine's.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

const PATIENCE: Duration = Duration::from_secs(2);
/// Clocks that differ by more make certificates that are not valid yet where they are looked at.
const MOST_SKEW: i64 = 300;
/// 2026-11-01.
const WRITTEN: i64 = 1_793_491_200;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(options: &RootOptions, name: &str) -> Verdict {
        let found = checks(options).unwrap();
        let found = found.into_iter().find(|check| check.name == name);
        found.unwrap_or_else(|| panic!("no check {name}")).verdict
    }

    #[test]
    fn a_port_that_is_taken_and_a_url_that_is_answered_are_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", taken.local_addr().unwrap());
        let options = RootOptions::new("/nowhere", &url);
        assert_eq!(verdict(&options, "port-free"), Verdict::Bad);
        assert_eq!(verdict(&options, "url-unused"), Verdict::Doubtful);
        drop(taken);
        assert_eq!(verdict(&options, "port-free"), Verdict::Good);
        assert_eq!(verdict(&options, "url-unused"), Verdict::Good);
        assert_eq!(verdict(&options, "name-resolves"), Verdict::Good);
        assert_eq!(verdict(&options, "clock"), Verdict::Good);
    }

    #[test]
    fn a_database_that_does_not_answer_is_bad() {
        let nobody = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let url = format!("postgres://rms@{nobody}/openrms");
        let options = RootOptions {
            database: Some(DatabaseServer::new(&url, crate::credential::Credential::None).unwrap()),
            ..RootOptions::new("/nowhere", "http://127.0.0.1:1")
        };
        assert_eq!(verdict(&options, "database"), Verdict::Bad);
    }

    #[test]
    fn a_name_that_nobody_knows_is_bad() {
        let options = RootOptions::new("/nowhere", "https://rms.invalid");
        assert_eq!(verdict(&options, "name-resolves"), Verdict::Bad);
    }

    #[test]
    fn an_authority_that_does_not_answer_and_one_with_another_clock_are_bad() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let options = RootOptions {
            authority: Authority::Enroll(format!("http://{address}/enroll")),
            ..RootOptions::new("/nowhere", "http://127.0.0.1:1")
        };
        let answer = std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut peer, _) = listener.accept().unwrap();
            let _ = peer.read(&mut [0; 4096]).unwrap();
            let head = "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
                        Content-Length: 0\r\nConnection: close\r\n\r\n";
            peer.write_all(head.as_bytes()).unwrap();
        });
        assert_eq!(verdict(&options, "authority"), Verdict::Bad);
        answer.join().unwrap();
        // Nobody listens there any more.
        assert_eq!(verdict(&options, "authority"), Verdict::Bad);
    }

    #[test]
    fn names_of_certificates_fit_their_hosts_and_wildcards_one_label() {
        assert!(fits("RMS.example.com", "rms.example.com"));
        assert!(fits("*.example.com", "rms.example.com"));
        assert!(!fits("*.example.com", "a.rms.example.com"));
        assert!(!fits("*.example.com", "example.com"));
        assert!(!fits("other.example.com", "rms.example.com"));
    }
}
