"""Certify, get a CLC, publish and license with a SOAP client and a cryptography library that
nobody here wrote: zeep (PyPI) reads the server's WSDLs, `cryptography` does the rest.

The XrML in here is written and read by this file alone, from the published specification, so
that it checks the server instead of echoing it.
"""

import argparse
import base64
import hashlib
import os
import re
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from lxml import etree
from zeep import Client
from zeep.exceptions import Fault
from zeep.transports import Transport

NS = "http://microsoft.com/DRM/"


# --- XrML as MS-RMPR 2.2.9 has it ---------------------------------------------------------------

def b64(data):
    return base64.b64encode(data).decode()


def public_key_xml(key):
    numbers = key.public_numbers()
    size = key.key_size
    modulus = b64(numbers.n.to_bytes(size // 8, "little"))
    return (
        '<PUBLICKEY><ALGORITHM>RSA</ALGORITHM><PARAMETER name="public-exponent">'
        f'<VALUE encoding="integer32">{numbers.e}</VALUE></PARAMETER><PARAMETER name="modulus">'
        f'<VALUE encoding="base64" size="{size}">{modulus}</VALUE></PARAMETER></PUBLICKEY>'
    )


def read_public_key(xml):
    modulus = base64.b64decode(re.search(r'name="modulus"><VALUE[^>]*>([^<]*)<', xml).group(1))
    return rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "little")).public_key()


def body_digest(body):
    return hashlib.sha256(body.encode("utf-16-le")).digest()


def sign(body, key):
    digest = body_digest(body)
    signature = key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    return (
        f'<XrML version="1.2" xmlns="">{body}<SIGNATURE><ALGORITHM>RSA PKCS#1-V1.5</ALGORITHM>'
        '<DIGEST><ALGORITHM>SHA256</ALGORITHM><PARAMETER name="codingtype">'
        '<VALUE encoding="string">surface-coding</VALUE></PARAMETER>'
        f'<VALUE encoding="base64" size="256">{b64(digest)}</VALUE></DIGEST>'
        f'<VALUE encoding="base64" size="{len(signature) * 8}">{b64(signature)}</VALUE>'
        "</SIGNATURE></XrML>"
    )


def body_of(node):
    return node[node.index("<BODY"):node.index("</BODY>") + len("</BODY>")]


def verify(node):
    """Digest and signature under the key in ISSUER."""
    body = body_of(node)
    issuer = re.search(r"<ISSUER>.*?</ISSUER>", body, re.S).group(0)
    signature = node[node.rindex("<SIGNATURE>"):]
    digest = re.search(r"<DIGEST>.*</DIGEST>", signature, re.S).group(0)
    value = base64.b64decode(re.findall(r"<VALUE[^>]*>([^<]*)</VALUE>", digest)[-1])
    assert value == body_digest(body), "digest"
    rest = signature.replace(digest, "")
    bits = base64.b64decode(re.findall(r"<VALUE[^>]*>([^<]*)</VALUE>", rest)[-1])
    read_public_key(issuer).verify(bits, value, padding.PKCS1v15(), Prehashed(hashes.SHA256()))


def guid():
    return "{%s}" % str(uuid.uuid4()).upper()


def stamp(seconds=0):
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + seconds))


# --- sealed keys (ENABLINGBITS), MS-RMPR 2.2.9.1.13 ----------------------------------------------

OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)


def ecb(key, data, encrypt):
    cipher = Cipher(algorithms.AES(key), modes.ECB())
    worker = cipher.encryptor() if encrypt else cipher.decryptor()
    return worker.update(data) + worker.finalize()


def key_blob(key, mode=0xFFFF):
    return struct.pack("<HHHHI", 12 + len(key), mode, len(key), 16, 0x1001) + key


def seal(recipient, payload, bound_text):
    session = secrets.token_bytes(16)
    wrapped = recipient.encrypt(key_blob(session), OAEP)
    secret = payload + hashlib.sha256(bound_text.encode("utf-16-le")).digest()
    plain = struct.pack("<IIII", 2, len(secret), 0, 0) + secret
    plain += b"\0" * (-len(plain) % 16)
    return wrapped + ecb(session, plain, True)


def unseal(key, sealed, bound_text):
    size = key.key_size // 8
    session = key.decrypt(sealed[:size], OAEP)[12:]
    plain = ecb(session, sealed[size:], False)
    version, length, _, _ = struct.unpack("<IIII", plain[:16])
    assert version == 2
    payload, bound = plain[16:16 + length - 32], plain[16 + length - 32:16 + length]
    assert bound == hashlib.sha256(bound_text.encode("utf-16-le")).digest(), "binding"
    return payload


def enabling_bits(sealed):
    return (
        '<ENABLINGBITS type="sealed-key-v2">'
        f'<VALUE encoding="base64" size="{len(sealed) * 8}">{b64(sealed)}</VALUE></ENABLINGBITS>'
    )


