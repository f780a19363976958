"""/health and /metrics of a process without pages, as a bare ASGI application."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import prometheus_client
from anyio.to_thread import run_sync


class Status:
    """Answers what /health and /metrics of the pages answer, from checks that give whether each part is well."""

    def __init__(
        self, checks: Mapping[str, Callable[[], bool]], registry: prometheus_client.CollectorRegistry, **facts: object
    ) -> None:
        self._checks, self._registry, self._facts = checks, registry, facts

    async def __call__(self, scope: Mapping[str, Any], _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        kind = "application/json"
        if scope["path"] == "/health":
            status, body = await run_sync(self._health)
        elif scope["path"] == "/metrics":
            kind = prometheus_client.CONTENT_TYPE_LATEST
            status, body = 200, prometheus_client.generate_latest(self._registry)
        else:
            status, body = 404, b'{"error": "there are /health and /metrics"}'
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _health(self) -> tuple[int, bytes]:
        return health({name: is_well() for name, is_well in self._checks.items()}, **self._facts)


def health(parts: Mapping[str, bool], **facts: object) -> tuple[int, bytes]:
    """The status and the body that tell it.

    >>> health({"broker": False}, worker=2)
    (503, b'{"status": "down", "parts": {"broker": "down"}, "worker": 2}')
    """
    is_well = all(parts.values())
    said = {name: "up" if up else "down" for name, up in parts.items()}
    return 200 if is_well else 503, json.dumps({"status": "up" if is_well else "down", "parts": said, **facts}).encode()
