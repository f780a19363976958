"""The JSON API of alerts: what is open and what was, acknowledging, and silences."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from cloud import database
from cloud.accounts.guard import bearer
from cloud.accounts.model import Right, Token
from cloud.alerts import model, store
from cloud.alerts.mail import WORDS
from cloud.alerts.model import BY_NAME, MOST_WORD, Alert, Severity, State, evidence_href, sentence

MAX_ID = 2**63 - 1
MAX_LIMIT = 200

router = APIRouter(prefix="/alerts", tags=["alerts"])

See = Annotated[Token, Depends(bearer(Right.SEE))]
Operate = Annotated[Token, Depends(bearer(Right.OPERATE))]
Id = Annotated[int, Path(ge=1, le=MAX_ID)]


class AlertAnswer(BaseModel):
    id: int
    rule: str = Field(examples=["replays"])
    subject: str = Field(description="What it is about: its kind and its name", examples=["button 00A17C52"])
    department: str | None
    severity: Severity
    state: State
    sentence: dict[str, str] = Field(description="What it says, by language")
    values: dict[str, str | int]
    evidence: list[str] = Field(description="Paths of pages that show it")
    first_at: datetime
    opened_at: datetime = Field(description="The condition is there since")
    seen_at: datetime
    times: int = Field(description="How often it was opened: it came back")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    word: str | None
    ended_at: datetime | None
    ended_by: str | None = Field(description="null: by itself")


class AlertsAnswer(BaseModel):
    alerts: list[AlertAnswer]


class Acknowledgement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: str = Field("", max_length=MOST_WORD)


class NewSilence(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: str = Field("", max_length=40, description="What it does not name, it covers whole; it names one at least")
    subject: str = Field("", max_length=100)
    department: str = Field("", max_length=3)
    reason: str = Field(min_length=1, max_length=MOST_WORD)
    hours: float = Field(gt=0, le=720)


class SilenceAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    rule: str | None
    subject: str | None
    department: str | None
    reason: str
    by: str
    since: datetime
    until: datetime


class SilencesAnswer(BaseModel):
    silences: list[SilenceAnswer]


@router.get("")
def list_alerts(
    request: Request,
    token: See,
    state: State | None = None,
    rule: Annotated[str | None, Query(max_length=40)] = None,
    subject: Annotated[str | None, Query(max_length=100)] = None,
    department: Annotated[str | None, Query(max_length=3)] = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only items with an id below this one")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> AlertsAnswer:
    """Alerts, newest first."""
    with database.reading(request.app.state.engine) as conn:
        found = store.newest(
            conn, limit=limit, before=before, state=state, rule=rule, subject=subject, department=department
        )
    return AlertsAnswer(alerts=[_answer(one) for one in found])


@router.get("/silences")
def list_silences(request: Request, token: See) -> SilencesAnswer:
    """The silences in force, those that end first before the others."""
    with database.reading(request.app.state.engine) as conn:
        found = store.in_force(conn, database.now())
    return SilencesAnswer(silences=[SilenceAnswer.model_validate(one) for one in found])


@router.post("/silences", status_code=201)
def add_silence(request: Request, token: Operate, new: NewSilence) -> SilenceAnswer:
    """For a time nothing is sent of what it covers."""
    asked = model.silence(**new.model_dump(), by=f"token {token.name}", now=database.now())
    with request.app.state.engine.begin() as conn:
        return SilenceAnswer.model_validate(store.add_silence(conn, asked))


@router.delete("/silences/{id}", status_code=204)
def end_silence(request: Request, token: Operate, id: Id) -> None:
    """Before its time."""
    with request.app.state.engine.begin() as conn:
        store.end_silence(conn, id, by=f"token {token.name}", now=database.now())


@router.get("/{id}")
def show_alert(request: Request, token: See, id: Id) -> AlertAnswer:
    """One alert."""
    with database.reading(request.app.state.engine) as conn:
        return _answer(store.find(conn, id))


@router.post("/{id}/acknowledge")
def acknowledge(request: Request, token: Operate, id: Id, said: Acknowledgement) -> AlertAnswer:
    """Somebody sees to it."""
    with request.app.state.engine.begin() as conn:
        alert = store.acknowledge(conn, id, by=f"token {token.name}", word=said.word, now=database.now())
    request.app.state.bell.ring()
    return _answer(alert)


@router.post("/{id}/close")
def close(request: Request, token: Operate, id: Id, said: Acknowledgement) -> AlertAnswer:
    """It is over; it opens again only when the condition has gone and come back."""
    with request.app.state.engine.begin() as conn:
        alert = store.close(conn, id, by=f"token {token.name}", word=said.word, now=database.now())
    request.app.state.bell.ring()
    return _answer(alert)


def _answer(alert: Alert) -> AlertAnswer:
    rule = BY_NAME.get(alert.rule)
    said: dict[str, Any] = {name: getattr(alert, name) for name in AlertAnswer.model_fields if hasattr(alert, name)}
    texts = {} if rule is None else {lang: words.say(sentence(rule, alert.values)) for lang, words in WORDS.items()}
    said |= {
        "sentence": texts,
        "values": dict(alert.values),
        "evidence": [evidence_href(*one) for one in alert.evidence],
        "acknowledged_at": alert.acked_at,
        "acknowledged_by": alert.acked_by,
        "word": alert.acked_word,
    }
    return AlertAnswer(**said)
