"""What may go on the air: Sigfox's messages a day, and ETSI's air time an hour, in windows that slide.

Every link is held to the day's budget; air time costs only where there is some. Presses come first: heartbeats leave
room for them. The windows are 5 % longer than an hour and a day, by which the ESP32's clock may err while asleep.
"""

from array import array

UPLINKS, DOWNLINKS = 140, 4  # a day, Sigfox's highest subscription
AIR_MS = 36_000  # an hour: 1 % duty cycle, ETSI EN 300 220, 868.0 to 868.6 MHz
HOUR_S = 3_600 * 21 // 20
DAY_S = 86_400 * 21 // 20
LEFT_TO_PRESSES = 20, 3  # of the day's uplinks and downlinks, by heartbeats


class Budget:
    """`link` says what one message costs: AIR_MS of air time, and CONFIRM_MS more when it is answered."""

    def __init__(self, memory, link, now):
        self._memory, self._link, self._now = memory, link, now
        memory.sent = array("I", (at for at in memory.sent if now - at < DAY_S))
        memory.asked = array("I", (at for at in memory.asked if now - at < DAY_S))

    def has_room(self, is_heartbeat):
        spared = LEFT_TO_PRESSES[0] if is_heartbeat else 0
        messages = 2 if is_heartbeat else 1  # in this hour: one more for a press
        return len(self._memory.sent) + spared < UPLINKS and self._air_ms() + messages * self._link.AIR_MS <= AIR_MS

    def may_listen(self, is_heartbeat):
        spared = LEFT_TO_PRESSES[1] if is_heartbeat else 0
        costs_ms = self._link.AIR_MS + self._link.CONFIRM_MS
        return len(self._memory.asked) + spared < DOWNLINKS and self._air_ms() + costs_ms <= AIR_MS

    def spend(self, listens):
        """Before radiating: what a reset interrupts was on the air all the same."""
        self._memory.sent.append(self._now)
        if listens:
            self._memory.asked.append(self._now)
        self._memory.save()

    def _air_ms(self):
        sent, asked = (
            sum(self._now - at < HOUR_S for at in times) for times in (self._memory.sent, self._memory.asked)
        )
        return self._link.AIR_MS * sent + self._link.CONFIRM_MS * asked
