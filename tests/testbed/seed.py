#!/usr/bin/python3
"""Fills the new, not yet started domain of this machine from LDIF files, and prints its SID.

Writes straight into the database in one process, which is many times faster than one call of
samba-tool for each object. Needs the system's Python, which has Samba's bindings.

In the files ${BASE} is the domain's distinguished name, and `userPassword` a password in clear.
"""

import sys
from pathlib import Path

import ldb
from samba.auth import system_session
from samba.ndr import ndr_pack
from samba.param import LoadParm
from samba.provision.sambadns import ARecord
from samba.samdb import SamDB

NEVER = str(-(2**63))


def fill(db, path):
    text = path.read_text(encoding="utf-8").replace("${BASE}", db.domain_dn())
    for change, message in db.parse_ldif(text):
        if "userPassword" in message:
            password = str(message["userPassword"])
            del message["userPassword"]
            message["clearTextPassword"] = ldb.MessageElement(
                password.encode("utf-16-le"), ldb.FLAG_MOD_ADD, "clearTextPassword")
        try:
            if change == ldb.CHANGETYPE_MODIFY:
                db.modify(message)
            else:
                db.add(message)
        except ldb.LdbError as error:
            sys.exit(f"{path.name}: {message.dn}: {error.args[1]}")
        if "CN=Schema," in str(message.dn):
            db.set_schema_update_now()  # the next record may name what this one defined


def never_age(db):
    """The copy that `reset` puts back must serve next year as well."""
    policy = ldb.Message(ldb.Dn(db, db.domain_dn()))
    for name, value in {"maxPwdAge": NEVER, "minPwdAge": "0", "lockoutThreshold": "0"}.items():
        policy[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
    db.modify(policy)


def name_the_server(db, zone):
    """rms.<domain> in the controller's DNS."""
    db.add({
        "dn": f"DC=rms,DC={zone},CN=MicrosoftDNS,DC=DomainDnsZones,{db.domain_dn()}",
        "objectClass": "dnsNode",
        "dnsRecord": ndr_pack(ARecord("127.0.0.1")),
    })


def main():
    settings = LoadParm()
    settings.load_default()
    settings.set("dsdb:schema update allowed", "yes")
    db = SamDB(lp=settings, session_info=system_session())
    never_age(db)
    for name in sys.argv[1:]:
        fill(db, Path(name))
    name_the_server(db, settings.get("realm").lower())
    print(db.get_domain_sid())


main()
