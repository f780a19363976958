"""Alerts by mail: one message for what happened at about the same time, sent over TLS by a server of the settings.

``smtps://user:password@host:465`` begins with TLS, ``smtp://…:587`` has to change to it by STARTTLS before anything is
said; only to this very machine it may stay plain.
"""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

from cloud import pages
from cloud.alerts.model import BY_NAME, MAIL_PORTS, SUBJECTS, Event, more, parts, sentence
from cloud.words import N_

TIMEOUT_S = 10.0  # for each thing that is said to the server
MOST_LINES = 50  # events that one mail tells of; the others it counts

WORDS = {lang: pages.Words(lang) for lang in pages.LANGUAGES}
EVENTS = {
    Event.OPENED: N_("opened"),
    Event.ACKNOWLEDGED: N_("acknowledged"),
    Event.CLOSED: N_("closed"),
    Event.RESOLVED: N_("resolved"),
}


class Refused(Exception):
    """The mail was not taken; the text says why, without a password."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed over. `trust` is whose certificates are believed: the system's, where none is given."""

    url: str = field(repr=False)  # with its password
    sender: str
    trust: ssl.SSLContext | None = field(default=None, repr=False)
    timeout_s: float = TIMEOUT_S

    def send(self, recipients: Sequence[str], message: EmailMessage) -> None:
        """Raises `Refused`. One recipient that is refused does not keep it from the others."""
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or MAIL_PORTS[parts.scheme]
        trust = self.trust or ssl.create_default_context()
        try:
            if parts.scheme == "smtps":
                server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=self.timeout_s, context=trust)
            else:
                server = smtplib.SMTP(host, port, timeout=self.timeout_s)
            with server:
                if parts.scheme == "smtp" and not (_is_loopback(host) and not _has_starttls(server)):
                    server.starttls(context=trust)  # raises where the server has none
                if parts.username:
                    server.login(unquote(parts.username), unquote(parts.password or ""))
                server.send_message(message, self.sender, list(recipients))
        except smtplib.SMTPAuthenticationError as error:
            raise Refused(f"the mail server refused the sign-in ({error.smtp_code})") from None
        except smtplib.SMTPRecipientsRefused:
            raise Refused("the mail server refused every recipient") from None
        except smtplib.SMTPResponseException as error:
            raise Refused(f"the mail server answered {error.smtp_code}") from None
        except TimeoutError:
            raise Refused(f"no answer of the mail server within {self.timeout_s:g} s") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise Refused(f"the mail server: {_short(error)}") from None


def _has_starttls(server: smtplib.SMTP) -> bool:
    server.ehlo_or_helo_if_needed()
    return server.has_extn("starttls")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _short(error: Exception) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:100]


def compose(
    events: Sequence[dict[str, Any]],
    *,
    route: str,
    recipients: Sequence[str],
    sender: str,
    lang: str,
    batch: str,
    url: str,
) -> EmailMessage:
    """One mail that tells of `events`, as webhooks are told of them; `batch` names it, however often it is sent."""
    say = WORDS[lang].say
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Subject"] = f"Domino: {_subject(events, lang)}"
    message["Message-ID"] = f"<{batch}@{sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office comes back
    lines = [_lines(event, lang, url) for event in events[:MOST_LINES]]
    if len(events) > MOST_LINES:
        lines.append(say(N_("and %(count)s more", count=len(events) - MOST_LINES)))
    lines.append(f"{say(N_('Route'))} {route}: {url or ''}/alerts")
    message.set_content("\n\n".join(lines) + "\n")
    return message


def _subject(events: Sequence[dict[str, Any]], lang: str) -> str:
    say = WORDS[lang].say
    if len(events) == 1:
        event = events[0]
        if event["type"] == "test":
            return say(N_("a test of this route"))
        return f"{_what(event, lang)}: {say(BY_NAME[event['data']['rule']].title)}, {_about(event, lang)}"
    kinds = [event["type"].removeprefix("alert.") for event in events if event["type"] != "test"]
    opened, over = kinds.count(Event.OPENED), kinds.count(Event.RESOLVED) + kinds.count(Event.CLOSED)
    return say(N_("alerts opened: %(opened)s, over: %(over)s", opened=opened, over=over))


def _what(event: dict[str, Any], lang: str) -> str:
    return WORDS[lang].say(EVENTS[Event(event["type"].removeprefix("alert."))])


def _about(event: dict[str, Any], lang: str) -> str:
    kind, name = parts(event["data"]["subject"])
    return " ".join(filter(None, (WORDS[lang].say(SUBJECTS[kind]) if kind in SUBJECTS else kind, name)))


def _lines(event: dict[str, Any], lang: str, url: str) -> str:
    say = WORDS[lang].say
    if event["type"] == "test":
        return say(N_("This is a test: what is sent to this route arrives."))
    data = event["data"]
    rule = BY_NAME[data["rule"]]
    head = f"{_what(event, lang)} · {say(rule.title)} · {_about(event, lang)} · {data['severity']}"
    said = [head, say(sentence(rule, data["values"])), say(more(rule, data["values"])), f"{url}{data['path']}"]
    return "\n".join(said)
