"""The entries of the audit trail in words: what each action did, without who and to what, which stand beside it.

A sentence names details by ``%(name)s``; what an entry has beyond those is told after it, and an action that has no
sentence is shown as it is.
"""

import re
from collections.abc import Mapping

from cloud.audit.model import Entry
from cloud.words import N_, Said

ACTIONS: Mapping[str, Said] = {
    "account.add": N_("Account made, as %(role)s"),
    "account.disable": N_("Account disabled, its sessions ended"),
    "account.enable": N_("Account enabled again"),
    "account.password": N_("Password changed"),
    "account.reset": N_("A password for once was given out"),
    "account.role": N_("Role changed from %(was)s to %(role)s"),
    "alert.acknowledge": N_("Alert acknowledged"),
    "alert.close": N_("Alert closed"),
    "alert.route.add": N_("Way for alerts added"),
    "alert.route.off": N_("Way for alerts switched off"),
    "alert.route.on": N_("Way for alerts switched on"),
    "alert.route.remove": N_("Way for alerts removed"),
    "alert.route.secret": N_("New secret for a way for alerts"),
    "alert.route.test": N_("A test sent by this way"),
    "alert.route.try": N_("What waits sent again by this way"),
    "alert.rule": N_("Rule for alerts changed"),
    "alert.silence": N_("Alerts silenced"),
    "alert.silence.end": N_("Silence ended"),
    "alert.unwatch": N_("Watched no more"),
    "alert.watch": N_("Watched from now on"),
    "appeal.decide": N_("Appeal %(outcome)s"),
    "appeal.file": N_("Appeal written down"),
    "audit.export": N_("Audit trail exported, %(count)s entries"),
    "broker.accounts": N_("Accounts for the broker written, %(count)s buttons"),
    "button.add": N_("Button taken into the fleet"),
    "button.cancel-downlink": N_("Downlink taken back"),
    "button.claim": N_("Button claimed by its owner"),
    "button.configure": N_("Downlink queued: alive every %(hours)s h"),
    "button.drop-key-plan": N_("A new key is wanted no more"),
    "button.export": N_("Slip with the button’s key written"),
    "button.found": N_("Button found, taken back under key generation %(key_generation)s"),
    "button.key": N_("Key generation %(key_generation)s given to a board"),
    "button.plan-key": N_("A new key is wanted"),
    "button.ready": N_("The board has its key"),
    "bundle.make": N_("Support bundle made"),
    "button.note.remove": N_("Note %(note)s taken away"),
    "button.note.write": N_("Note %(note)s written"),
    "button.revoke": N_("Button revoked: %(why)s"),
    "fleet.codes": N_("%(count)s claim codes handed out"),
    "fleet.import": N_("File imported: %(added)s buttons added, %(changed)s changed"),
    "fleet.remove view": N_("Saved view removed"),
    "fleet.save view": N_("View saved"),
    "fleet.undo": N_("Import undone: %(taken_back)s buttons"),
    "key.new": N_("A further master key made"),
    "key.reseal": N_("Stamps sealed anew, %(count)s codes"),
    "key.retire": N_("Master key forgotten"),
    "log.export": N_("Log of frames exported as %(form)s"),
    "log.prune": N_("Old frames let go of, %(count)s"),
    "log.replay": N_("Log replayed into the database, %(count)s frames"),
    "log.ship": N_("Log shipped elsewhere"),
    "pickup.cancel": N_("Order cancelled"),
    "pickup.collect": N_("Parcel collected"),
    "pickup.confirm": N_("Order confirmed"),
    "pickup.deliver": N_("Parcel delivered"),
    "pickup.fail": N_("Parcel not collected"),
    "pickup.round": N_("Order put on a round"),
    "session.close": N_("Signed out"),
    "session.end": N_("Session ended from elsewhere"),
    "session.open": N_("Signed in"),
    "session.refused": N_("Sign-in refused: %(count)s × from %(network)s"),
    "stamp.look-up": N_("Stamp looked up: %(found)s"),
    "stamp.print": N_("Stamp printed on a card"),
    "stamp.redeem": N_("Stamp to be redeemed for a parcel: %(outcome)s"),
    "stamp.void": N_("Stamp made void"),
    "station.import": N_("Stations named, %(count)s of them"),
    "token.create": N_("Token made, as %(role)s"),
    "token.refused": N_("Token refused: %(count)s × from %(network)s, where it is not allowed"),
    "token.revoke": N_("Token revoked"),
}

