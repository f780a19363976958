"""The bench's page: what stands on it, what may be done to it, and a stream that says what has changed.

The page asks for each of its parts anew when the stream says so; the lamp alone comes with the stream itself, because
its flickers are 40 ms long. `domino.css`, its icons and htmx are the console's own files, named by whoever starts this.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse

from simulator.bench import flash, sayings, wire
from simulator.bench.air import MOST_DELAY_S
from simulator.bench.boards import BATTERY_MAH, CUTS, HOLD_MS, MARKS, WAKES, Button, Full, NoSuchBoard, NotNow, State
from simulator.bench.desk import Bench
from simulator.bench.door import Door, Gate
from simulator.bench.hub import News
from simulator.bench.journal import Row, Way
from simulator.bench.traffic import Plan
from simulator.bench.words import LANGUAGES, N_, Said, Words
from simulator.radio.model import HELD_BACK_S

HERE = Path(__file__).parent
ROWS = 60  # shown
LANGUAGE_COOKIE = "domino_lang"  # the console's own: it is one host, so one choice
PARTS = frozenset({"boards", "board", "says", "air", "odds", "traffic", "rows"})  # each a template of its name
ALIVE_S = 15.0  # how often a quiet stream says that it is there
SPEEDS = (1, 60, 3600)
TRAFFIC_SPEEDS = (1, 60, 600, 3600)
PLAN = Plan(presses_a_day=4, speed=60)
TRAFFIC = 1000


@dataclass(frozen=True, slots=True)
class Files:
    """What the page takes over from the console: folders of its static and its vendor files, and its icons."""

    static: Path
    vendor: Path
    icons: Path

    def all(self) -> Mapping[str, Path]:
        own = HERE / "static"
        return {
            "domino.css": self.static / "domino.css",
            "domino.svg": self.static / "domino.svg",
            "htmx.min.js": self.vendor / "htmx.min.js",
            "bench.css": own / "bench.css",
            "bench.js": own / "bench.js",
        }


def create_app(bench: Bench, door: Door, files: Files, *, about: Mapping[str, str]) -> FastAPI:
    """`about` names the versions that the page tells: ``firmware``, ``micropython``."""
    app = FastAPI(title="Domino bench", openapi_url=None, docs_url=None, redoc_url=None)
    page = _Page(bench, door, files, about)
    statics = files.all()

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in statics:
            raise HTTPException(404)
        return FileResponse(statics[name], headers={"cache-control": "no-cache"})

    @app.get("/")
    def show(request: Request, board: str | None = None) -> Response:
        return page.whole(request, board)

    @app.get("/part/{name}")
    def part(request: Request, name: str, board: str | None = None) -> Response:
        if name not in PARTS:
            raise HTTPException(404)
        return page.part(request, name, board)

    @app.get("/events")
    async def events(request: Request) -> Response:
        lines = _stream(bench, Words(language(request)))
        return StreamingResponse(lines, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    @app.get("/vectors")
    def vectors(board: str) -> Response:
        return JSONResponse(_vectors(bench, bench.boards.find(board)))

    @app.post("/boards")
    def add() -> Response:
        return _done(bench.boards.add().name)

    @app.post("/boards/{name}/key")
    def move_key(
        name: str,
        to: Annotated[str, Form(pattern="^(down|up)$")],
        at: Annotated[int | None, Form(ge=0, le=2**53)] = None,
    ) -> Response:
        """`at`: in ms of the browser's own clock, so that a gesture keeps its times."""
        bench.boards.move_key(name, is_down=to == "down", at_ms=at)
        return _done()

    @app.post("/boards/{name}/press")
    def press(name: str, clicks: Annotated[int, Form()] = 1, hold: Annotated[bool, Form()] = False) -> Response:
        with _checked():
            bench.boards.press(name, clicks, HOLD_MS if hold else None)
        return _done()

    @app.post("/boards/{name}/power")
    def power(name: str, to: Annotated[str, Form(pattern="^(off|on)$")]) -> Response:
        bench.boards.cut_power(name) if to == "off" else bench.boards.restore_power(name)
        return _done()

    @app.post("/boards/{name}/reset")
    def reset(name: str) -> Response:
        bench.boards.reset(name)
        return _done()

    @app.post("/boards/{name}/wake")
    def wake(name: str) -> Response:
        bench.boards.wake_now(name)
        return _done()

    @app.post("/boards/{name}/world")
    def world(
        name: str,
        mv: Annotated[int | None, Form()] = None,
        temperature: Annotated[int | None, Form()] = None,
        cut: Annotated[str | None, Form()] = None,
    ) -> Response:
        with _checked():
            bench.boards.set_world(name, battery_mv=mv, temperature_c=temperature, cut=cut)
        return _done()

    @app.post("/power")
    def cut_all() -> Response:
        bench.boards.cut_all()
        return _done()

    @app.post("/speed")
    def speed(to: Annotated[float, Form()]) -> Response:
        with _checked():
            bench.boards.set_speed(to)
        return _done()

    @app.post("/air")
    def impair(
        loss: Annotated[float | None, Form()] = None,
        delay: Annotated[float | None, Form(le=MOST_DELAY_S)] = None,
        duplicates: Annotated[float | None, Form()] = None,
        out_of_order: Annotated[float | None, Form()] = None,
    ) -> Response:
        """Shares are given in percent, the delay in seconds."""
        shares = {"loss": loss, "duplicates": duplicates, "out_of_order": out_of_order}
        changes = {name: share / 100 for name, share in shares.items() if share is not None}
        with _checked():
            bench.air.impair(**changes, **({} if delay is None else {"max_delay_s": delay}))
        bench.hub.tell("air")
        return _done()

    @app.post("/air/station")
    def station(id: Annotated[str, Form()], up: Annotated[bool, Form()] = False) -> Response:
        with _checked():
            bench.air.set_station(id, is_up=up)
        bench.hub.tell("air")
        return _done()

    @app.post("/air/calm")
    def calm(request: Request, board: str | None = None) -> Response:
        bench.air.calm()
        bench.hub.tell("air")
        return page.part(request, "air", board)

    @app.post("/traffic")
    def start_traffic(
        count: Annotated[int, Form()] = TRAFFIC,
        presses: Annotated[float, Form()] = PLAN.presses_a_day,
        speed: Annotated[float, Form()] = PLAN.speed,
    ) -> Response:
        if bench.traffic.is_running:
            raise NotNow("the traffic runs already")
        with _checked():
            bench.start_traffic(count, Plan(presses, speed))
        return _done()

    @app.post("/traffic/stop")
    def stop_traffic() -> Response:
        bench.traffic.stop()
        return _done()

    for error, status in ((NoSuchBoard, 404), (NotNow, 409), (Full, 409)):
        app.add_exception_handler(error, _telling(status))
    app.add_exception_handler(HTTPException, _tell_refusal)
    app.add_middleware(Gate, door=door)
    return app


