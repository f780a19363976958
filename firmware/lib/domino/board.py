"""The seam to the hardware: an ESP32 DevKit with a key, a light, a battery behind a divider, and perhaps a modem."""

import gc
import time

import esp32
import machine

KEY_PIN = 4  # to ground when pressed; an RTC pin, or it could not wake the board
LED_PIN = 2  # lit when high
BATTERY_PIN = 34  # on ADC1: ADC2 is taken while Wi-Fi runs
BATTERY_DIVIDER = 2  # two equal resistors: the ADC is linear from 150 to 2450 mV only
MODEM_UART, MODEM_TX_PIN, MODEM_RX_PIN = 2, 17, 16  # its usual pins
GC_BYTES = 4_096  # collected this often, the heap stays in one piece: a link is loaded into what is left of it


class Board:
    def __init__(self):
        gc.threshold(GC_BYTES)
        # The pull-up holds in deep sleep too: waking by EXT0 keeps the RTC domain powered.
        self._key = machine.Pin(KEY_PIN, machine.Pin.IN, machine.Pin.PULL_UP)
        self._led = machine.Pin(LED_PIN, machine.Pin.OUT, value=0)
        self._battery = machine.ADC(machine.Pin(BATTERY_PIN), atten=machine.ADC.ATTN_11DB)
        self.rtc_memory = machine.RTC().memory

    def why_awake(self):
        """One of "press", "reset" (power, watchdog, software), "timer", and "nothing" (a stray wake)."""
        if machine.reset_cause() != machine.DEEPSLEEP_RESET:
            return "reset"
        return {machine.EXT0_WAKE: "press", machine.TIMER_WAKE: "timer"}.get(machine.wake_reason(), "nothing")

    def reset_cause(self):
        return min(machine.reset_cause(), 7)

    def is_watchdog(self):
        return machine.reset_cause() == machine.WDT_RESET

    def now_s(self):
        """Seconds of a clock that runs in deep sleep too, and begins anew with the battery."""
        return int(time.time())

    def watch(self, ms):
        """A reset, unless called again within that time or asleep by then. There is no way back to unwatched."""
        machine.WDT(timeout=ms).feed()

    def key_is_down(self):
        return not self._key.value()

    def led(self, is_lit):
        self._led.value(is_lit)

    def battery_mv(self):
        return self._battery.read_uv() * BATTERY_DIVIDER // 1000

    def temperature_c(self):
        """The chip's own sensor, near the air's temperature as long as the radio has not yet run."""
        return round((esp32.raw_temperature() - 32) / 1.8)  # it reads in Fahrenheit

    def nvs(self):
        return esp32.NVS("domino")

    def heartbeat_hours(self):
        try:
            return max(1, min(self.nvs().get_i32("hours"), 168))
        except OSError:
            return 24

    def set_heartbeat_hours(self, hours):
        nvs = self.nvs()
        nvs.set_i32("hours", hours)
        nvs.commit()

    def has_fallen(self):
        """Whether the power went, last time, while the radio ran for the first time since it had come."""
        try:
            return self.nvs().get_i32("fall") == 1
        except OSError:
            return False

    def mark_fall(self, is_near):
        """Written when it changes alone: with a new battery, not with a press."""
        if is_near != self.has_fallen():
            nvs = self.nvs()
            nvs.set_i32("fall", int(is_near))
            nvs.commit()

    def link(self, device_id, memory):
        """The link that NVS names: `link` is `mqtt`, also without one, or `wisol`."""
        gc.collect()  # a link is the largest thing to load, and its heap wants to be in one piece
        name = bytearray(8)
        try:
            name = name[: self.nvs().get_blob("link", name)]
        except OSError:
            name = b"mqtt"
        if name == b"wisol":
            from domino.link import wisol  # only the one in use takes heap

            return wisol.Link(machine.UART(MODEM_UART, 9600, tx=MODEM_TX_PIN, rx=MODEM_RX_PIN))
        from domino.link import mqtt

        return mqtt.Link(self.nvs(), device_id, memory, self.now_s())

    def sleep(self, for_s, on_key):
        """For that long, or with `on_key` until the key goes down. Never returns."""
        self.led(False)
        if on_key:
            esp32.wake_on_ext0(self._key, esp32.WAKEUP_ALL_LOW)
        machine.deepsleep(for_s * 1000)
