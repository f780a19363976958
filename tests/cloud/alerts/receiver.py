"""Receivers for tests: an HTTP server and an SMTP server on loopback, that do well or ill as the test wants."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Receiver:
    """What came, and how it is answered: a status, "hang", "drip" or "cut"."""

    url: str = ""
    how: list[Any] = field(default_factory=list)  # of the next requests; then 204
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    may_end: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.came]


@contextmanager
def receiving(trust: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            how = receiver.how.pop(0) if receiver.how else 204
            self.close_connection = True
            if how == "hang":
                receiver.may_end.wait(30)
            elif how == "drip":
                for letter in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000:
                    if receiver.may_end.wait(0.02):
                        return
                    self.wfile.write(bytes([letter]))
            elif how == "flood":
                self.send_response(200)
                self.end_headers()
                while not receiver.may_end.is_set():
                    self.wfile.write(bytes(65536))
            elif how != "cut":
                self.send_response(how)
                self.send_header("location", f"{receiver.url}/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its own name
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that gave up

    server = Server(("127.0.0.1", 0), Handler)
    if trust is not None:
        server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    scheme = "http" if trust is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_port}/in"
    try:
        yield receiver
    finally:
        receiver.may_end.set()
        server.shutdown()
        thread.join(30)
        server.server_close()


@dataclass
class Mailbox:
    """What a mail server took; `refuses` is the answer that it gives instead, of the next mails."""

    port: int = 0
    came: list[tuple[list[str], Message]] = field(default_factory=list)
    refuses: list[str] = field(default_factory=list)
    was_tls: list[bool] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any
    ) -> str:
        if self.refuses:
            return self.refuses.pop(0)
        transport: Any = server.transport
        self.was_tls.append(session.ssl is not None or transport.get_extra_info("sslcontext") is not None)
        self.came.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content)))
        return "250 taken"


USER, PASSWORD = b"domino", b"p/w:secret"


@contextmanager
def mailbox(how: str, trust: ssl.SSLContext) -> Iterator[Mailbox]:
    """`how`: plain, starttls or tls; with TLS it wants a sign-in."""
    box = Mailbox()

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, said: Any) -> AuthResult:
        right = isinstance(said, LoginPassword) and (said.login, said.password) == (USER, PASSWORD)
        return AuthResult(success=right, handled=right)  # else the server says 535 itself

    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0}
    if how == "starttls":
        options |= {"tls_context": trust, "require_starttls": True}
    if how == "tls":
        options |= {"ssl_context": trust, "auth_require_tls": False}
    if how != "plain":
        options |= {"authenticator": check, "auth_required": True}
    controller = Free(box, **options)
    controller.start()
    box.port = controller.port
    try:
        yield box
    finally:
        controller.stop()


class Free(Controller):
    """On a free port, which its own probe does not know."""

    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side of TLS for 127.0.0.1, and a client's that believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "tls.pem", folder / "tls.key"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, secret)
    return server, ssl.create_default_context(cafile=str(pem))