@contextmanager
def _checked() -> Iterator[None]:
    """What is out of its bounds is the asker's fault."""
    try:
        yield
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


async def _tell_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(error.detail, error.status_code)


def language(request: Request) -> str:
    asked = request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)
    return next((lang for lang in asked if lang in LANGUAGES), LANGUAGES[0])


def _telling(status: int) -> Any:
    def tell(_request: Request, error: Exception) -> Response:
        text = f"There is no board {error}." if isinstance(error, NoSuchBoard) else f"{error}."
        return PlainTextResponse(text, status)

    return tell


def _done(told: str = "") -> Response:
    return PlainTextResponse(told, 200 if told else 204)


class _Page:
    def __init__(self, bench: Bench, door: Door, files: Files, about: Mapping[str, str]) -> None:
        self._bench, self._door, self._about = bench, door, about
        self._environments = {lang: _environment(lang, files.icons) for lang in LANGUAGES}

    def whole(self, request: Request, board: str | None) -> Response:
        lang = language(request)
        answer = self._render(lang, "page", board)
        if request.query_params.get("lang") in LANGUAGES:
            answer.set_cookie(LANGUAGE_COOKIE, lang, max_age=365 * 86400, httponly=True, samesite="lax")
        return answer

    def part(self, request: Request, name: str, board: str | None) -> Response:
        return self._render(language(request), name, board)

    def _render(self, lang: str, name: str, board: str | None) -> HTMLResponse:
        buttons = self._bench.boards.all
        chosen = next((one for one in buttons if one.name == board), buttons[0] if buttons else None)
        context: dict[str, Any] = {
            "lang": lang,
            "bench": self._bench,
            "about": self._about,
            "csrf": self._door.csrf,
            "console": self._bench.cloud.url,
            "buttons": buttons,
            "board": chosen,
            "MARKS": MARKS,
            "State": State,
            "speeds": SPEEDS,
        }
        if name in ("page", "air", "odds"):
            context |= self._of_air(chosen)
        if name in ("page", "air", "traffic"):
            context |= self._of_traffic()
        if name in ("page", "rows"):
            context["rows"] = self._rows(chosen) if chosen else []
        template = self._environments[lang].get_template(f"{name}.html")
        if chosen and name in ("page", "board"):
            with self._bench.boards.looking_at(chosen.name):
                return HTMLResponse(template.render(context | self._of_board(chosen)))
        return HTMLResponse(template.render(context))

    def _of_board(self, button: Button) -> dict[str, Any]:
        memory, now = button.memory, button.board.clock_s
        up, asked = memory.used(now) if memory else (0, 0)
        wake = button.last_wake
        letters = self._bench.air.stations
        return {
            "entries": flash.entries(button.board.flash, memory),
            "memory": memory,
            "sent_today": up,
            "asked_today": asked,
            "uplinks_a_day": flash.UPLINKS_A_DAY,
            "downlinks_a_day": flash.DOWNLINKS_A_DAY,
            "battery_mah": BATTERY_MAH,
            "wake": wake,
            "why": WAKES.get(wake.why, N_("nothing")) if wake else None,
            "levels": [(letters[id], level, id in self._bench.air.down) for id, level in button.levels.items()],
            "alive_in_h": max(0, memory.alive_at - now) / 3600 if memory else None,
        }

    def _rows(self, button: Button) -> list[tuple[Row, list[tuple[str, str]]]]:
        return [
            (row, wire.parts(row.data) if row.data else []) for row in self._bench.journal.newest(ROWS, button.name)
        ]

    def _of_air(self, button: Button | None) -> dict[str, Any]:
        air = self._bench.air
        copies = air.copies(button.name) if button else 3 * len(air.stations)
        odds, tone = sayings.odds(air.impairments.loss, copies)
        return {
            "impairments": air.impairments,
            "percent": sayings.percent,
            "cuts": CUTS,
            "stations": air.stations,
            "down": air.down,
            "odds": odds,
            "odds_tone": tone,
            "most_delay_s": MOST_DELAY_S,
            "held_back_s": round(HELD_BACK_S),
        }

    def _of_traffic(self) -> dict[str, Any]:
        traffic = self._bench.traffic
        kept = self._bench.count_kept() if traffic.buttons else 0
        return {
            "traffic": traffic,
            "kept": kept,
            "plan": traffic.plan if traffic.buttons else PLAN,
            "traffic_count": len(traffic.buttons) or TRAFFIC,
            "traffic_speeds": TRAFFIC_SPEEDS,
        }


