"""The broker by TLS: only one whose certificate comes from the one CA in flash hears the press."""

import datetime
import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulator.board.vm import Board
from tests.firmware.conftest import DEVICE_ID, KEY

NAME = "localhost"
FROM, TO = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2000, 2049))


def certificate(subject: str, key, issuer: str, issuer_key, *, is_ca: bool) -> x509.Certificate:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    return (
        x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number(), FROM, TO)
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def new_ca(folder: Path, name: str) -> tuple[bytes, ssl.SSLContext]:
    """A CA in DER, and a broker's context with a certificate of it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = certificate(name, ca_key, name, ca_key, is_ca=True)
    own = certificate(NAME, key, name, ca_key, is_ca=False)
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / f"{name}.pem"
    file.write_bytes(own.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return ca.public_bytes(serialization.Encoding.DER), context


def serve(server: socket.socket, context: ssl.SSLContext, published: list[bytes]) -> None:
    try:
        with context.wrap_socket(server.accept()[0], server_side=True) as caller:
            while head := caller.recv(1):
                body = caller.recv(caller.recv(1)[0])
                if head[0] & 0xF0 == 0x30:
                    published.append(body[-12:])
                caller.sendall({0x10: b"\x20\x02\0\0", 0x30: b"\x40\x02\0\x02"}.get(head[0] & 0xF0, b""))
    except (OSError, IndexError):
        pass  # it would not talk to us, or has said what it had to


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_broker_is_trusted_by_the_ca_in_flash_alone(board: Board, tmp_path: Path, is_ours: bool):
    ours, context = new_ca(tmp_path, "ours")
    other, _ = new_ca(tmp_path, "other")
    ca = ours if is_ours else other
    published: list[bytes] = []
    # An ESP32's heap grows when TLS wants more; this VM's does not.
    board.surroundings = replace(board.surroundings, speed=1, heap="160K")
    with socket.create_server(("127.0.0.1", 0)) as server:
        board.provision(DEVICE_ID, KEY, 0, NAME, server.getsockname()[1], counter=1)
        board.flash = board.flash | {"ca": ["blob", ca.hex()], "ca_size": ["i32", len(ca)]}
        thread = threading.Thread(target=serve, args=(server, context, published))
        thread.start()
        wake = board.wake(reset_cause=3)  # a boot, which waits for no answer
        thread.join()
    assert wake.slept
    if is_ours:
        assert (wake.value("link"), published) == ("radiated", [bytes.fromhex(wake.value("uplink"))]), wake.console
    else:
        assert (wake.value("link").startswith("failed tls"), published) == (True, []), wake.console