def find_bits(xml):
    found = re.search(r"<ENABLINGBITS[^>]*><VALUE[^>]*>([^<]*)</VALUE>", xml)
    return base64.b64decode(found.group(1))


def private_key_of(blob):
    """A CAPI PRIVATEKEYBLOB, all numbers little-endian."""
    assert blob[8:12] == b"RSA2"
    bits, exponent = struct.unpack("<II", blob[12:20])
    n, h, at, numbers = bits // 8, bits // 16, 20, []
    for size in (n, h, h, h, h, h, n):
        numbers.append(int.from_bytes(blob[at:at + size], "little"))
        at += size
    modulus, p, q, dp, dq, qi, d = numbers
    public = rsa.RSAPublicNumbers(exponent, modulus)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


# --- SOAP through zeep --------------------------------------------------------------------------

class Service:
    """One endpoint, by its WSDL."""

    def __init__(self, base, path, contract, port, session):
        self.client = Client(f"{base}{path}?wsdl", transport=Transport(session=session))
        self.namespace = NS + contract
        name = next(iter(self.client.wsdl.services))
        self.service = self.client.bind(name, port)

    def version(self, maximum="1.0.0.0"):
        header = self.client.get_element("{%s}VersionData" % self.namespace)
        return [header(MinimumVersion="1.0.0.0", MaximumVersion=maximum)]

    def chain(self, nodes):
        chain = self.client.get_type("{%s}ArrayOfXmlNode" % self.namespace)
        return chain(Certificate=[{"_value_1": etree.fromstring(node)} for node in nodes])


def payload(answer):
    """The result, without the version header that comes with it."""
    answer = getattr(answer, "body", answer)
    results = [name for name in dir(answer) if name.endswith("Result")]
    return answer[results[0]] if results else answer


def nodes_of(chain):
    """The certificates of an answer, as lxml writes them again."""
    texts = []
    for certificate in chain["Certificate"]:
        element = certificate["_value_1"] if isinstance(certificate, dict) else certificate
        element = getattr(element, "_value_1", element)
        texts.append(etree.tostring(element, encoding="unicode"))
    return texts


def respell(node):
    """The signer's spelling of empty elements, which lxml does not keep and digests are over."""
    return re.sub(r"\s*/>", " />", node)


# --- the life cycle ------------------------------------------------------------------------------

def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin", required=True, help="folder with rmsd")
    rmsd = str(Path(arguments.parse_args().bin).resolve() / "rmsd")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        base = start(rmsd, folder)
        for soap in ("", "12"):
            life_cycle(base, folder, soap)
            sub_enroll(base, soap)
            print("ok: certify, CLC, publish, license, sub-enroll over SOAP "
                  f"{'1.2' if soap else '1.1'}")


