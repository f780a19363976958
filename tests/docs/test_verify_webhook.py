"""The example receiver as it is started: it believes what is signed, once, and refuses the rest."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from cloud.alerts import signing

EXAMPLE = Path(__file__).parents[2] / "docs/examples/verify_webhook.py"
SECRET = bytes(range(32))
BODY = json.dumps({"type": "alert.opened", "data": {"subject": "button 1", "sentence": {"en": "38 replayed"}}}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def url():
    port = free_port()
    environment = os.environ | {"DOMINO_WEBHOOK_SECRET": signing.show(SECRET), "PYTHONUNBUFFERED": "1"}
    started = subprocess.Popen([sys.executable, str(EXAMPLE), str(port)], env=environment, stdout=subprocess.PIPE)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/", started
    finally:
        started.terminate()
        started.wait(30)


def test_it_takes_a_signed_event_once_and_refuses_others(url):
    address, started = url
    headers = signing.headers([SECRET], "alert-1-1-opened", int(time.time()), BODY)
    assert [httpx2.post(address, content=BODY, headers=headers, timeout=30).status_code for _ in range(2)] == [204, 204]
    forged = signing.headers([bytes(32)], "alert-2-1-opened", int(time.time()), BODY)
    assert httpx2.post(address, content=BODY, headers=forged, timeout=30).status_code == 401
    old = signing.headers([SECRET], "alert-3-1-opened", int(time.time()) - 400, BODY)
    assert httpx2.post(address, content=BODY, headers=old, timeout=30).status_code == 401
    started.terminate()
    assert started.stdout.read().decode() == "alert.opened button 1 38 replayed\n"
