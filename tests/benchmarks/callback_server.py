"""A server of callbacks as a process: ours, or what it is compared with, until it is told to end.

`python -m tests.benchmarks.callback_server`; asked for with `kind`, `database` and `lease`; says its port.

`ours`: the callbacks' inlet and the writer behind it. `bare`: an ASGI route that reads the body and answers 204.
`framework`: FastAPI and pydantic, one row and one commit a callback, as its tutorial would have it.
"""

import logging
import socket
import threading
from typing import Annotated, Any

import sqlalchemy as sa
import structlog
import uvicorn
from fastapi import FastAPI, Header, HTTPException
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

import cloud.stamps.store as stamps
from cloud import database
from cloud.ingest.callbacks import PATH, Callbacks
from cloud.ingest.receive import Limits
from cloud.ingest.writer import Writer, spare_the_collector
from cloud.stamps.lease import Lease
from tests.benchmarks import process
from tests.benchmarks.traffic import KEYS

SECRET = "0123456789abcdef"

kept = sa.Table(
    "kept_by_framework",
    sa.MetaData(),
    sa.Column("device", sa.Text, primary_key=True),
    sa.Column("seq_number", sa.Integer, primary_key=True),
    sa.Column("time", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)


class Copy(BaseModel):
    bsId: str  # noqa: N815  the callback's own names
    rssi: float
    nbRep: int  # noqa: N815


class Callback(BaseModel):
    device: str
    time: int
    data: str
    seqNumber: int  # noqa: N815
    station: str
    rssi: float
    lqi: str
    ack: bool
    duplicates: list[Copy]


def framework(engine: sa.Engine) -> FastAPI:
    kept.create(engine)
    app = FastAPI()

    @app.post(PATH, status_code=204)
    def take(callback: Callback, authorization: Annotated[str, Header()]) -> None:
        if authorization != f"Bearer {SECRET}":
            raise HTTPException(401)
        with engine.begin() as conn:
            row = {"device": callback.device, "seq_number": callback.seqNumber, "time": callback.time}
            row |= {"data": bytes.fromhex(callback.data), "body": callback.model_dump()}
            conn.execute(database.insert(conn, kept).on_conflict_do_nothing(), row)

    return app


async def bare(scope: Any, receive: Any, send: Any) -> None:
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    asked = process.asked()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    engine = database.connect(asked["database"])
    lease = Lease(asked["lease"])
    with database.reading(engine) as conn:
        lease.fill(stamps.leased(conn, lease.id))
    lease.short = False
    writer = Writer(engine, KEYS, limits=Limits(), lease=lease, registry=CollectorRegistry(), committed=lambda: None)
    apps = {
        "ours": lambda: Callbacks(writer, secret=SECRET),
        "bare": lambda: bare,
        "framework": lambda: framework(engine),
    }
    # With its protocol named: asyncio turns Nagle's algorithm off only then.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    config = uvicorn.Config(
        apps[asked["kind"]](), log_config=None, access_log=False, lifespan="off", server_header=False
    )
    server = uvicorn.Server(config)

    def end() -> None:
        process.wait_for_end()
        server.should_exit = True

    writing = threading.Thread(target=writer.run)
    writing.start()
    spare_the_collector()
    process.ready(str(listener.getsockname()[1]))
    threading.Thread(target=end).start()
    server.run(sockets=[listener])
    process.report(0)
    writer.stop()
    writing.join()
    engine.dispose()


if __name__ == "__main__":
    main()
