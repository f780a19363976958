"""Onto the Wi-Fi, or a reason why not.

Scanning and DHCP are most of the time awake, so the way that worked last is tried first: its channel and access point,
and its address while the lease may be relied on. That is worth one short try: the access point may have been replaced.
"""

import struct
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

import network

from domino.link import Failed

TRIES = 2  # `connect` alone would try for ever
POLL_MS = 20
KNOWN_MS = 3_000  # for the way that worked last: it takes a second or is gone
POINT_SIZE, WAY_SIZE = 7, 23  # channel and BSSID; and four addresses: ours, mask, gateway, name server
REASONS = {
    network.STAT_BEACON_TIMEOUT: "access point went silent",
    network.STAT_NO_AP_FOUND: "no access point",
    network.STAT_WRONG_PASSWORD: "wrong password",
    network.STAT_HANDSHAKE_TIMEOUT: "wrong password",
}


def join(ssid, password, end_ms, known):
    """Returns with an address before the tick `end_ms`, or raises Failed. Gives the way, to be `known` next time."""
    wlan = network.WLAN(network.WLAN.IF_STA)
    wlan.active(True)
    wlan.config(reconnects=TRIES)
    if known:
        try:
            _connect_as_before(wlan, ssid, password, known)
            _await_address(wlan, ticks_add(ticks_ms(), min(KNOWN_MS, ticks_diff(end_ms, ticks_ms()))))
        except (Failed, OSError):
            wlan.disconnect()
            wlan.ifconfig("dhcp")  # pyright: ignore[reportArgumentType]
            known = b""
    if not known:
        wlan.connect(ssid, password)
        _await_address(wlan, end_ms)
    if len(known) == WAY_SIZE:
        return known
    point = known or _point(wlan, ssid)
    return point + b"".join(map(_packed, wlan.ifconfig())) if point else b""


def leave():
    network.WLAN(network.WLAN.IF_STA).active(False)


def _connect_as_before(wlan, ssid, password, known):
    wlan.config(channel=known[0])
    if len(known) == WAY_SIZE:
        wlan.ifconfig(
            tuple(".".join(str(byte) for byte in known[at : at + 4]) for at in range(POINT_SIZE, WAY_SIZE, 4))
        )
    wlan.connect(ssid, password, bssid=known[1:POINT_SIZE])


def _point(wlan, ssid):
    """The strongest access point's channel and BSSID. The scan takes 2 s, once until the link fails."""
    found = [(rssi, channel, bssid) for name, bssid, channel, rssi, *_ in wlan.scan() if name == ssid.encode()]
    if not found:
        return None  # hidden
    _, channel, bssid = max(found)
    return bytes((channel,)) + bssid


def _await_address(wlan, end_ms):
    while not wlan.isconnected():
        status = wlan.status()
        if status not in (network.STAT_CONNECTING, network.STAT_GOT_IP):
            raise Failed("wifi: " + REASONS.get(status, "status %d" % status))
        if ticks_diff(end_ms, ticks_ms()) <= 0:
            raise Failed("wifi: no answer in time")
        sleep_ms(POLL_MS)


def _packed(address):
    return struct.pack("BBBB", *(int(byte) for byte in address.split(".")))