def _environment(lang: str, icons: Path) -> jinja2.Environment:
    words = Words(lang)
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.FileSystemLoader(HERE / "templates"), jinja2.DictLoader({"icons.html": icons.read_text()})]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(words.messages, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(number=words.number, say=words.say, clock=words.clock)
    return environment


async def _stream(bench: Bench, words: Words) -> AsyncIterator[str]:
    """Server-sent events, one for each thing that has changed."""
    yield "retry: 1000\n\n"
    with bench.hub.listening() as news:
        if bench.hub.is_closed:
            return
        while True:
            try:
                told = await asyncio.wait_for(news.get(), ALIVE_S)
            except TimeoutError:
                yield ": alive\n\n"
                continue
            if told is None:
                return
            yield _event(told, words)


def _event(told: News, words: Words) -> str:
    value = words.say(told.value) if isinstance(told.value, Said) else told.value
    return f"event: {told.what}\ndata: {json.dumps({'device': told.device, 'value': value}, ensure_ascii=False)}\n\n"


def _vectors(bench: Bench, button: Button) -> dict[str, Any]:
    """The board's messages in the shape of tests/vectors/wire-format.json, without its key."""
    uplinks, downlinks, seen = [], [], set()
    about = {"device_id": button.name, "key_generation": button.identity.generation}
    for row in reversed(bench.journal.newest(ROWS, button.name)):
        if row.counter is None or (row.way, row.data) in seen or row.way is Way.UP:
            continue
        seen.add((row.way, row.data))
        if row.way is Way.AIR and (said := wire.open_uplink(button.identity, row.counter, row.data)):
            fields = {name: getattr(said, name) for name in wire.Uplink.__dataclass_fields__}
            uplinks.append({**about, "counter": row.counter, **fields, "uplink": row.data.hex()})
        if row.way is Way.DOWN and (answer := wire.open_answer(button.identity, row.counter, row.data)):
            status = wire.STATUSES.index(answer.status)
            told = {"answers_counter": row.counter, "status": status, "argument": answer.argument}
            downlinks.append({**about, **told, "downlink": row.data.hex()})
    return {"uplinks": uplinks, "downlinks": downlinks}