def life_cycle(base, folder, soap):
    def session_of(name):
        session = requests.Session()
        session.auth = (name, f"{name}-secret")
        return session

    anonymous = requests.Session()
    wmcs = base + "/_wmcs"
    machine_key = rsa.generate_private_key(65537, 2048)
    spc_chain = self_activate(folder, machine_key)

    people = {}
    for name in ("alice", "bob", "carol"):
        certify = Service(wmcs, "/certification/certification.asmx", "CertificationService",
                          "CertificationWebServiceSoap" + soap, session_of(name))
        answer = payload(certify.service.Certify(
            _soapheaders=certify.version(),
            requestParams={
                "MachineCertificateChain": certify.chain(spc_chain), "Persistent": True,
            },
        ))
        chain = nodes_of(answer["CertificateChain"])
        assert len(chain) == 5, len(chain)
        for node in chain:
            verify(respell(node))
        rac = respell(chain[0])
        assert f"{name}@example.test" in rac
        issuer = re.search(r"<ISSUER>.*?</ISSUER>", rac, re.S).group(0)
        rac_key = private_key_of(unseal(machine_key, find_bits(rac), issuer))
        assert rac_key.public_key() == read_public_key(
            re.search(r"<ISSUEDPRINCIPALS>.*?</ISSUEDPRINCIPALS>", rac, re.S).group(0))
        # Sent back as lxml writes it: the server must find the signer's spelling by itself.
        people[name] = (chain, rac_key)

    publish = Service(wmcs, "/licensing/publish.asmx", "PublishingService",
                      "PublishSoap" + soap, anonymous)
    rac_chain, rac_key = people["alice"]
    answer = payload(publish.service.GetClientLicensorCert(
        _soapheaders=publish.version(),
        RequestParams={"GetClientLicensorCertParams": [
            {"PersonaCerts": publish.chain(rac_chain)}]},
    ))
    answers = answer if isinstance(answer, list) else answer["GetClientLicensorCertResponse"]
    clc_chain = [respell(node) for node in nodes_of(answers[0]["CertificateChain"])]
    for node in clc_chain:
        verify(node)
    issuer = re.search(r"<ISSUER>.*?</ISSUER>", clc_chain[0], re.S).group(0)
    private_key_of(unseal(rac_key, find_bits(clc_chain[0]), issuer))

    content_key = secrets.token_bytes(32)
    unsigned = unsigned_license(wmcs, anonymous, soap, content_key)
    answer = payload(publish.service.AcquireIssuanceLicense(
        _soapheaders=publish.version(),
        RequestParams={"AcquireIssuanceLicenseParams": [
            {"UnsignedIssuanceLicense": {"_value_1": etree.fromstring(unsigned)}}]},
    ))
    answers = answer if isinstance(answer, list) else answer["AcquireIssuanceLicenseResponse"]
    signed = nodes_of(answers[0]["CertificateChain"])
    verify(respell(signed[0]))

    license_ = Service(wmcs, "/licensing/license.asmx", "LicensingService",
                       "LicenseSoap" + soap, anonymous)

    def acquire(name):
        chain, key = people[name]
        answer = payload(license_.service.AcquireLicense(
            _soapheaders=license_.version(),
            RequestParams={"AcquireLicenseParams": [{
                "LicenseeCerts": license_.chain(chain),
                "IssuanceLicense": license_.chain(signed),
                "ApplicationData": None,
            }]},
        ))
        answers = answer if isinstance(answer, list) else answer["AcquireLicenseResponse"]
        nodes = [respell(node) for node in nodes_of(answers[0]["CertificateChain"])]
        for node in nodes:
            verify(node)
        issuer = re.search(r"<ISSUER>.*?</ISSUER>", nodes[0], re.S).group(0)
        return nodes[0], unseal(key, find_bits(nodes[0]), issuer)[12:]

    use_license, key = acquire("bob")
    assert key == content_key, "bob's content key"
    assert "<VIEW>" in use_license and "OWNER" not in re.search(
        r"<RIGHTSLIST>.*</RIGHTSLIST>", use_license, re.S).group(0)
    use_license, key = acquire("alice")
    assert key == content_key and 'name="OWNER"' in use_license
    try:
        acquire("carol")
        raise AssertionError("carol has no rights")
    except Fault as fault:
        assert "NoRightsForRequestedPrincipalException" in str(fault.message), fault.message


def sub_enroll(base, soap):
    """A licensing cluster's SLC from its root cluster (MS-RMPRS 3.3.4.1)."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    service = Service(base + "/_wmcs", "/certification/SubEnrollService.asmx",
                      "SubEnrollmentService", "SubEnrollServiceSoap" + soap, requests.Session())
    answer = payload(service.service.SubEnroll(
        _soapheaders=service.version(),
        oInput={
            "CertificatePublicKey": {
                "aPublicKeyBytes": key.public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.PKCS1),
                "Guid": guid().strip("{}"),
            },
            "EnrolleeInformation": {
                "SKU": "RMS 2.0", "Version": "6.3.0.0", "Name": "zeep",
                "URL": "https://licensing.example.test/_wmcs",
            },
        },
    ))
    chain = answer["LicensorCertificateChain"] if "LicensorCertificateChain" in answer else answer
    chain = chain["string"] if "string" in chain else chain
    assert len(chain) == 5, len(chain)
    for node in chain:
        verify(node)
    assert read_public_key(re.search(
        r"<ISSUEDPRINCIPALS>.*?</ISSUEDPRINCIPALS>", chain[0], re.S).group(0)) == key


def self_activate(folder, machine_key):
    """The client's part of activation: an SPC signed by the SPC issuer that every client holds."""
    issuer_key = serialization.load_pem_private_key((folder / "issuer.pem").read_bytes(), None)
    chain = re.findall(r"<XrML.*?</XrML>", (folder / "issuer.xml").read_text(), re.S)
    principal = re.search(r"<ISSUEDPRINCIPALS><PRINCIPAL[^>]*>(.*?)</PRINCIPAL>", chain[0], re.S)
    hardware = hashlib.sha256(b"zeep").digest()
    body = (
        f'<BODY type="LICENSE" version="3.0"><ISSUEDTIME>{stamp()}</ISSUEDTIME><DESCRIPTOR>'
        f'<OBJECT type="Machine-Certificate"><ID type="MS-GUID">{guid()}</ID>'
        "<NAME>Microsoft Machine-Certificate</NAME></OBJECT></DESCRIPTOR>"
        f"<ISSUER>{principal.group(1)}</ISSUER>"
        '<DISTRIBUTIONPOINT><OBJECT type="Activation">'
        '<ID type="MS-GUID">{99F48562-703E-4E7D-9175-DD69C66921B7}</ID>'
        '<NAME>Microsoft Activation</NAME><ADDRESS type="URL">file:///zeep</ADDRESS></OBJECT>'
        "</DISTRIBUTIONPOINT><ISSUEDPRINCIPALS><PRINCIPAL>"
        f'<OBJECT type="Machine-Unique-Identifier"><ID type="MS-GUID">{guid()}</ID>'
        f"<NAME>Machine</NAME></OBJECT>{public_key_xml(machine_key.public_key())}"
        '<DIGEST><ALGORITHM>SHA256</ALGORITHM><PARAMETER name="codingtype">'
        '<VALUE encoding="string">surface-coding</VALUE></PARAMETER>'
        f'<VALUE encoding="base64" size="256">{b64(hardware)}</VALUE></DIGEST>'
        '<SECURITYLEVEL name="Platform" value="2.6.1.7600" />'
        '<SECURITYLEVEL name="Manufacturer" value="zeep" />'
        '<SECURITYLEVEL name="Repository" value="zeep 6.1.7600.0" />'
        "</PRINCIPAL></ISSUEDPRINCIPALS></BODY>"
    )
    return [sign(body, issuer_key)] + chain


