"""What a button needs beside its identity, as it stands in NVS: the link, Wi-Fi, broker, its CA, the heartbeat."""

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tools.terminal import Failure

PASSWORD_VARIABLE = "DOMINO_WIFI_PASSWORD"  # noqa: S105 the name of one
LONGEST_SSID, LONGEST_PASSWORD, LONGEST_HOST = 32, 63, 64  # bytes; the firmware reads no more
LONGEST_CA = 4000  # bytes of DER; what one entry of NVS surely takes
PORT, TLS_PORT = 1883, 8883


def gather(
    *,
    link: str | None,
    wifi: str | None,
    password_file: Path | None,
    broker: str | None,
    ca: Path | None,
    no_ca: bool,
    heartbeat_hours: int | None,
    slip: Mapping[str, Any],
) -> dict[str, Any]:
    """What is given, by name in NVS: from the options, else from the slip. None erases; what is not given stays."""
    given: dict[str, Any] = {}
    link = link or slip.get("link")
    if link is not None:
        if link not in ("mqtt", "wisol"):
            raise Failure(f"--link is mqtt or wisol, not {link}", 2)
        given["link"] = link
    if hours := heartbeat_hours or slip.get("heartbeat_hours"):
        given["hours"] = int(hours)
    if wifi or slip.get("wifi"):
        given["ssid"] = _short(wifi or slip["wifi"], LONGEST_SSID, "a network's name")
        told = slip.get("wifi_password") if wifi in (None, slip.get("wifi")) else None
        given["psk"] = _short(_password(given["ssid"], password_file, told), LONGEST_PASSWORD, "a Wi-Fi password")
    if ca:
        der = _der(ca)
        given |= {"ca": der.hex(), "ca_size": len(der)}
    elif no_ca:
        given |= {"ca": None, "ca_size": 0}
    if broker or slip.get("broker"):
        given |= _broker(broker or slip["broker"], has_tls=ca is not None)
    return given


def missing(given: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The options that are still needed, on a board with the settings `found`."""
    has = {name: given.get(name) if name in given else found.get(name) for name in ("link", "ssid", "host")}
    if has["link"] == "wisol":
        return []
    return [option for name, option in (("ssid", "--wifi NETWORK"), ("host", "--broker HOST")) if not has[name]]


def _password(ssid: str, file: Path | None, told: str | None) -> str:
    """From the file, the environment, the slip, or a prompt; never from an argument, which every process can read."""
    if file:
        try:
            return file.read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"the Wi-Fi password cannot be read from {file}: {error}") from None
    if (set_by := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return set_by
    if told is not None:
        return told
    if not sys.stdin.isatty():
        raise Failure(
            f"the password of {ssid} is missing: --wifi-password-file, or {PASSWORD_VARIABLE} (empty: an open network)",
            2,
        )
    return getpass.getpass(f"Password of {ssid} (empty: an open network): ")


def _broker(text: str, *, has_tls: bool) -> dict[str, Any]:
    try:
        parts = urlsplit(text if "://" in text else f"mqtt://{text}")
        host, port = parts.hostname, parts.port
        is_plain = parts.scheme in ("mqtt", "mqtts") and not parts.username
    except ValueError:
        host, port, is_plain = None, None, False
    if not host or not is_plain:
        raise Failure("--broker is HOST or HOST:PORT, as the board reaches it", 2)
    return {"host": _short(host, LONGEST_HOST, "a broker's name"), "port": port or (TLS_PORT if has_tls else PORT)}


def _der(path: Path) -> bytes:
    """The one certificate in the file, PEM or DER."""
    # Here, because X.509 costs a tenth of a second that no other command need pay.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        data = path.read_bytes()
        is_pem = data.lstrip().startswith(b"-----")
        certificate = x509.load_pem_x509_certificate(data) if is_pem else x509.load_der_x509_certificate(data)
    except OSError as error:
        raise Failure(f"the CA cannot be read from {path}: {error.strerror}") from None
    except ValueError:
        raise Failure(f"{path} holds no certificate, PEM or DER") from None
    der = certificate.public_bytes(Encoding.DER)
    if len(der) > LONGEST_CA:
        raise Failure(f"the CA has {len(der)} bytes, a button takes {LONGEST_CA}: use one with an elliptic-curve key")
    return der


def _short(text: str, longest: int, what: str) -> str:
    if len(text.encode()) > longest:
        raise Failure(f"{what} has at most {longest} bytes", 2)
    return text
