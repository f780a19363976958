"""The seam to the hardware: an ESP32 DevKit with a key, a light and a battery behind a divider."""

import esp32
import machine

from domino.link import mqtt

KEY_PIN = 4  # to ground when pressed; an RTC pin, or it could not wake the board
LED_PIN = 2  # lit when high
BATTERY_PIN = 34  # on ADC1: ADC2 is taken while Wi-Fi runs
BATTERY_DIVIDER = 2  # two equal resistors: the ADC is linear from 150 to 2450 mV only


class Board:
    def __init__(self):
        # The pull-up holds in deep sleep too: waking by EXT0 keeps the RTC domain powered.
        self._key = machine.Pin(KEY_PIN, machine.Pin.IN, machine.Pin.PULL_UP)
        self._led = machine.Pin(LED_PIN, machine.Pin.OUT, value=0)
        self._battery = machine.ADC(machine.Pin(BATTERY_PIN), atten=machine.ADC.ATTN_11DB)
        self._rtc = machine.RTC()

    def why_awake(self):
        """One of "press", "reset" (power, watchdog, software) and "nothing" (a timer, a stray wake)."""
        if machine.reset_cause() != machine.DEEPSLEEP_RESET:
            return "reset"
        return "press" if machine.wake_reason() == machine.EXT0_WAKE else "nothing"

    def reset_cause(self):
        return min(machine.reset_cause(), 7)

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

    def link(self, device_id):
        return mqtt.Link(self.nvs(), device_id)

    # Failures are counted in RTC memory: they tell of the link since the last success, are written only when it fails,
    # and may well be lost with the battery; flash would wear for that.

    def link_failures(self):
        memory = self._rtc.memory()
        return memory[0] if memory else 0

    def set_link_failures(self, count):
        self._rtc.memory(bytes((min(count, 7),)))

    def sleep(self, for_ms=None):
        """Until the key goes down or, with `for_ms`, for that long whatever the key does. Never returns."""
        self.led(False)
        if for_ms:
            machine.deepsleep(for_ms)
        esp32.wake_on_ext0(self._key, esp32.WAKEUP_ALL_LOW)
        machine.deepsleep()
