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
        self._asked_ms = self._ssid = self._bssid = self._addresses = None

    def active(self, is_active=None):
        if is_active is None:
            return self._is_active
        self._is_active = is_active
        _board.trace("wifi_active", is_active=is_active)
        return None

    def config(self, *names, **settings):
        return _board.surroundings["channel"] if names else None  # "channel" is the only one asked for

    def scan(self):
        time.sleep_ms(_board.surroundings["wifi_scan_ms"])
        point = bytes.fromhex(_board.surroundings["access_point"])
        return [(self._ssid.encode(), point, _board.surroundings["channel"], -60, 3, False)]

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self._is_active:
            raise OSError("Wifi Not Started")
        _board.boundary("before wifi_connect")
        self._ssid, self._bssid = ssid, bssid
        self._asked_ms = time.ticks_ms()
        _board.trace("wifi_connect", ssid=ssid, bssid=bssid.hex() if bssid else None, dhcp=self._addresses is None)
        while _board.surroundings["radio_hangs"]:
            pass
        _board.boundary("after wifi_connect")

    def disconnect(self):
        self._asked_ms = None

    def ifconfig(self, addresses=None):
        if addresses:
            self._addresses = None if addresses == "dhcp" else addresses
            return None
        return self._addresses or ("192.168.1.23", "255.255.255.0", "192.168.1.1", "192.168.1.1")

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, param=None):
        # After its delays what surroundings["wifi_status"] says: connected, an error, or connecting for ever.
        if self._asked_ms is None:
            return STAT_IDLE
        passed_ms = time.ticks_diff(time.ticks_ms(), self._asked_ms)
        passed_ms -= _board.surroundings["wifi_delay_ms"]
        passed_ms -= 0 if self._bssid else _board.surroundings["wifi_scan_ms"]
        if passed_ms < 0:
            return STAT_CONNECTING
        if self._bssid and self._bssid.hex() != _board.surroundings["access_point"]:
            return STAT_NO_AP_FOUND
        status = _board.surroundings["wifi_status"]
        if status == STAT_GOT_IP and self._addresses is None:
            if not _board.surroundings["dhcp_answers"] or passed_ms < _board.surroundings["dhcp_ms"]:
                return STAT_CONNECTING
        return status
