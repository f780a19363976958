"""The thread that sends: takes what waits in the outbox, by routes all at once, and writes down what came of it.

It is a thread of its own, so that a receiver that hangs keeps nobody from watching. A route that fails pauses for 1, 2,
4, … minutes, and each of its events as well, so that one event that a receiver does not like holds up no other.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.alerts import mail, routes, signing, webhook
from cloud.alerts.keeper import holder
from cloud.alerts.model import BY_NAME, sentence
from cloud.alerts.routes import Delivery, Kind, Route
from cloud.alerts.safe import Safe, WrongKey

LOOK_S = 2.0
AT_ONCE = 50  # events of a route in a round
NO_SERVER = "no mail server is set: DOMINO_SMTP_URL"

log = structlog.get_logger(__name__)


class Post:
    """Sends until it is stopped. Run `run` in a thread; `tend` is one round. `clock` tells the time it writes down."""

    def __init__(
        self,
        engine: sa.Engine,
        safe: Safe,
        *,
        registry: CollectorRegistry,
        server: mail.Server | None = None,
        url: str = "",
        clock: Callable[[], datetime] = database.now,
        trust: ssl.SSLContext | None = None,
        timeout_s: float = webhook.TIMEOUT_S,
        name: str | None = None,
    ) -> None:
        """`url` is where the pages are reached, for links; `trust` as `webhook.post` has it."""
        self._engine, self._safe, self._server = engine, safe, server
        self._url, self._clock, self._timeout_s = url.rstrip("/"), clock, timeout_s
        self._trust = trust or ssl.create_default_context()  # once: it reads all of the system's certificates
        self._name = name or holder()
        self._stopping = threading.Event()
        self._sent = Counter(
            "domino_alert_deliveries", "Events to routes, by what came of a try", ["result"], registry=registry
        )
        for result in ("sent", "failed", "given up"):
            self._sent.labels(result)

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.tend()
            except DBAPIError as error:
                log.warning("no alerts are sent: the database refuses", error=database.why(error))
            except Exception:
                log.exception("the post of the alerts met a bug; it tries again")

    def tend(self) -> int:
        """One round; gives how many events were sent."""
        now = self._clock()
        with database.reading(self._engine) as conn:
            work = [(one, due) for one in routes.all_routes(conn) if (due := routes.due(conn, one, now, AT_ONCE))]
        if not work:
            return 0
        return sum(asyncio.run(self._send_all(work)))

    async def _send_all(self, work: list[tuple[Route, list[Delivery]]]) -> list[int]:
        return await asyncio.gather(*(self._send(route, due) for route, due in work))

    async def _send(self, route: Route, due: list[Delivery]) -> int:
        if route.kind is Kind.MAIL:
            return await self._send_mail(route, due)
        sent = 0
        for one in due:
            if self._stopping.is_set() or not self._take(one):
                continue
            is_sent, answer = await self._post(route, one)
            self._settle(route, [one], is_sent=is_sent, answer=answer)
            sent += is_sent
            if not is_sent:
                break  # the route pauses
        return sent

    async def _post(self, route: Route, one: Delivery) -> tuple[bool, str]:
        now = self._clock()
        try:
            secrets = routes.secrets_of(route, self._safe, now)
        except WrongKey as error:
            return False, str(error)
        body = json.dumps(self._told(one), ensure_ascii=False, separators=(",", ":")).encode()
        headers = signing.headers(secrets, one.message, int(now.timestamp()), body)
        return await webhook.post(route.url or "", headers, body, timeout_s=self._timeout_s, trust=self._trust)

    def _told(self, one: Delivery) -> dict[str, Any]:
        """The event with its sentences and its link: made of what the outbox holds, so the same at every try."""
        said = one.said
        data = said["data"]
        if one.is_test:
            return said
        rule = BY_NAME.get(data["rule"])
        texts = (
            {} if rule is None else {lang: mail.WORDS[lang].say(sentence(rule, data["values"])) for lang in mail.WORDS}
        )
        return said | {"data": data | {"sentence": texts, "url": f"{self._url}{data['path']}" if self._url else None}}

    async def _send_mail(self, route: Route, due: list[Delivery]) -> int:
        """All that is due in one mail; one that was not taken goes out again as it was."""
        tests = [one for one in due if one.is_test]
        again = sorted({one.batch for one in due if one.batch is not None and not one.is_test})
        if tests:
            chosen = tests[:1]
        elif again:
            chosen = [one for one in due if one.batch == again[0]]
        else:
            chosen = due
        first = chosen[0].batch or chosen[0].id
        taken = [one for one in chosen if self._take(one, first)]
        if not taken:
            return 0
        is_sent, answer = await asyncio.to_thread(self._mail, route, taken, first)
        self._settle(route, taken, is_sent=is_sent, answer=answer)
        return len(taken) if is_sent else 0

    def _mail(self, route: Route, taken: list[Delivery], first: int) -> tuple[bool, str]:
        if self._server is None:
            return False, NO_SERVER
        message = mail.compose(
            [one.said for one in taken],
            route=route.name,
            recipients=route.recipients,
            sender=self._server.sender,
            lang=route.lang,
            batch=f"domino-alerts-{route.id}-{first}",
            url=self._url,
        )
        try:
            self._server.send(route.recipients, message)
        except mail.Refused as refused:
            return False, str(refused)
        return True, f"taken for {len(route.recipients)} by the mail server"

    def _take(self, one: Delivery, batch: int | None = None) -> bool:
        with self._engine.begin() as conn:
            return routes.take(conn, one, self._name, self._clock(), batch)

    def _settle(self, route: Route, done: list[Delivery], *, is_sent: bool, answer: str) -> None:
        with self._engine.begin() as conn:
            given_up = routes.settle(conn, route, done, self._name, is_sent=is_sent, answer=answer, now=self._clock())
        self._sent.labels("sent" if is_sent else "failed").inc(len(done))
        self._sent.labels("given up").inc(given_up)
        if not is_sent:
            log.warning("an alert was not delivered", route=route.name, answer=answer, events=len(done))
