"""A receiver of Domino's webhooks: it believes what is signed and fresh, and takes each event once.

    DOMINO_WEBHOOK_SECRET=whsec_… python docs/examples/verify_webhook.py 8900

Standard library alone. Libraries that verify Standard Webhooks do the same as `is_signed`.
"""

import base64
import binascii
import hashlib
import hmac
import http.server
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import ClassVar

TOLERANCE_S = 300  # between the sender's clock and ours; what is older may have been recorded by somebody


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Whether to believe it. `body` is the bytes as they came: parsed and written anew they may be others.

    There may be several signatures, as while the secret is being changed; one that is right is enough.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        id, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
        said = headers["webhook-signature"].split(" ")
    except (KeyError, ValueError, binascii.Error):
        return False
    signed = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    right = b"v1," + base64.b64encode(signed)
    matches = [hmac.compare_digest(one.encode(), right) for one in said]  # in constant time, and all of them
    return any(matches) and abs(now_s - timestamp) <= TOLERANCE_S


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers 204 to what it believes. `taken` belongs into a database: an event may come again, with the same id."""

    secret = os.environ.get("DOMINO_WEBHOOK_SECRET", "")
    taken: ClassVar[dict[str, dict]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("content-length", "0")), 100_000))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_signed(self.secret, headers, body, time.time()):
            self.send_error(401)
            return
        if headers["webhook-id"] not in self.taken:
            event = self.taken[headers["webhook-id"]] = json.loads(body)
            print(event["type"], event["data"]["subject"], event["data"]["sentence"]["en"])
        self.send_response(204)  # within ten seconds, and only once it is kept: else it is sent again
        self.end_headers()


if __name__ == "__main__":
    if not Receiver.secret:
        sys.exit("DOMINO_WEBHOOK_SECRET is not set")
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
