"""The live page: from a frame's commit to its row on the event stream, on a real server."""

import asyncio
import http.client
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count as counting
from pathlib import Path
from urllib.parse import urlsplit

from cloud import database
from cloud.accounts import guard
from cloud.console.stream import PAUSE_S
from cloud.ingest.receive import Limits, Message, receive
from cloud.live import Bell
from tests.benchmarks.measure import Role, Way
from tests.cloud.console.service import BUTTON, Service, running_service, serving
from tests.sealing import callback, seal

ALONE_S = 2 * PAUSE_S  # after that a stream waits for the bell again


@contextmanager
def prepare_calm(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    with showing(folder) as show, ringing() as ring:
        yield (
            Way(Role.OURS, "frames now and then", lambda: [show(ALONE_S) for _ in range(count)]),
            Way(Role.LIMIT, "a bell alone, in one process", lambda: [ring() for _ in range(count)]),
        )


@contextmanager
def prepare_busy(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    with showing(folder) as show:
        yield (
            Way(Role.OURS, "each frame right after the last row", lambda: [show(0) for _ in range(count)]),
            Way(Role.LIMIT, "the stream's pause between two reads", lambda: [PAUSE_S * 1000]),
        )


@contextmanager
def showing(folder: Path) -> Iterator[Callable[[float], float]]:
    """An open stream; gives what waits so many seconds, then keeps a frame, and gives the ms from commit to row."""
    with (
        running_service(folder) as service,
        serving(service.app) as url,
        closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection,
    ):
        connection.request("GET", "/stream", headers={"Cookie": f"{guard.COOKIE}={service.cookie()}"})
        stream = connection.getresponse()
        assert stream.status == 200
        assert stream.readline()  # its first words: it has begun
        frames = counting(1)
        yield lambda pause_s: show(service, stream, next(frames), pause_s)


def show(service: Service, stream: http.client.HTTPResponse, counter: int, pause_s: float) -> float:
    """Keep a frame; ms from its commit until its row has arrived."""
    time.sleep(pause_s)
    data = seal(device=BUTTON, key=service.keys.device_key(BUTTON, 0), counter=counter, kind="alive")
    message = Message("mqtt", f"{BUTTON:08X}", callback(BUTTON, data, seq=counter & 0xFFF))
    with service.engine.begin() as conn:
        receive(conn, [message], keys=service.keys, limits=Limits(0), lease=service.lease, now=database.now())
    committed_at = time.perf_counter()
    service.bell.ring()
    row = b'<tr data-id=\\"%d\\"' % counter
    while row not in (line := stream.readline()):
        assert line, "the stream ended"
    return (time.perf_counter() - committed_at) * 1000


@contextmanager
def ringing() -> Iterator[Callable[[], float]]:
    """What rings a bell and gives the ms until it is heard in an event loop of another thread."""
    bell, heard, ends = Bell(), queue.SimpleQueue[float](), threading.Event()

    async def listen() -> None:
        rings = bell.rings
        while not ends.is_set():
            if await bell.wait(rings, 1):
                heard.put(time.perf_counter())
            rings = bell.rings

    def ring() -> float:
        time.sleep(0.002)  # until it is listened for again
        rung_at = time.perf_counter()
        bell.ring()
        return (heard.get(timeout=10) - rung_at) * 1000

    listener = threading.Thread(target=lambda: asyncio.run(listen()))
    listener.start()
    try:
        yield ring
    finally:
        ends.set()
        listener.join()
