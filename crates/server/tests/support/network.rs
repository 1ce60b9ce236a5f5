//! Machines of their own for servers: network namespaces on a bridge of their own, which only this
//! test sees.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::Ipv4Addr;
use std::process::{Command, Output};

/// A bridge, and what is connected to it. Gone when dropped.
pub struct Network {
    name: String,
    subnet: u8,
    machines: Vec<String>,
}

impl Network {
    /// None where this user may not make one; says so.
    pub fn new() -> Option<Self> {
        let id = std::process::id();
        let mut network = Self {
            name: format!("rms{:x}", id % 0xf_ffff),
            subnet: u8::try_from(id % 200).unwrap() + 20,
            machines: Vec::new(),
        };
        if !ip(&["link", "add", &network.name, "type", "bridge"])
            .status
            .success()
        {
            println!("skipped: network namespaces take root and iproute2");
            network.name.clear();
            return None;
        }
        let address = format!("{}/24", network.host());
        network.must(&["addr", "add", &address, "dev", &network.name]);
        network.must(&["link", "set", &network.name, "up"]);
        Some(network)
    }

    /// The address of this machine, by which the others reach it.
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.subnet, 1)
    }

    /// Connects one more machine; the name of its namespace, and its address.
    pub fn machine(&mut self) -> (String, Ipv4Addr) {
        let number = u8::try_from(self.machines.len()).unwrap();
        let name = format!("{}n{number}", self.name);
        let (outer, inner) = (format!("{}o{number}", self.name), "eth0");
        let address = Ipv4Addr::new(10, 77, self.subnet, number + 2);
        self.must(&["netns", "add", &name]);
        self.machines.push(name.clone());
        self.must(&[
            "link", "add", &outer, "type", "veth", "peer", "name", inner, "netns", &name,
        ]);
        self.must(&["link", "set", &outer, "master", &self.name, "up"]);
        let cidr = format!("{address}/24");
        self.must(&["-n", &name, "addr", "add", &cidr, "dev", inner]);
        self.must(&["-n", &name, "link", "set", inner, "up"]);
        self.must(&["-n", &name, "link", "set", "lo", "up"]);
        (name, address)
    }

    fn must(&self, arguments: &[&str]) {
        let done = ip(arguments);
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "ip {arguments:?}: {complaint}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            for machine in &self.machines {
                ip(&["netns", "del", machine]);
            }
            ip(&["link", "del", &self.name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|_| {
            // Without the program there is nothing to be made either.
            Command::new("false").output().unwrap()
        })
}
