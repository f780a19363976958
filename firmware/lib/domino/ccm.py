"""AES-CCM (RFC 3610, NIST SP 800-38C) over the ECB that cryptolib offers."""

from cryptolib import aes

ECB = 1
BLOCK = 16


def seal(key, nonce, header, body, tag_size):
    """The encrypted body and its tag. Header and body: under 65280 bytes each; nonce: 7 to 13; tag: even, 4 to 16."""
    ecb = aes(key, ECB)
    return _mask(ecb, nonce, body, 1) + _tag(ecb, nonce, header, body, tag_size)


def open(key, nonce, header, sealed, tag_size):
    """The body, or None when the tag does not fit. The tag is compared in constant time."""
    ecb = aes(key, ECB)
    body = _mask(ecb, nonce, sealed[:-tag_size], 1)
    difference = 0
    for expected, given in zip(_tag(ecb, nonce, header, body, tag_size), sealed[-tag_size:]):
        difference |= expected ^ given
    return None if difference or len(sealed) < tag_size else body


def _mask(ecb, nonce, data, first):
    """`data` under the key stream, from its block `first` on; masking twice gives it back."""
    flags = bytes((14 - len(nonce),)) + nonce
    masked = bytearray(data)
    stream = b""
    for at in range(len(data)):
        if at % BLOCK == 0:
            stream = ecb.encrypt(flags + (first + at // BLOCK).to_bytes(15 - len(nonce), "big"))
        masked[at] ^= stream[at % BLOCK]
    return bytes(masked)


def _tag(ecb, nonce, header, body, tag_size):
    flags = (64 if header else 0) | (tag_size // 2 - 1) << 3 | 14 - len(nonce)
    text = bytes((flags,)) + nonce + len(body).to_bytes(15 - len(nonce), "big")
    if header:
        text += _padded(len(header).to_bytes(2, "big") + header)
    text += _padded(body)
    mac = bytes(BLOCK)
    for at in range(0, len(text), BLOCK):
        mac = ecb.encrypt(bytes(a ^ b for a, b in zip(mac, text[at : at + BLOCK])))
    return _mask(ecb, nonce, mac[:tag_size], 0)


def _padded(data):
    return data + bytes(-len(data) % BLOCK)
