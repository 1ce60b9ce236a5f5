//! The machines that the other tests use are what they say.

use delivery::{Base, Machine, Network};

#[test]
fn a_machine_keeps_what_is_changed_and_is_alone() {
    let Some(network) = Network::new() else {
        return;
    };
    let Some(machine) = Machine::new(Base::Bare, &network) else {
        return;
    };
    let before = machine.digest();
    assert_eq!(machine.run("useradd --create-home bob; exit 7").code, 7);
    assert_eq!(
        machine.run_as("bob", "id -un; pwd").done(),
        "bob\n/home/bob\n"
    );
    let changed = before.differences(&machine.digest());
    assert!(
        changed.iter().any(|line| line.contains("/home/bob")),
        "{changed:?}"
    );
    let routes = machine.run("cat /proc/net/route").done();
    assert_eq!(routes.lines().count(), 1, "{routes}");
    let another = Machine::new(Base::Bare, &network).unwrap();
    assert_eq!(before.differences(&another.digest()), [""; 0]);
}

#[test]
fn a_machine_starts_and_starts_again() {
    let Some(network) = Network::new() else {
        return;
    };
    let Some(machine) = Machine::new(Base::Systemd, &network) else {
        return;
    };
    machine.run("useradd --create-home bob").done();
    let mut booted = machine.boot();
    let first = booted
        .run("cat /proc/sys/kernel/random/boot_id; cat /proc/1/comm")
        .done();
    assert!(first.ends_with("systemd\n"), "{first}");
    assert_eq!(
        booted.run_as("bob", "id -un; pwd").done(),
        "bob\n/home/bob\n"
    );
    booted
        .run_as("bob", "systemctl --user is-system-running")
        .done();
    booted.run("touch /var/lib/kept").done();
    booted.reboot();
    booted.run("test -e /var/lib/kept").done();
}
