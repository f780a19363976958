"""What lights, bytes, gestures and losses mean, in words. Pure: values in, texts out."""

from collections.abc import Mapping, Sequence

from simulator.bench.wire import Answer, Uplink
from simulator.bench.words import N_, N_n, Said
from simulator.radio.core import Fate
from simulator.radio.model import all_lost

# docs/button.md, "What the light says".
LIGHTS = {
    "accepted": N_("Long flash: kept, it is an order"),
    "cancelled": N_("Two long flashes: the request is taken back"),
    "unclaimed": N_("Long and short: kept, but nobody has claimed this button"),
    "refused": N_("Long and three short: no pickup from here"),
    "sent-not-confirmed": N_("Two short flashes: sent, and no answer came"),
    "not-sent": N_("Six quick flashes: no link, kept and tried again by itself"),
    "not-kept": N_("Three times three quick flashes: this press does not count"),
    "unprovisioned": N_("Flicker: this board is no button yet, or has lost its key"),
}
LIGHT_TONES = {"accepted": "ok", "cancelled": "ok", "unclaimed": "warn", "sent-not-confirmed": "warn"}
STATES = (
    N_("Flicker, long flash: nothing is open"),
    N_("Flicker, long, 1 short: waits for your confirmation"),
    N_("Flicker, long, 2 short: confirmed"),
    N_("Flicker, long, 3 short: on today’s round"),
    N_("Flicker, long, 4 short: collected"),
    N_("Flicker, long, 5 short: could not be collected"),
)
ANSWERS = {
    "accepted": N_("it is an order: long flash"),
    "unclaimed": N_("no customer has claimed this button yet"),
    "cancelled": N_("the open request was taken back"),
    "refused": N_("no pickup from here"),
    "state": N_("the answer to a question"),
}
KINDS = {
    "cancel": N_("cancel"),
    "alive": N_("heartbeat"),
    "boot": N_("boot"),
    "ask": N_("ask"),
}
RESETS = {
    1: N_("power came back"),
    2: N_("after a reset"),
    3: N_("after the watchdog"),
    5: N_("after a soft reset"),
}


def light(name: str, argument: int = 0) -> Said:
    if name == "state":
        return STATES[min(argument, len(STATES) - 1)]
    return LIGHTS.get(name, Said(name))


def kind(said: Uplink) -> Said:
    if said.kind == "pickup":
        return N_n("pickup, %(n)s parcel", "pickup, %(n)s parcels", said.parcels)
    return KINDS[said.kind]


def readings(said: Uplink) -> tuple[Said, ...]:
    told = [N_("%(mv)s mV", mv=said.battery_mv), N_("%(c)s °C", c=said.temperature_c)]
    if said.reset_cause in RESETS:
        told.append(RESETS[said.reset_cause])
    if said.link_failures:
        told.append(N_n("%(n)s failed attempt before", "%(n)s failed attempts before", said.link_failures))
    return tuple(told)


def answer(said: Answer) -> tuple[Said, ...]:
    if said.status == "configure":
        return (
            N_n("heartbeat every %(n)s hour from now on", "heartbeat every %(n)s hours from now on", said.argument),
        )
    if said.status == "accepted" and said.argument:
        return ANSWERS["accepted"], N_n("pickup in %(n)s minute", "pickup in %(n)s minutes", said.argument)
    return (ANSWERS[said.status],)


def order(kind: str, id: int, *, joined: bool) -> Said:
    if kind == "cancel":
        return N_("takes order %(id)s back", id=id)
    if kind == "ask":
        return N_("about order %(id)s", id=id)
    return N_("joined order %(id)s", id=id) if joined else N_("order %(id)s", id=id)


def gesture(movements: Sequence[tuple[int, bool]]) -> Said | None:
    """Of the key's movements, in ms: how often, how far apart, how long."""
    clicks, down_at, up_at, gap, held = 0, None, None, 0, 0
    for at, is_down in movements:
        if is_down and down_at is None:
            clicks += 1
            gap = at - up_at if up_at is not None else 0
            down_at = at
        elif not is_down and down_at is not None:
            held, up_at, down_at = at - down_at, at, None
    if not clicks:
        return None
    if clicks == 1:
        return N_("1 click, held for %(ms)s ms", ms=held)
    return N_("%(n)s clicks, the last %(gap)s ms after the one before, held for %(ms)s ms", n=clicks, gap=gap, ms=held)


def heard_share(fate: Fate) -> tuple[int, int]:
    """Copies heard, of all that there were to hear."""
    levels = [level for one in fate.received for level in one.levels]
    return sum(level is not None for level in levels), len(levels)


def on_the_air(fate: Fate, letters: Mapping[str, str], loss: float) -> tuple[Said, ...]:
    if not fate.received:
        return (N_("no station in its reach is up"),)
    heard, all_of_them = heard_share(fate)
    if not heard:
        return (
            N_("all %(n)s copies lost, at %(loss)s %% loss: no answer can come", n=all_of_them, loss=percent(loss)),
        )
    told = []
    for replica in range(len(fate.received[0].levels)):
        at = [letters[one.station] for one in fate.received if one.levels[replica] is not None]
        stations = ", ".join(sorted(at))
        number = replica + 1
        told.append(
            N_("replica %(n)s heard by %(stations)s", n=number, stations=stations)
            if at
            else N_("replica %(n)s lost", n=number)
        )
    if len(fate.delays_s) > 1:
        told.append(N_("delivered twice"))
    if late := [one for one in fate.delays_s if one >= 0.05]:
        told.append(N_("%(s)s s late", s=round(max(late), 1)))
    return tuple(told)


def odds(loss: float, copies: int) -> tuple[Said, str]:
    """What a loss means for whole messages, and how it is meant: a sentence and its tone."""
    if not copies:
        return N_("No station in this button’s reach is up: every message is lost."), "bad"
    lost = all_lost(loss, copies, 1)
    if lost >= 1:
        return N_("At 100 % loss every message is lost."), "bad"
    if not lost:
        return N_("Nothing is lost: each message has %(n)s copies to be heard by.", n=copies), ""
    if lost > 0.5:
        return (
            N_("At %(loss)s %% loss, %(p)s %% of messages are lost on all %(n)s copies.", loss=percent(loss),
               p=percent(lost), n=copies),
            "bad",
        )  # fmt: skip
    one_of = two_figures(1 / lost)
    tone = "" if one_of >= 10_000 else "warn"
    return (
        N_("At %(loss)s %% loss, 1 of %(one_of)s messages is lost on all %(n)s copies.", loss=percent(loss),
           one_of=one_of, n=copies),
        tone,
    )  # fmt: skip


def percent(share: float) -> int:
    return round(share * 100)


def two_figures(value: float) -> int:
    """
    >>> two_figures(544), two_figures(2.2), two_figures(123456)
    (540, 2, 120000)
    """
    digits = max(0, len(str(int(value))) - 2)
    return round(value / 10**digits) * 10**digits