# Values of details, said in the reader's language.
VALUES: Mapping[str, Said] = {
    "already used": N_("already used"),
    "ambiguous": N_("ambiguous"),
    "live": N_("live"),
    "minted": N_("minted"),
    "no stamp": N_("no stamp"),
    "not live": N_("not live"),
    "redeemed": N_("redeemed"),
    "rejected": N_("rejected"),
    "released": N_("released"),
    "reserved": N_("reserved"),
    "unknown": N_("unknown"),
    "upheld": N_("upheld"),
    "void": N_("void"),
    "expired": N_("expired"),
}
NAMES: Mapping[str, Said] = {
    "count": N_("count"),
    "expires": N_("until"),
    "board": N_("board"),
    "claim_code": N_("claim code"),
    "form": N_("form"),
    "goes_on": N_("goes on"),
    "months": N_("months"),
    "from": N_("addresses"),
    "key_generation": N_("key generation"),
    "hours": N_("hours"),
    "network": N_("address"),
    "number": N_("number"),
    "outcome": N_("outcome"),
    "piece": N_("parcel"),
    "place": N_("place"),
    "reason": N_("reason"),
    "rights": N_("rights"),
    "role": N_("role"),
    "tokens": N_("tokens revoked"),
    "was": N_("before"),
    "why": N_("reason"),
}
# What actors and subjects are called: their first words.
KINDS: Mapping[str, Said] = {
    "staff": N_("staff"),
    "token": N_("token"),
    "customer": N_("customer"),
    "command line": N_("command line"),
    "service": N_("the service"),
    "visitor": N_("somebody not signed in"),
    "button": N_("button"),
    "order": N_("order"),
    "stamp of order": N_("stamp of order"),
    "a code": N_("a code"),
    "account": N_("account"),
    "alert": N_("alert"),
    "appeal": N_("appeal"),
    "import": N_("import"),
    "route": N_("way for alerts"),
    "rule": N_("rule"),
    "silence": N_("silence of alerts"),
    "view": N_("view"),
    "master key": N_("master key"),
    "the log": N_("the log"),
    "the audit trail": N_("the audit trail"),
    "the broker": N_("the broker"),
    "the stamps": N_("the stamps"),
    "unknown name": N_("unknown name"),
    "several names": N_("several names"),
}
ROLES_AS_VALUES = frozenset({"role", "was"})  # details that hold a role, which is said as pages say it

_NAMED = re.compile(r"%\((\w+)\)s")


def sentence(entry: Entry) -> Said | None:
    """What was done; None for an action without words, or one that lacks a detail they name."""
    said = ACTIONS.get(entry.action)
    if said is None or set(_NAMED.findall(said.text)) - entry.detail.keys():
        return None
    return Said(said.text, {name: value(name, one) for name, one in entry.detail.items()})


def in_general() -> list[tuple[str, Said]]:
    """Every action and its sentence, as it is said of no entry."""
    return [(name, Said(said.text, dict.fromkeys(_NAMED.findall(said.text), "…"))) for name, said in ACTIONS.items()]


def beyond(entry: Entry) -> list[tuple[Said, object]]:
    """The details that the sentence does not tell, by what each is called."""
    said = sentence(entry)
    told = set() if said is None else set(_NAMED.findall(said.text))
    left = {name: one for name, one in entry.detail.items() if name not in told and one not in (None, "", [])}
    return [(NAMES.get(name, Said(name)), value(name, one)) for name, one in left.items()]


def value(name: str, one: object) -> object:
    if isinstance(one, str):
        return VALUES.get(one) or (Said(one) if name in ROLES_AS_VALUES else one)
    if isinstance(one, list):
        return ", ".join(map(str, one))
    if isinstance(one, int) and not isinstance(one, bool):
        return f"{one:,}".replace(",", "\N{NO-BREAK SPACE}")
    if one is True:
        return N_("yes")
    return one


def parted(text: str) -> tuple[Said | None, str]:
    """Of an actor or a subject its kind in words, and which one: ("button", "0012AB34")."""
    for kind in sorted(KINDS, key=len, reverse=True):
        if text == kind or text.startswith(f"{kind} "):
            return KINDS[kind], text[len(kind) + 1 :]
    return None, text


def in_english(entry: Entry) -> str:
    """One line, for the command line."""
    said = str(sentence(entry) or entry.action)
    left = "; ".join(f"{name} {one}" for name, one in beyond(entry))
    return f"{said} ({left})" if left else said
