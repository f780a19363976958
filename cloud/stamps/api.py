"""The JSON API of stamps for sorting machines and staff: read, redeem, void.

Whoever may ask here learns whether a code is live, so nobody outside has the rights: READ_STAMPS, REDEEM, OPERATE.
What was read in vain is counted against the token and the place, see cloud.stamps.allowance.
"""

import base64
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import fastapi
from fastapi import APIRouter, Depends, HTTPException, Path, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from cloud import database
from cloud.accounts.guard import bearer
from cloud.accounts.model import Right, Role, Token
from cloud.stamps.desk import Desk, Item, Reading
from cloud.stamps.ledger import Form
from cloud.stamps.model import (
    ALPHABET,
    LENGTH,
    AlreadyUsed,
    Kind,
    NotFound,
    NotLive,
    Redeemed,
    Stamp,
    State,
    Unknown,
    parse,
)

MOST_AT_ONCE = 200  # readings a request
MOST_STRINGS = 1000  # n-best strings a reading
MOST_SUM = 1.01  # of probabilities, rounded as they may be
MOST_TEXT = 64  # characters; a code has eight, spaces and dashes are let pass

# A place and a piece are written down and shown, so they are one line of print.
_Printable = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]


def _is_print(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a character that cannot be printed")
    return text


Line = Annotated[_Printable, AfterValidator(_is_print)]
Place = Annotated[Line, Field(description="Where it is read, always written the same", examples=["35 Rennes PIC"])]
Text = Annotated[str, StringConstraints(max_length=MOST_TEXT)]
Probability = Annotated[float, Field(allow_inf_nan=False)]


class Fault(BaseModel):
    code: str = Field(examples=["unprocessable_content"])
    message: str


class Readable(BaseModel):
    """One of four: what a person typed, what a reader makes of each place, its n-best list, or a picture."""

    model_config = ConfigDict(extra="forbid")

    text: Text | None = Field(None, description="As typed; case, spaces, dashes and O I S Z make no difference")
    probabilities: list[dict[str, Probability] | list[Probability]] | None = Field(
        None,
        description=f"For each of the {LENGTH} places: {len(ALPHABET)} probabilities in the order of {ALPHABET}, or an "
        "object of symbol and probability. O I S Z are added to 0 1 5 2",
    )
    strings: list[tuple[Text, Probability]] | None = Field(
        None, max_length=MOST_STRINGS, description="n-best strings with their probabilities"
    )
    picture: str | None = Field(None, description="PNG, JPEG or WebP in base64")


class ReadRequest(Readable):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"place": "35 Rennes PIC", "text": "7K 4F 2M 9X"}]}  # pyright: ignore[reportAssignmentType]  pydantic's own type of JSON is narrower than its use
    )

    place: Place


class BatchRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"place": "35 Rennes PIC", "items": [{"text": "7K4F2M9X"}, {"strings": [["7K4F2M9X", 0.91]]}]}]
        },
    )

    place: Place
    items: list[Readable] = Field(min_length=1, max_length=MOST_AT_ONCE)


class Use(BaseModel):
    """What is known of a stamp. Of one that is used: for which piece, when and where."""

    code: str = Field(examples=["7K4F2M9X"])
    state: State
    minted_at: datetime
    changed_at: datetime = Field(description="When it came to its state")
    pickup_id: int | None
    piece: str | None = Field(examples=["CD604127935FR"])
    place: str | None = Field(examples=["35 Rennes PIC"])

    @classmethod
    def of(cls, stamp: Stamp) -> "Use":
        return cls(
            code=stamp.code,
            state=stamp.state,
            minted_at=stamp.minted_at,
            changed_at=stamp.changed_at,
            pickup_id=stamp.pickup_id,
            piece=stamp.piece,
            place=stamp.place,
        )


class ReadingAnswer(BaseModel):
    kind: Kind = Field(description="What it comes to; only `accepted` pays for anything")
    stamp: Use | None = Field(description="The stamp, where it is accepted or already used")
    near_spent: Use | None = Field(description="Of an unknown code: the spent stamp that differs from it in one symbol")
    candidates: list[str] = Field(description="Of an ambiguous reading: the stamps that it may be, for a person to see")
    listed: int = Field(description="How many strings were tried")
    budget: int = Field(description="How many might be: the false accepts allowed, by the live stamps there are now")
    posterior: float | None = Field(description="Probability of the string that was found, by the reader's own account")
    why: str = Field(description="In words, where a picture shows no code")

    @classmethod
    def of(cls, reading: Reading) -> "ReadingAnswer":
        use = reading.stamp and Use.of(reading.stamp)
        is_near = reading.kind is Kind.UNKNOWN_CLEAR
        return cls(
            kind=reading.kind,
            stamp=None if is_near else use,
            near_spent=use if is_near else None,
            candidates=list(reading.candidates),
            listed=reading.listed,
            budget=reading.budget,
            posterior=reading.posterior,
            why=reading.why,
        )


