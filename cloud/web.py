"""The web application: its parts put together, and what holds for every answer of it."""

import http
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path
from urllib.parse import quote

import prometheus_client
import sqlalchemy as sa
import sqlalchemy.exc
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import cloud.accounts.model
import cloud.accounts.pages
import cloud.alerts.model
import cloud.alerts.pages
import cloud.appeals.model
import cloud.appeals.pages
import cloud.console.api
import cloud.console.pages
import cloud.console.stream
import cloud.downlinks.model
import cloud.downlinks.pages
import cloud.fleet.imports
import cloud.fleet.model
import cloud.fleet.notes
import cloud.fleet.pages
import cloud.fleet.sheet
import cloud.fleet.views
import cloud.pickups.model
import cloud.pickups.pages
import cloud.places.model
import cloud.stamps.model
import cloud.stamps.pages
import cloud.status
from cloud import database, live, pages, refusals, replay
from cloud.accounts.attempts import Attempts
from cloud.accounts.model import PasswordDue, Right, SignInNeeded, TokenNeeded, TooBusy, TooManyAttempts
from cloud.accounts.notes import Notes
from cloud.audit.watch import Seen
from cloud.frames.stations import Names
from cloud.health import Part
from cloud.ingest.keys import Keys
from cloud.stamps.desk import Desk
from cloud.stamps.model import NotReady, TooManyGuesses
from cloud.stamps.vault import Vault
from cloud.words import N_

BODY_LIMIT = 1_000_000  # bytes
PICTURE = "/api/stamps/read/picture"
PICTURE_LIMIT = 8_000_000  # bytes: what a telephone's camera makes
SHEET = "/buttons/import"
SHEET_LIMIT = cloud.fleet.sheet.MAX_BYTES + BODY_LIMIT  # and the form around it
LIMITS = {PICTURE: PICTURE_LIMIT, SHEET: SHEET_LIMIT}

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOLD = frozenset({400, 403, 404, 409, 413, 429, 500, 503})  # statuses that have words of their own on the error page

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    # Not no-referrer: with that a browser also hides the Origin of our own forms, which is what we check.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # pages carry names and addresses; static files say otherwise
}

# The one place where errors of the domain meet HTTP.
STATUS: dict[type[Exception], int] = {
    cloud.accounts.model.TokenNeeded: 401,
    cloud.accounts.model.Forbidden: 403,
    cloud.accounts.model.Exists: 409,
    cloud.accounts.model.Faulty: 422,
    cloud.accounts.model.LastAdmin: 409,
    cloud.accounts.model.NotFound: 404,
    cloud.accounts.model.PasswordRefused: 422,
    cloud.accounts.model.TooManyAttempts: 429,
    cloud.accounts.model.TooBusy: 503,
    cloud.alerts.model.NotFound: 404,
    cloud.alerts.model.WrongState: 409,
    cloud.alerts.model.Faulty: 422,
    cloud.downlinks.model.NotFound: 404,
    cloud.downlinks.model.WrongState: 409,
    cloud.downlinks.model.Faulty: 422,
    cloud.fleet.imports.Faulty: 422,
    cloud.fleet.imports.NotFound: 404,
    cloud.fleet.imports.Outdated: 409,
    cloud.fleet.imports.WrongState: 409,
    cloud.fleet.model.Exists: 409,
    cloud.fleet.notes.Faulty: 422,
    cloud.fleet.notes.NotFound: 404,
    cloud.fleet.model.KeysUsedUp: 409,
    cloud.fleet.model.WrongState: 409,
    cloud.fleet.views.TooMany: 409,
    cloud.appeals.model.NotFound: 404,
    cloud.appeals.model.WrongState: 409,
    cloud.appeals.model.Faulty: 422,
    cloud.pickups.model.Faulty: 422,
    cloud.pickups.model.NotFound: 404,
    cloud.pickups.model.WrongState: 409,
    cloud.places.model.AddressError: 422,
    cloud.stamps.model.NotFound: 404,
    cloud.stamps.model.NotReady: 503,
    cloud.stamps.model.TooManyGuesses: 429,
    cloud.stamps.model.WrongState: 409,
    sqlalchemy.exc.OperationalError: 503,  # locked for longer than anyone waits, full, or away
}


