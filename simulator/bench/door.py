"""Who may touch the bench: whoever has the address that its command printed, in a browser on this machine.

The bench presses buttons and cuts power, so it listens on loopback alone, and there it trusts nobody: a token made at
the start opens it once into a cookie, a request must name this very host (no DNS that was bent to loopback), and
whatever changes anything must come from the bench's own page.
"""

import hmac
import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
CSRF = "x-bench"  # the header of whatever changes something
SAFE = frozenset({"GET", "HEAD"})
BODY_LIMIT = 10_000  # bytes
TOLD = "The bench opens by the address that `domino bench` has printed: it holds the key to this door."


class Door:
    """`token` is for the address; cookie and page carry others, so that neither gives another away."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port = port
        self.token = token or secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(24)
        self.csrf = secrets.token_urlsafe(24)
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self.cookie = f"domino_bench_{port}"  # a cookie is its host's, on every port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """With the token: for whoever may touch the bench."""
        return f"{self.origin}/?token={self.token}"

    def judge(self, scope: Scope) -> Response | None:
        """The answer to who must not pass, or who is let in anew; None for everybody else."""
        headers, host = Headers(scope=scope), Headers(scope=scope).get("host", "")
        if host not in self._hosts:
            return PlainTextResponse("This is not the bench's address.", 421)
        if int(headers.get("content-length") or 0) > BODY_LIMIT:
            return PlainTextResponse("That is too much.", 413)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and scope["path"] == "/" and given:
            return self._let_in(given)
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        if not _same(cookie, self._session):
            return PlainTextResponse(TOLD, 403)
        if scope["method"] not in SAFE and not (
            headers.get("origin") == f"http://{host}" and _same(headers.get(CSRF, ""), self.csrf)
        ):
            return PlainTextResponse("This did not come from the bench's own page.", 403)
        return None

    def _let_in(self, given: str) -> Response:
        if not _same(given, self.token):
            return PlainTextResponse(TOLD, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.cookie, self._session, httponly=True, samesite="strict")
        return answer


class Gate:
    """What holds for every request and answer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refused = self._door.judge(scope)
        except ValueError:
            refused = PlainTextResponse("That cannot be understood.", 400)
        await (refused or self._app)(scope, receive, send_with_headers)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
