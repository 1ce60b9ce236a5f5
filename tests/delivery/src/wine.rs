//! A Windows machine as far as Wine is one: its own prefix, with the Windows Installer of Wine. Wine 8
//! lacks a library that programs of today's Rust need; a shim of a few lines takes its place here.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use tempfile::TempDir;

use crate::network::Network;
use crate::process::Ran;

/// A machine, gone when dropped.
#[derive(Debug)]
pub struct Wine {
    network: Option<Rc<Network>>,
    prefix: TempDir,
}

impl Wine {
    /// None where Wine or a compiler for the shim is missing, which is said. Without a network it is on
    /// this machine's.
    pub fn new(network: Option<&Rc<Network>>) -> Option<Self> {
        for tool in ["wine", "x86_64-w64-mingw32-gcc"] {
            if Command::new(tool).arg("--version").output().is_err() {
                println!(
                    "skipped: {tool} is not here (Debian: wine64, gcc-mingw-w64-x86-64-posix)"
                );
                return None;
            }
        }
        let wine = Self {
            network: network.cloned(),
            prefix: tempfile::tempdir().unwrap(),
        };
        Ran::of(wine.command("wineboot").arg("--init")).done();
        // By itself it is a Windows that is too old for the packages.
        wine.set_registry(r"HKCU\Software\Wine", "Version", "win10");
        let shim = wine.prefix.path().join("shim.c");
        fs::write(&shim, SHIM).unwrap();
        let mut compile = Command::new("x86_64-w64-mingw32-gcc");
        compile.args(["-shared", "-s", "-o"]);
        compile.arg(wine.path(r"C:\windows\system32\bcryptprimitives.dll"));
        Ran::of(compile.arg(shim).arg("-ladvapi32")).done();
        Some(wine)
    }

    /// A program of this machine's, by its path there or here.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Ran {
        self.run_as(&[], program, arguments)
    }

    /// The same with variables of the environment.
    pub fn run_as<A: AsRef<OsStr>>(
        &self,
        environment: &[(&str, &str)],
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Ran {
        let mut command = self.command("wine");
        command.envs(environment.iter().copied());
        let mut ran = Ran::of(command.arg(program).args(arguments));
        ran.out = ran.out.replace("\r\n", "\n");
        ran
    }

    /// The Windows Installer, which asks nobody; words are as on its command line.
    pub fn msiexec(&self, verb: &str, package: &Path, words: &[&str]) -> Ran {
        let package = package.to_str().unwrap();
        let quiet = ["/qn", "REBOOT=ReallySuppress"];
        let words = [verb, package]
            .into_iter()
            .chain(quiet)
            .chain(words.iter().copied());
        self.run("msiexec", words)
    }

    /// A text in the registry.
    pub fn registry(&self, key: &str, value: &str) -> Option<String> {
        let ran = self.run("reg", ["query", key, "/v", value]);
        let line = ran.out.lines().find_map(|line| {
            let rest = line.trim().strip_prefix(value)?.trim_start();
            rest.strip_prefix("REG_SZ").map(str::trim)
        });
        line.map(str::to_owned)
    }

    /// Sets one; without a name, the key's default.
    pub fn set_registry(&self, key: &str, value: &str, text: &str) {
        self.set_registry_of("REG_SZ", key, value, text);
    }

    /// Sets a value of some type, as `reg add` writes it.
    pub fn set_registry_of(&self, kind: &str, key: &str, value: &str, data: &str) {
        let name: &[&str] = if value.is_empty() {
            &["/ve"]
        } else {
            &["/v", value]
        };
        let words = [&["add", key], name, &["/t", kind, "/d", data, "/f"]].concat();
        self.run("reg", words).done();
    }

    /// What the list of installed programs says of one: its version.
    pub fn installed(&self, name: &str) -> Option<String> {
        let ran = self.run("reg", ["query", UNINSTALL, "/s"]);
        let mut programs = ran.out.split("\n\n");
        let of = |program: &str, value: &str| {
            let line = program
                .lines()
                .find_map(|line| line.trim().strip_prefix(value));
            let rest = line?.trim_start().strip_prefix("REG_SZ")?;
            Some(rest.trim().to_owned())
        };
        programs.find_map(|program| {
            (of(program, "DisplayName")? == name).then(|| of(program, "DisplayVersion"))?
        })
    }

    /// Where a path of the machine is here.
    pub fn path(&self, windows: &str) -> PathBuf {
        let below = windows.strip_prefix(r"C:\").unwrap_or(windows);
        self.prefix
            .path()
            .join("drive_c")
            .join(below.replace('\\', "/"))
    }

    /// How the machine names a path here.
    pub fn name_of(path: &Path) -> String {
        format!("Z:{}", path.to_str().unwrap().replace('/', "\\"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = match &self.network {
            Some(network) => network.command(program),
            None => Command::new(program),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RMS_") {
                command.env_remove(name);
            }
        }
        command
            .env("WINEPREFIX", self.prefix.path())
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            // Neither a browser nor .NET is asked for.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY");
        command
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let _ = self
            .command("wineserver")
            .args(["--kill", "--wait"])
            .status();
    }
}

/// An exit code of Windows as it arrives here, where there are but eight bits for it.
pub const fn exit_code(windows: i32) -> i32 {
    windows & 0xff
}

const UNINSTALL: &str = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";
const SHIM: &str = "\
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) {
  return SystemFunction036(bytes, (ULONG)length);
}
";
