"""The virtual modem behind the board's UART, on an air that answers as the test has laid out."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.modem import Chip, Counter, Modem, serve_tcp
from simulator.sigfox import downlink
from simulator.sigfox.uplink import decode
from tests.firmware.conftest import DEVICE_ID

NETWORK_KEY = bytes(range(16))


class Ether:
    """Keeps the payloads that are radiated, and answers each with what `answer` makes of it, or not at all."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.asked: list[bool] = []  # whether each wants an answer
        self.answer: Callable[[bytes], bytes | None] = lambda payload: None
        self._due: list[bytes] = []

    def radiate(self, replicas: bytes) -> None:
        sent = decode(replicas[: len(replicas) // 3], NETWORK_KEY).uplink
        assert isinstance(sent.payload, bytes)
        self.payloads.append(sent.payload)
        self.asked.append(sent.asks_downlink)
        answer = self.answer(sent.payload)
        frame = answer and downlink.encode(answer, device_id=DEVICE_ID, seq=sent.seq, key=NETWORK_KEY)
        self._due = [frame] if frame else []

    def hear(self, patience_s: float) -> bytes | None:
        return self._due.pop() if self._due else None


@contextmanager
def modem_on(ether: Ether, folder: Path) -> Iterator[tuple[Modem, int]]:
    """A modem for which no time passes, and its port."""
    modem = Modem(Chip(DEVICE_ID, NETWORK_KEY), Counter(folder / "modem.counter"), ether, scale=0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve_tcp, args=(modem, listener))
        serving.start()
        try:
            yield modem, listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()
