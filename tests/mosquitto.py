"""Debian's Mosquitto on a free port of 127.0.0.1, set up to keep what it acknowledged and to drop nothing."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import children

BINARIES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"  # Debian keeps servers out of a user's PATH

CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
max_inflight_messages {most_in_flight}
"""  # `user root`: run by root, it would else become a user who may not write here


class Missing(RuntimeError):
    """Mosquitto is not on this machine."""


@contextmanager
def broker(folder: Path, most_in_flight: int = 0) -> Iterator[children.Broker]:
    """A Mosquitto with its store in `folder`, new; raises `Missing`.

    `most_in_flight`: QoS 1 messages that a subscriber may have unacknowledged, 0 for any number. With Mosquitto's
    default, 20, no batch could have more than 20 messages.
    """
    binary = shutil.which("mosquitto", path=BINARIES)
    if binary is None:
        raise Missing("mosquitto is missing: make setup-test")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder.mkdir(mode=0o777)
    conf = folder / "mosquitto.conf"
    conf.write_text(CONF.format(port=port, folder=folder, most_in_flight=most_in_flight))
    command = [binary, "-c", str(conf)]
    with children.started("mosquitto", command, folder / "log", lambda _: children.takes_mqtt(port)) as process:
        yield children.Broker(process, port)
