"""The JSON API of a button's downlinks: what waits, what was sent, what is proven."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field

import cloud.fleet.store
from cloud import database
from cloud.accounts.guard import bearer
from cloud.accounts.model import Right, Token
from cloud.audit.store import record
from cloud.downlinks import store
from cloud.downlinks.model import MAX_HOURS, MAX_REASON, MIN_HOURS, Configuration, State
from cloud.fleet.model import format_id, parse_id

MAX_ID = 2**63 - 1

router = APIRouter(prefix="/buttons/{id}/downlinks", tags=["buttons"])

See = Annotated[Token, Depends(bearer(Right.SEE))]
Operate = Annotated[Token, Depends(bearer(Right.OPERATE))]


class ConfigurationAnswer(BaseModel):
    id: int
    state: State
    heartbeat_hours: int
    reason: str
    actor: str
    queued_at: datetime
    until: datetime = Field(description="Then it is given up")
    changed_at: datetime
    sendings: int = Field(description="How often it was sent; it is sent again until it is proven")
    sent_at: datetime | None
    key_generation: int | None
    counter: int | None = Field(description="Of the `alive` that it answered last")
    proven_at: datetime | None = Field(description="When the button's early `alive` was heard")


class AnswerAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    kind: str = Field(description="Of the uplink that it answers", examples=["pickup"])
    key_generation: int
    counter: int
    at: datetime
    pickup_id: int | None


class Downlinks(BaseModel):
    used_today: int = Field(description="Sent on this UTC day, answers and configurations")
    per_day: int
    heartbeat_hours: int | None = Field(description="The period proven last; none was ever proven: null")
    configurations: list[ConfigurationAnswer] = Field(description="Newest first")
    answers: list[AnswerAnswer] = Field(description="Newest first")


class NewConfiguration(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"heartbeat_hours": 48, "reason": "battery is low"}}
    )

    heartbeat_hours: int = Field(ge=MIN_HOURS, le=MAX_HOURS)
    reason: str = Field(min_length=1, max_length=MAX_REASON)


@router.get("")
def list_downlinks(request: Request, token: See, id: str) -> Downlinks:
    """What waits for the button, what it was sent, and what it has proven."""
    device, now = _device(id), database.now()
    with database.reading(request.app.state.engine) as conn:
        if cloud.fleet.store.find(conn, device) is None:
            raise HTTPException(404, f"no button {id} in the fleet")
        return Downlinks(
            used_today=cloud.fleet.store.used_today(conn, device, now)[1],
            per_day=request.app.state.downlinks_per_day,
            heartbeat_hours=store.heartbeat_hours(conn, device),
            configurations=[_told(one, now) for one in store.of_button(conn, device)],
            answers=[AnswerAnswer.model_validate(one) for one in store.answers(conn, device)],
        )


@router.post("", status_code=201)
def configure(request: Request, token: Operate, id: str, new: NewConfiguration) -> ConfigurationAnswer:
    """Queue a heartbeat period for the next `alive`; it takes the place of one that is open."""
    now = database.now()
    with request.app.state.engine.begin() as conn:
        by, device = f"token {token.name}", _device(id)
        made = store.configure(conn, device, new.heartbeat_hours, reason=new.reason, by=by, now=now)
        subject, about = (
            f"button {format_id(device)}",
            {"hours": made.hours, "reason": made.reason, "downlink": made.id},
        )
        record(conn, actor=by, action="button.configure", subject=subject, now=now, **about)
    return _told(made, now)


@router.post("/{downlink}/cancel")
def cancel(
    request: Request, token: Operate, id: str, downlink: Annotated[int, Path(ge=0, le=MAX_ID)]
) -> ConfigurationAnswer:
    """Send it no more; what was sent stays its uplink's answer."""
    now = database.now()
    with request.app.state.engine.begin() as conn:
        device = _device(id)
        cancelled = store.cancel(conn, device, downlink, now)
        by, subject = f"token {token.name}", f"button {format_id(device)}"
        record(conn, actor=by, action="button.cancel-downlink", subject=subject, now=now, downlink=downlink)
    return _told(cancelled, now)


def _device(text: str) -> int:
    try:
        return parse_id(text)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _told(one: Configuration, now: datetime) -> ConfigurationAnswer:
    values: dict[str, Any] = {name: getattr(one, name, None) for name in ConfigurationAnswer.model_fields}
    return ConfigurationAnswer(**values | {"state": one.at(now), "heartbeat_hours": one.hours})
