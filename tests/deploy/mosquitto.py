"""Mosquitto with deploy/mosquitto/mosquitto.conf itself: only its ports and folders are a test's own."""

import datetime
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tools.children import Broker, started

CONF = Path(__file__).parents[2] / "deploy/mosquitto/mosquitto.conf"
ACCOUNTS = Path("/etc/mosquitto/domino")  # as the file says
FROM, TO = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2000, 2049))


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured(Broker):
    """`port` is the services', without TLS."""

    tls_port: int
    ca: Path


@contextmanager
def mosquitto(folder: Path, accounts: Path) -> Iterator[Secured]:
    """The broker with the accounts in `accounts`, which get a certificate for localhost, once both ports are open."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert binary, "mosquitto is missing: make setup-test"
    ca = make_certificate(accounts)
    plain, tls = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    text = CONF.read_text().replace(str(ACCOUNTS), str(accounts)).replace("/var/lib/mosquitto/", f"{folder}/")
    text, count = re.subn(r"^listener (1883|8883)$", lambda m: listener(m[1], plain, tls), text, flags=re.MULTILINE)
    assert count == 2
    conf = folder / "mosquitto.conf"
    conf.write_text(text + "user root\n")  # where tests run as root: it would drop to one who may not read here

    def is_open(_log: str) -> bool:
        return all(opens(port) for port in (plain, tls))

    with started("mosquitto", [binary, "-c", str(conf)], folder / "log", is_open) as process:
        yield Secured(process, plain, tls_port=tls, ca=ca)


def listener(port: str, plain: int, tls: int) -> str:
    return f"listener {tls if port == '8883' else plain} 127.0.0.1"


def opens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def make_certificate(folder: Path) -> Path:
    """server.pem and server.key for localhost, and the CA that they come from."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Domino test CA", "localhost")]
    pem = serialization.Encoding.PEM

    def signed(subject: int, *, is_ca: bool) -> bytes:
        return (
            x509.CertificateBuilder(
                names[0], names[subject], keys[subject].public_key(), x509.random_serial_number(), FROM, TO
            )
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(keys[0], hashes.SHA256())
            .public_bytes(pem)
        )

    private = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(signed(1, is_ca=False))
    (folder / "server.key").write_bytes(private)
    (folder / "ca.pem").write_bytes(signed(0, is_ca=True))
    return folder / "ca.pem"