def unsigned_license(wmcs, session, soap, content_key):
    server = Service(wmcs, "/licensing/server.asmx", "ServerService", "ServerSoap" + soap, session)
    answer = payload(server.service.GetLicensorCertificate(_soapheaders=server.version()))
    slc = [respell(node) for node in nodes_of(answer["CertificateChain"])][0]
    principal = re.search(r"<ISSUEDPRINCIPALS><PRINCIPAL[^>]*>(.*?)</PRINCIPAL>", slc, re.S)
    principal = principal.group(1)
    opening = '<ISSUEDPRINCIPALS><PRINCIPAL internal-id="1">'
    closing = "</PRINCIPAL></ISSUEDPRINCIPALS>"
    sealed = seal(read_public_key(principal), key_blob(content_key, 0xFFFD),
                  opening + principal + closing)
    content = guid()
    owner = (
        '<METADATA><OWNER><OBJECT><ID type="Windows" /><NAME>alice@example.test</NAME></OBJECT>'
        "</OWNER></METADATA>"
    )
    work = f'<OBJECT><ID type="MS-GUID">{content}</ID></OBJECT>{owner}'
    rights = (
        '<XrML version="1.2" xmlns=""><BODY type="Microsoft Rights Template" version="3.0">'
        f"<ISSUEDTIME>{stamp()}</ISSUEDTIME><WORK>{work}"
        '<RIGHTSGROUP name="Main-Rights"><RIGHTSLIST><VIEW><CONDITIONLIST><ACCESS><PRINCIPAL>'
        '<OBJECT><ID type="Unspecified" /><NAME>bob@example.test</NAME></OBJECT></PRINCIPAL>'
        "</ACCESS></CONDITIONLIST></VIEW></RIGHTSLIST></RIGHTSGROUP></WORK></BODY></XrML>"
    ).encode("utf-16-le")
    rights += b"\0" * (-len(rights) % 16)
    return (
        '<XrML version="1.2" xmlns=""><BODY type="Microsoft Rights Label" version="3.0">'
        f"<ISSUEDTIME>{stamp()}</ISSUEDTIME>{opening}{principal}{enabling_bits(sealed)}{closing}"
        f"<WORK>{work}</WORK>"
        f'<AUTHENTICATEDDATA id="Encrypted-Rights-Data">{b64(ecb(content_key, rights, True))}'
        "</AUTHENTICATEDDATA></BODY></XrML>"
    )


def start(rmsd, folder):
    """A server of its own on a free port of loopback; it ends with this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    data = folder / "data"

    def run(*arguments):
        subprocess.run([rmsd, *arguments], check=True, stdout=subprocess.DEVNULL)

    run("provision", "root", "--url", base, "--data", str(data), "--name", "ZEEP")
    config = str(data / "rmsd.toml")
    for name in ("alice", "bob", "carol"):
        (folder / name).write_text(f"{name}-secret")
        run("person", "add", name, "--mail", f"{name}@example.test",
            "--password-file", str(folder / name), "--config", config)
    run("authority", "spc-issuer", "export", "--key", str(folder / "issuer.pem"),
        "--chain", str(folder / "issuer.xml"), "--config", config)
    log = open(folder / "log", "w")
    server = subprocess.Popen([rmsd, "serve", "--config", config], stdout=log, stderr=log)
    import atexit
    atexit.register(server.kill)
    for _ in range(600):
        try:
            urllib.request.urlopen(base + "/readyz", timeout=1)
            return base
        except OSError:
            if server.poll() is not None:
                sys.exit((folder / "log").read_text())
            time.sleep(0.05)
    sys.exit("the server did not become ready: " + (folder / "log").read_text())


if __name__ == "__main__":
    os.environ.pop("http_proxy", None)
    main()
