"""/health and /metrics: what they say, and for a process without pages a bare ASGI application that says it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import prometheus_client
from anyio.to_thread import run_sync

from cloud.health import Part

Answer = tuple[int, bytes]


class Status:
    """Answers under /health and /metrics what the pages answer there."""

    def __init__(
        self,
        look: Callable[[], Mapping[str, Part]],
        registry: prometheus_client.CollectorRegistry,
        *,
        runs: Callable[[], Mapping[str, bool]] = dict,
        **facts: object,
    ) -> None:
        self._look, self._runs, self._registry, self._facts = look, runs, registry, facts

    async def __call__(self, scope: Mapping[str, Any], _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        kind = "application/json"
        if scope["path"] == "/health":
            status, body = await run_sync(lambda: health(self._look(), **self._facts))
        elif scope["path"] == "/health/ready":
            status, body = await run_sync(lambda: health(self._look()))
        elif scope["path"] == "/health/live":
            status, body = liveness(self._runs())
        elif scope["path"] == "/metrics":
            kind = prometheus_client.CONTENT_TYPE_LATEST
            status, body = 200, await run_sync(lambda: prometheus_client.generate_latest(self._registry))
        else:
            status, body = 404, b'{"error": "there are /health, /health/ready, /health/live and /metrics"}'
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def health(parts: Mapping[str, Part | bool], **facts: object) -> Answer:
    """The status and the body that tell whether every part is well; of a `Part` also since when, and else why.

    >>> health({"broker": False}, worker=2)
    (503, b'{"status": "down", "parts": {"broker": "down"}, "worker": 2}')
    """
    well = {name: part.is_well if isinstance(part, Part) else part for name, part in parts.items()}
    seen = {name: part for name, part in parts.items() if isinstance(part, Part)}
    told: dict[str, object] = {
        "status": "up" if all(well.values()) else "down",
        "parts": {name: "up" if is_well else "down" for name, is_well in well.items()},
    }
    if seen:
        told["since"] = {name: part.since.isoformat(timespec="seconds") for name, part in seen.items()}
        told["why"] = {name: part.why for name, part in seen.items() if part.why is not None}
    return 200 if all(well.values()) else 503, json.dumps(told | facts).encode()


def liveness(runs: Mapping[str, bool]) -> Answer:
    """Whether every thread runs: if one does not, only a new start helps."""
    ended = [name for name, is_running in runs.items() if not is_running]
    return 503 if ended else 200, json.dumps({"status": "down" if ended else "up", "ended": ended}).encode()
