//! Programs in a network namespace where there is nothing at all, not even loopback.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use super::{Run, ended};

/// How this machine lets a program run without any network.
pub struct Unplugged {
    flags: &'static str,
}

impl Unplugged {
    /// `None`, with a line on the terminal, where it does not.
    pub fn find() -> Option<Self> {
        // Root needs no other user; anybody else stays who they are, to whom the lockbox belongs.
        let permitted = |flags: &&str| {
            let done = Command::new("unshare").args([*flags, "true"]).output();
            done.is_ok_and(|done| done.status.success())
        };
        let flags = ["-n", "-cn"].into_iter().find(permitted);
        if flags.is_none() {
            println!("skipped: unshare is not permitted");
        }
        let found = Self { flags: flags? };
        let routes = found.run(Command::new("cat").arg("/proc/net/route")).out;
        assert!(routes.lines().count() < 2, "a way out is left: {routes}");
        Some(found)
    }

    /// Runs a command, with its environment, in a network namespace of its own.
    pub fn run(&self, command: &Command) -> Run {
        let mut unshare = Command::new("unshare");
        unshare
            .args([OsStr::new(self.flags), command.get_program()])
            .args(command.get_args())
            .stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => unshare.env(name, value),
                None => unshare.env_remove(name),
            };
        }
        ended(unshare.output().unwrap())
    }
}
