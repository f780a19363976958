"""The thread of an order, from the press to the door, and the search that leads there."""

import re
from html import unescape

from tests.cloud.console.lives import make_life
from tests.cloud.console.service import BUTTON, Service

STEP = re.compile(
    r"<li[^>]*>(?:<time[^>]*>(?:<b>([^<]+)</b>)?([^<]+)</time>|<span[^>]*>[^<]+</span>)"
    r'<div class="what[^"]*"><span class="hide">([\w ]+?)\W*</span><span class="strong">([^<]+)</span>'
    r"<small[^>]*>(.*?)</small>"
)


def steps(page: str) -> list[tuple[str, str, str, str, str]]:
    """(day, time, lane, title, why) of each."""
    return [tuple(re.sub("<[^>]+>", "", unescape(part)) for part in found) for found in STEP.findall(page)]


def test_a_whole_life_is_told_step_by_step_with_its_reasons(service: Service):
    life = make_life(service)

    page = service.browser().get(f"/pickups/{life.pickup_id}").text

    piece = "CD 0000 0001 4 FR".replace(" ", "\u00a0")
    assert steps(page) == [
        ("Wed 18", "19:52:12", "radio", "Pressed once", "Counter 2, in flash before anything is radiated"),
        ("", "19:52:12", "radio", "Radiated, heard by 2 stations", "5 of 6 copies; best −117 dBm at 1F08"),
        ("", "19:52:12", "seal", "Opened: seal is right",
         "Key generation 0; the first that is known under this key; one further copy folded in"),
        ("", "19:52:12", "seal", "Kept in one transaction, then acknowledged",
         "By mqtt; within two seconds of being heard"),
        ("", "19:52:12", "order", "Request 1 opened", "by its button; nothing is ordered yet"),
        ("", "19:52:12", "stamp", "Stamp reserved", "From the pool; three or more characters from every other code"),
        ("", "19:52:12", "radio", "Answered the press",
         "Sealed under its counter; sent, which is not the same as heard"),
        ("", "20:03:41", "order", "Confirmed",
         "by customer c.morvan@example.org; to Mme Hélène Vasseur, 69001 LYON"),
        ("", "20:03:41", "stamp", "Stamp live", "It can be written on the parcel, and be redeemed once"),
        ("Thu 19", "05:40:00", "round", "Put on round Rennes 07, stop 23 of 61", "by token a.legoff"),
        ("", "08:47:00", "round", "Collected: responsibility passes",
         "by token a.legoff; place: 9 m from the box; photo taken; notice left; offline, told at 08:55"),
        ("", "18:52:00", "stamp", "Read from a picture: accepted", "2 strings tried; at 35 Rennes PIC"),
        ("", "18:52:00", "sorting", "Redeemed once, 1\u00a0240 g",
         f"At 35 Rennes PIC; by token line 4; for {piece}"),
        ("Fri 20", "11:49:00", "sorting", "Delivered to the door", "by token a.legoff; place: Lyon 1er"),
    ]  # fmt: skip
    assert f"{life.code[:2]}</span>" in page
    assert "1\u00a0240 g weighed" in page
    assert piece.replace("\u00a0", " ") in page.replace("\u00a0", " ")
    assert f"/decode?data={'0' * 4}" in page
    assert f"&amp;button={BUTTON:08X}" in page
    assert 'href="/wire-format"' in page
    assert 'aria-current="step"' not in page, "it has ended"
