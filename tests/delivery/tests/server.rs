//! The package of the server on a machine that runs: it starts nothing by itself, an upgrade does not
//! disturb what serves, and removing it stops that.
#![allow(clippy::unwrap_used, reason = "they are tests")]

use delivery::{Base, Machine, Network, dist, newer, package};

#[test]
fn the_server_starts_when_somebody_says_so_serves_through_an_upgrade_and_ends_with_its_package() {
    let (Some(dist), Some(newer), Some(network)) = (dist(), newer(), Network::new()) else {
        return;
    };
    let Some(machine) = Machine::new(Base::Systemd, &network) else {
        return;
    };
    for (dist, name) in [(dist, "server.deb"), (newer, "newer.deb")] {
        let package = package(&dist.join("channel"), "openrms-server");
        machine.put(&package, &format!("/var/tmp/{name}"));
    }
    let booted = machine.boot();
    let state = "systemctl show --property ActiveState --value rmsd.service";
    let process = "systemctl show --property MainPID --value rmsd.service";

    booted.run("dpkg --install /var/tmp/server.deb").done();
    booted.run("id openrms").done();
    assert_eq!(
        booted.run("stat -c '%U %a' /var/lib/openrms").done(),
        "openrms 700\n"
    );
    for unit in ["rmsd.service", "rmsd.socket", "rmsd-http.socket"] {
        let enabled = booted.run(&format!("systemctl is-enabled {unit}"));
        assert_eq!(enabled.out, "disabled\n", "{unit}");
    }
    assert_eq!(booted.run(state).done(), "inactive\n");

    let provision = "runuser -u openrms -- rmsd provision root --url http://127.0.0.1 --name Example \
                     --data /var/lib/openrms --quiet";
    booted.run(provision).done();
    booted
        .run("systemctl enable --now rmsd-http.socket && systemctl start rmsd")
        .done();
    let serves = booted.run(process).done();

    booted.run("dpkg --install /var/tmp/newer.deb").done();
    assert_eq!(booted.run(process).done(), serves);
    assert_eq!(booted.run(state).done(), "active\n");
    assert_eq!(
        booted.run("systemctl is-enabled rmsd-http.socket").done(),
        "enabled\n"
    );
    let older = booted.run("dpkg --install /var/tmp/server.deb");
    assert!(older.err.contains("older-version"), "{older}");
    assert_eq!(booted.run(process).done(), serves);

    booted.run("dpkg --remove openrms-server").done();
    assert_eq!(booted.run(state).done(), "inactive\n");
    assert_eq!(
        booted
            .run("systemctl show -p ActiveState --value rmsd-http.socket")
            .done(),
        "inactive\n"
    );
    assert!(machine.has("/var/lib/openrms/rmsd.toml"));
    booted.run("dpkg --purge openrms-server").done();
    assert!(!machine.has("/var/lib/openrms"));
}
