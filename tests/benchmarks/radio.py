"""The radio model: how many messages a second it carries from `air/` to `sigfox/`, nats-server included."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tests.benchmarks import wire
from tests.benchmarks.measure import Role, Way, rate
from tests.benchmarks.mqtt import new_broker
from tools import children

BUTTONS = 100


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    burst = wire.publishes((b"air/%08X/up" % (n % BUTTONS), n.to_bytes(12, "big")) for n in range(count))

    def carried(carrier: Callable[[str], AbstractContextManager[object]], topic: bytes, qos: int) -> list[float]:
        with (
            new_broker(folder) as broker,
            carrier(broker.url),
            wire.connect(broker.port) as buttons,
            wire.connect(broker.port) as network,
        ):
            wire.subscribe(network, topic, qos)
            radiating = threading.Thread(target=buttons.sendall, args=(burst,))

            def carry() -> None:
                radiating.start()
                wire.drain(network, count)

            try:
                return rate(count, carry)
            finally:
                radiating.join()

    def radio(url: str) -> AbstractContextManager[object]:
        return children.radio(url, log_file=folder / "radio.log")

    yield (
        # At QoS 0: the cloud's acknowledgements are not what is measured.
        Way(Role.OURS, "radio model, QoS 1 in and out", lambda: carried(radio, b"sigfox/+/up", qos=0)),
        Way(
            Role.LIMIT, "the broker alone, to a bare socket at QoS 1", lambda: carried(nullcontext, b"air/+/up", qos=1)
        ),
    )
