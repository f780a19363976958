"""Opens what it is given, and seals what was in it: JSON lines [key, nonce, header, sealed, tag size, body or null]."""

import json
import sys

from domino import ccm

for line in sys.stdin:
    *fields, tag_size, body = json.loads(line)
    key, nonce, header, sealed = (bytes.fromhex(field) for field in fields)
    opened = ccm.open(key, nonce, header, sealed, tag_size)
    again = None if body is None else ccm.seal(key, nonce, header, bytes.fromhex(body), tag_size).hex()
    print(json.dumps([None if opened is None else opened.hex(), again]))
