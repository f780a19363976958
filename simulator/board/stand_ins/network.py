"""Stand-in for `network`: a Wi-Fi whose air is this machine's own network, and which can fail."""

import time

import _board

STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 200, 201, 202
STAT_ASSOC_FAIL, STAT_CONNECT_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 203, 204


class WLAN:
    IF_STA = 0

    def __init__(self, interface=IF_STA):
        self._is_active = False
        self._asked_ms = None

    def active(self, is_active=None):
        if is_active is None:
            return self._is_active
        self._is_active = is_active
        _board.trace("wifi_active", is_active=is_active)
        return None

    def config(self, *args, **kwargs):
        pass

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self._is_active:
            raise OSError("Wifi Not Started")
        _board.boundary("before wifi_connect")
        self._asked_ms = time.ticks_ms()
        _board.trace("wifi_connect", ssid=ssid)
        _board.boundary("after wifi_connect")

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, param=None):
        # After wifi_delay_ms what surroundings["wifi_status"] says: connected, an error, or connecting for ever.
        if self._asked_ms is None:
            return STAT_IDLE
        if time.ticks_diff(time.ticks_ms(), self._asked_ms) < _board.surroundings["wifi_delay_ms"]:
            return STAT_CONNECTING
        return _board.surroundings["wifi_status"]