def create_app(
    *,
    engine: sa.Engine,
    bell: live.Bell,
    health: Callable[[], Mapping[str, Part]],
    runs: Callable[[], Mapping[str, bool]] = dict,
    facts: Callable[[], dict[str, object]] = dict,
    registry: prometheus_client.CollectorRegistry,
    vault: Vault,
    desk: Desk,
    vendor: Path,
    downlinks_per_day: int = 4,
    key_master: int = 1,
    keys: Keys | None = None,
    alerts: cloud.alerts.pages.Means = cloud.alerts.pages.WITHOUT_SAFE,
    notes: Notes | None = None,
    trail: Callable[[], Seen | None] = lambda: None,
    bench_url: str | None = None,
) -> FastAPI:
    """`downlinks_per_day` is told beside what a button used; `key_master` is the number of the newest master key.

    `keys` open what somebody pastes into the frame bench; without them it stays sealed.
    `notes` somebody else writes; `trail` tells how far the audit trail is known to hold.
    `bench_url` leads to the simulator's bench, where one is.
    """
    app = FastAPI(title="Domino", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    app.state.engine = engine
    app.state.vault = vault
    app.state.desk = desk
    app.state.bell = bell
    app.state.station_name = Names(engine)
    app.state.tail = cloud.console.stream.Tail(engine, vault, app.state.station_name)
    app.state.downlinks_per_day = downlinks_per_day
    app.state.key_master = key_master
    app.state.keys = keys
    app.state.health = health
    app.state.alerts = alerts
    app.state.bench_url = bench_url
    app.state.attempts = Attempts()
    app.state.notes = notes or Notes(engine)
    app.state.trail = trail
    for feature in (
        cloud.accounts,
        cloud.alerts,
        cloud.appeals,
        cloud.downlinks,
        cloud.fleet,
        cloud.pickups,
        cloud.stamps,
        cloud.console,
    ):
        app.include_router(feature.pages.router, include_in_schema=False)
    app.include_router(cloud.console.api.router, prefix="/api")
    if vendor.is_dir():  # else its files are not found, and the pages do without
        app.mount("/static/vendor", StaticFiles(directory=vendor))
    app.mount("/static", StaticFiles(directory=pages.STATIC))

    @app.get("/health", include_in_schema=False)
    def tell_health() -> Response:
        return _told(cloud.status.health(health(), **facts()))

    @app.get("/health/ready", include_in_schema=False)
    def tell_ready() -> Response:
        """Whether messages and customers may be sent here now."""
        return _told(cloud.status.health(health()))

    @app.get("/health/live", include_in_schema=False)
    def tell_live() -> Response:
        return _told(cloud.status.liveness(runs()))

    @app.get("/metrics", include_in_schema=False)
    def tell_metrics() -> Response:
        return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    app.add_exception_handler(SignInNeeded, _ask_to_sign_in)
    app.add_exception_handler(PasswordDue, lambda _request, _error: RedirectResponse("/me", 303))
    for error in (*STATUS, StarletteHTTPException, RequestValidationError, Exception):
        app.add_exception_handler(error, _tell_error)
    app.add_middleware(Gate)
    return app


def _told(answer: cloud.status.Answer) -> Response:
    code, body = answer
    return Response(body, code, media_type="application/json")


def _ask_to_sign_in(request: Request, _error: Exception) -> Response:
    if request.method not in SAFE_METHODS:
        return RedirectResponse("/sign-in", 303)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(asked, safe='/')}", 303)


def _tell_error(request: Request, error: Exception) -> Response:
    """Every error as a page in the look, or as JSON under /api."""
    headers: Mapping[str, str] | None = None
    if isinstance(error, StarletteHTTPException):
        status, headers = error.status_code, error.headers
    elif isinstance(error, RequestValidationError):
        status = 404 if any(fault["loc"][0] == "path" for fault in error.errors()) else 422
    else:
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if isinstance(error, TokenNeeded):
        headers = {"www-authenticate": "Bearer"}
    if isinstance(error, TooBusy | NotReady):
        headers = {"retry-after": str(error.RETRY_S)}
    if isinstance(error, TooManyAttempts | TooManyGuesses):
        headers = {"retry-after": str(ceil((error.again_at - database.now()).total_seconds()))}
    if request.url.path.startswith("/api/"):
        said = {"code": http.HTTPStatus(status).name.lower(), "message": refusals.in_english(error, status)}
        answer: Response = JSONResponse({"error": said}, status)
    else:
        told = status if status in TOLD else status // 100 * 100
        session = getattr(request.state, "session", None)
        is_staff = session is not None and Right.OWN not in session.account.rights
        lang = pages.language(request, pages.STAFF if is_staff else pages.LANGUAGES[0])
        context = {"message": refusals.of(error, status, lang), "again_at": getattr(error, "again_at", None)}
        here = None if request.method in SAFE_METHODS else "/"
        with suppress(HTTPException):  # an address that names no time leads out of the replay
            replay.beside(request)
        answer = pages.render(request, "error.html", lang=lang, status=status, told=told, here=here, **context)
    answer.headers.update({**HEADERS, **(headers or {})})  # a 500 is answered outside of Gate
    return answer


class Gate:
    """What holds for every request before it is looked at, and for every answer before it leaves."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        taken = 0

        # FastAPI's own limit answers in plain text, outside of our headers and error pages.
        async def receive_limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > _limit(scope["path"]):
                raise _too_large(_limit(scope["path"]))
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if request.url.path.startswith("/static/"):
                    headers.setdefault("cache-control", "no-cache")  # kept, and asked for by its ETag
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if refusal := _refusal(request):
            await _tell_error(request, refusal)(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive_limited, send_with_headers)


def _refusal(request: Request) -> HTTPException | None:
    if request.method not in SAFE_METHODS and _is_foreign(request.headers):
        return HTTPException(403, refusals.FOREIGN)
    if int(request.headers.get("content-length", "0")) > _limit(request.url.path):
        return _too_large(_limit(request.url.path))
    return None


def _is_foreign(headers: Headers) -> bool:
    """Whether another site made the browser send this. Who sends neither header is no browser and has no cookies."""
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()


def _limit(path: str) -> int:
    return LIMITS.get(path, BODY_LIMIT)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, N_("A request has at most %(n)s bytes.", n=limit))
