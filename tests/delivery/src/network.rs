//! A network without a way out: machines on it reach each other at 127.0.0.1, and nobody else.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// A network namespace with nothing but loopback, gone when dropped.
#[derive(Debug)]
pub struct Network(String);

impl Network {
    /// None where this user may not make one, which is said.
    pub fn new() -> Option<Rc<Self>> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Relaxed);
        let name = format!("delivery-{}-{next}", std::process::id());
        if !ip(&["netns", "add", &name]) {
            println!("skipped: network namespaces take root and iproute2");
            return None;
        }
        let network = Self(name);
        assert!(ip(&["-n", &network.0, "link", "set", "lo", "up"]));
        Some(Rc::new(network))
    }

    /// A program of this machine, on that network.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let done = Command::new("ip").args(arguments).output();
    done.is_ok_and(|done| done.status.success())
}