class BatchEntry(BaseModel):
    """A reading, or what was wrong with the item: the others are read all the same."""

    reading: ReadingAnswer | None = None
    error: Fault | None = None


class BatchAnswer(BaseModel):
    readings: list[BatchEntry] = Field(description="In the order of the items")


class RedeemRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"code": "7K4F2M9X", "piece": "CD604127935FR", "place": "35 Rennes PIC"}]},
    )

    code: Text
    piece: Line = Field(description="The mail piece, e.g. its S10 number: the same piece may ask again")
    place: Place
    weight_g: int | None = Field(None, ge=1, le=30_000, description="Of the piece, where it was weighed")


class RedeemAnswer(BaseModel):
    stamp: Use


class NotRedeemed(BaseModel):
    """Why the piece is not paid for."""

    error: Fault
    outcome: Literal["already used", "not live", "unknown"]
    stamp: Use | None = Field(description="Of a stamp that is used: for which piece, when and where")


class VoidRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"code": "7K4F2M9X", "place": "Support"}]},
    )

    code: Text
    place: Place


ReadStamps = Annotated[Token, Depends(bearer(Right.READ_STAMPS))]
Redeem = Annotated[Token, Depends(bearer(Right.REDEEM))]
Operate = Annotated[Token, Depends(bearer(Right.OPERATE))]

_BUSY: dict[int | str, dict[str, Any]] = {
    429: {"description": "Too many readings found no stamp of late; Retry-After says when the next is heard"},
    503: {"description": "The stamps are still being loaded; Retry-After says when to ask again"},
}
router = APIRouter(prefix="/stamps", tags=["stamps"])


@router.post("/read", responses=_BUSY, response_model=ReadingAnswer)
def read(request: Request, token: ReadStamps, asked: ReadRequest) -> Response:
    """Read one code. A code that differs from a live one in little may be accepted; what is not one is not."""
    item = _item(asked)
    read = of_app(request).read([item], by=actor(token), place=asked.place, now=database.now())
    # Made here: FastAPI would check and make it in yet another turn of a worker thread.
    return Response(ReadingAnswer.of(read[0]).model_dump_json(), media_type="application/json")


@router.post("/read/batch", responses=_BUSY)
def read_batch(request: Request, token: ReadStamps, asked: BatchRequest) -> BatchAnswer:
    """Read up to 200 codes. An item that cannot be understood gets its own error."""
    answers: list[BatchEntry] = []
    items: dict[int, Item] = {}  # by its number in the batch
    for number, one in enumerate(asked.items):
        try:
            items[number] = _item(one)
        except HTTPException as error:
            answers.append(BatchEntry(error=Fault(code="unprocessable_content", message=error.detail)))
        else:
            answers.append(BatchEntry())
    if items:
        read = of_app(request).read(list(items.values()), by=actor(token), place=asked.place, now=database.now())
        for number, one in zip(items, read, strict=True):
            answers[number] = BatchEntry(reading=ReadingAnswer.of(one))
    return BatchAnswer(readings=answers)


@router.post("/read/picture", responses=_BUSY)
def read_picture(
    request: Request, token: ReadStamps, picture: UploadFile, place: Annotated[Line, fastapi.Form()]
) -> ReadingAnswer:
    """Read the code on a photograph, PNG, JPEG or WebP, sent as a form."""
    item = _item_of_picture(picture.file.read())
    read = of_app(request).read([item], by=actor(token), place=place, now=database.now())
    return ReadingAnswer.of(read[0])


