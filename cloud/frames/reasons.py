"""Why a frame ended as it did, in any language: the log keeps it in English, with its figures, and nothing else.

Ingest writes the words; `tests/cloud/frames/test_reasons.py` holds that each of them is here.
"""

import re
from functools import lru_cache

from cloud.words import N_, Said

TEXTS = (
    # ingest.receive
    N_("not in the fleet"),
    N_("the button was revoked"),
    N_("key generation %(generation)s, the fleet has %(present)s"),
    N_("counter %(counter)s, %(behind)s behind the newest"),
    N_("%(number)s uplinks were taken today (UTC) already"),
    N_("taken back by counter %(counter)s, which overtook it"),
    N_("no customer has claimed this button yet"),
    N_("nothing was open to take back"),
    N_("told to say alive every %(hours)s h"),
    N_("not answered: the day’s downlinks are used up"),
    N_("the same message again, %(seconds)s s later"),
    N_("counter %(counter)s was taken %(minutes)s min ago"),
    # ingest.uplink
    N_("%(size)s bytes; an uplink has %(whole)s"),
    N_("version %(version)s; this format is version 0"),
    N_("reserved bits %(bits)s are set"),
    N_("tag wrong: not sealed by this button's key under a counter near its last"),
    N_("kind %(kind)s does not exist"),
    N_("a pickup of 0 parcels"),
    # ingest.sigfox
    N_("%(size)s bytes; a callback has at most %(most)s"),
    N_("neither JSON nor a form"),
    N_("JSON, but %(kind)s instead of an object"),
    N_("not JSON"),
    N_("no device"),
    N_("no data"),
    N_("topic of %(topic)s, device %(device)s"),
    N_("device %(device)s is not an id of up to 8 hex digits"),
    N_("data %(data)s is not a string"),
    N_("data %(data)s is not hex"),
    # ingest.unseal
    N_("key generation %(generation)s; the button is at %(present)s"),
    N_("tag wrong: under no key and no counter that this button had"),
)
BETWEEN = "; "  # two reasons of one frame


def _pattern(text: str) -> re.Pattern[str]:
    """
    >>> _pattern("counter %(counter)s, %(behind)s behind").fullmatch("counter 7, 2 behind").groupdict()
    {'counter': '7', 'behind': '2'}
    """
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(text)), re.DOTALL)


_PATTERNS = [(said.text, _pattern(said.text)) for said in TEXTS]


@lru_cache(1000)
def read(reason: str) -> tuple[Said | str, ...]:
    """The reasons in one that was kept, each to be said in any language; one that is not known stays as it is.

    >>> read("no customer has claimed this button yet; as nobody wrote")
    (Said(text='no customer has claimed this button yet', values={}), 'as nobody wrote')
    """
    if whole := _known(reason):
        return (whole,)
    parts = reason.split(BETWEEN)
    known = [_known(part) for part in parts]
    if any(known):
        return tuple(said or part for said, part in zip(known, parts, strict=True))
    return (reason,) if reason else ()


def _known(reason: str) -> Said | None:
    for text, pattern in _PATTERNS:
        if found := pattern.fullmatch(reason):
            return Said(text, found.groupdict())
    return None
