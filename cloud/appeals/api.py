"""The JSON API of appeals, for the staff who take them down by telephone and decide them."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cloud import database
from cloud.accounts.guard import bearer
from cloud.accounts.model import Right, Token
from cloud.appeals import store
from cloud.appeals.model import State, check_reason, claim
from cloud.audit.store import record

MAX_ID = 2**63 - 1
MAX_LIMIT = 200

router = APIRouter(prefix="/appeals", tags=["appeals"])

Judge = Annotated[Token, Depends(bearer(Right.JUDGE))]
Id = Annotated[int, Path(ge=0, le=MAX_ID)]


class AppealAnswer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    reference: str = Field(description="Whoever has it reads the outcome at /appeal", examples=["7K4F-2M9X-11AB"])
    state: State
    filed_at: datetime
    name: str
    contact: str
    piece: str | None
    code: str | None = Field(description="As it was said; whether it is a stamp, /api/stamps tells")
    text: str
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None = Field(description="As it was told to who appealed")


class Appeals(BaseModel):
    appeals: list[AppealAnswer]


class NewAppeal(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Hélène Vasseur",
                    "contact": "h.vasseur@example.org",
                    "piece": "CD604127935FR",
                    "code": "7K4F2M9X",
                    "text": "The parcel was sent back, but the stamp was written as it was shown.",
                }
            ]
        },
    )

    name: str
    contact: str = Field(description="How to reach who appeals")
    piece: str = Field("", description="The number on the item; it or the code must be there")
    code: str = ""
    text: str


class Decision(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"outcome": "upheld", "reason": "The 7 was read as a 1. The parcel goes on."}]},
    )

    outcome: Literal[State.UPHELD, State.REJECTED]
    reason: Annotated[str, AfterValidator(check_reason)] = Field(description="Who appealed will read it")


@router.get("")
def list_appeals(
    request: Request,
    token: Judge,
    state: State | None = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only those with an id below this one")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> Appeals:
    """Newest first."""
    with database.reading(request.app.state.engine) as conn:
        found = store.newest(conn, request.app.state.vault, limit=limit, state=state, before=before)
    return Appeals(appeals=[AppealAnswer.model_validate(one) for one in found])


@router.get("/{id}", responses={404: {"description": "There is no such appeal"}})
def show(request: Request, token: Judge, id: Id) -> AppealAnswer:
    """One appeal."""
    with database.reading(request.app.state.engine) as conn:
        return AppealAnswer.model_validate(store.find(conn, request.app.state.vault, id))


@router.post("", status_code=201)
def file(request: Request, token: Judge, new: NewAppeal) -> AppealAnswer:
    """Write an appeal down for somebody; tell them its reference."""
    said = claim(**new.model_dump())
    with request.app.state.engine.begin() as conn:
        reference = store.file(conn, request.app.state.vault, said, database.now())
        filed = store.by_reference(conn, request.app.state.vault, reference)
        subject = f"appeal {store.id_of(conn, reference)}"
        record(conn, actor=f"token {token.name}", action="appeal.file", subject=subject, now=database.now())
    return AppealAnswer.model_validate(filed)


@router.post(
    "/{id}/decide",
    responses={404: {"description": "There is no such appeal"}, 409: {"description": "It is decided already"}},
)
def decide(request: Request, token: Judge, id: Id, decision: Decision) -> AppealAnswer:
    """Uphold or reject it, once. Its stamp does not change by this: redeem or void it, or give another."""
    by = f"token {token.name}"
    with request.app.state.engine.begin() as conn:
        decided = store.decide(
            conn,
            request.app.state.vault,
            id,
            decision.outcome,
            by=by,
            reason=decision.reason,
            at=database.now(),
        )
        subject, outcome = f"appeal {id}", decision.outcome
        record(conn, actor=by, action="appeal.decide", subject=subject, now=database.now(), outcome=outcome)
    return AppealAnswer.model_validate(decided)