@router.post(
    "/redeem",
    responses=_BUSY
    | {
        404: {"model": NotRedeemed, "description": "No stamp has this code"},
        409: {"model": NotRedeemed, "description": "Another piece was paid with it, or it is not live"},
    },
    response_model=RedeemAnswer,
)
def redeem(request: Request, token: Redeem, asked: RedeemRequest) -> RedeemAnswer | JSONResponse:
    """Pay for a mail piece with a stamp, once. The same piece again gets the same answer as the first time."""
    code = _code(asked.code)
    about = {"piece": asked.piece, "place": asked.place, "weight_g": asked.weight_g, "is_machine": is_machine(token)}
    done = of_app(request).redeem(code, by=actor(token), now=database.now(), **about)
    match done:
        case Redeemed(stamp):
            request.app.state.bell.ring()  # its order has changed with it
            return RedeemAnswer(stamp=Use.of(stamp))
        case AlreadyUsed(stamp):
            said = f"the stamp paid for {stamp.piece} at {stamp.place}, {stamp.changed_at:%Y-%m-%d %H:%M} UTC"
            return _not_redeemed(409, "already used", said, stamp)
        case NotLive(stamp):
            return _not_redeemed(409, "not live", f"the stamp is {stamp.state}", stamp)
        case Unknown():
            return _not_redeemed(404, "unknown", "no stamp has this code", None)


def _not_redeemed(
    status: int, outcome: Literal["already used", "not live", "unknown"], message: str, stamp: Stamp | None
) -> JSONResponse:
    fault = Fault(code=HTTPStatus(status).name.lower(), message=message)
    body = NotRedeemed(error=fault, outcome=outcome, stamp=stamp and Use.of(stamp))
    return JSONResponse(body.model_dump(mode="json"), status)


@router.post("/void", responses=_BUSY)
def void(request: Request, token: Operate, asked: VoidRequest) -> Use:
    """Make a stamp worthless that is not used; its order stays."""
    return Use.of(of_app(request).void(_code(asked.code), by=actor(token), place=asked.place, now=database.now()))


@router.get("/{code}", responses=_BUSY | {404: {"description": "No stamp has this code"}})
def show(request: Request, token: ReadStamps, code: Annotated[str, Path(max_length=MOST_TEXT)]) -> Use:
    """A stamp by its code, in any case, with or without spaces. A code that is none counts as a guess."""
    by = actor(token)
    about = {"place": f"look-up by {by}", "is_machine": is_machine(token)}
    stamp = of_app(request).look_up(_code(code), by=by, now=database.now(), **about)
    if stamp is None:
        raise NotFound("no stamp has this code")
    return Use.of(stamp)


def of_app(request: Request) -> Desk:
    return request.app.state.desk


def actor(token: Token) -> str:
    return f"token {token.name}"


def is_machine(token: Token) -> bool:
    """Of a sorting machine's thousands a second the ledger of readings is the record, see decision 0098."""
    return token.role is Role.SORTER


def _code(text: str) -> str:
    try:
        return parse(text)
    except ValueError as error:
        raise HTTPException(422, f"code: {error}") from None


def _item(asked: Readable) -> Item:
    given = asked.model_dump(include={"text", "probabilities", "strings", "picture"}, exclude_none=True)
    if len(given) != 1:
        raise HTTPException(422, f"give one of text, probabilities, strings and picture, not {len(given)} of them")
    if asked.picture is not None:
        try:
            data = base64.b64decode(asked.picture, validate=True)
        except ValueError:
            raise HTTPException(422, "picture: this is no base64") from None
        return _item_of_picture(data)
    from cloud.stamps import reading

    [name] = given
    try:
        if asked.text is not None:
            return Item(Form.TEXT, parse(asked.text))
        if asked.probabilities is not None:
            return Item(Form.PROBABILITIES, lattice=reading.lattice_of_probabilities(asked.probabilities))
        return Item(Form.STRINGS, strings=_checked(asked.strings or []))
    except ValueError as error:
        raise HTTPException(422, f"{name}: {error}") from None


def _checked(strings: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Raises ValueError that names the string, counted from 1. Another length is for the reader to weigh."""
    if not strings:
        raise ValueError("the list is empty")
    for number, (text, probability) in enumerate(strings, 1):
        if not 0 <= probability <= 1:
            raise ValueError(f"string {number}: a probability is 0 to 1, not {probability}")
        for symbol in text:
            try:
                parse(symbol * LENGTH)
            except ValueError:
                if not (symbol.isspace() or symbol == "-"):
                    raise ValueError(f"string {number}: a stamp code is made of {ALPHABET}, not {symbol!r}") from None
    if (total := sum(probability for _, probability in strings)) > MOST_SUM:
        raise ValueError(f"the probabilities sum to {total:.3g}, more than 1")
    return strings


def _item_of_picture(data: bytes) -> Item:
    from cloud.stamps.reader.picture import Unreadable
    from cloud.stamps.reader.read import read_picture

    try:
        picture = read_picture(data)
    except Unreadable as error:
        raise HTTPException(422, f"picture: {error}") from None
    return Item(Form.PICTURE, lattice=picture.lattice, why=picture.why)
