"""Onto the Wi-Fi, or a reason why not."""

from time import sleep_ms, ticks_diff, ticks_ms

import network

from domino.link import Failed

TRIES = 2  # `connect` alone would try for ever
POLL_MS = 20
REASONS = {
    network.STAT_BEACON_TIMEOUT: "access point went silent",
    network.STAT_NO_AP_FOUND: "no access point",
    network.STAT_WRONG_PASSWORD: "wrong password",
    network.STAT_HANDSHAKE_TIMEOUT: "wrong password",
}


def join(ssid, password, end_ms):
    """Returns with an address before the tick `end_ms`, or raises Failed."""
    wlan = network.WLAN(network.WLAN.IF_STA)
    wlan.active(True)
    wlan.config(reconnects=TRIES)
    wlan.connect(ssid, password)
    while not wlan.isconnected():
        status = wlan.status()
        if status not in (network.STAT_CONNECTING, network.STAT_GOT_IP):
            raise Failed("wifi: " + REASONS.get(status, "status %d" % status))
        if ticks_diff(end_ms, ticks_ms()) <= 0:
            raise Failed("wifi: no answer in time")
        sleep_ms(POLL_MS)


def leave():
    network.WLAN(network.WLAN.IF_STA).active(False)
