"""History decoded anew: the same decoder finds nothing, another is told of frame by frame and order by order."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from cloud import database
from cloud.frames.keeping import let_go
from cloud.frames.model import Result
from cloud.frames.store import frames
from cloud.ingest.receive import Limits, Message
from cloud.ingest.uplink import Kind, Rejected, Uplink, open_uplink
from cloud.rawlog.diff import Difference, compare
from tests.cloud.rawlog.history import BUTTONS, KEYS, NOW, Service, make_engine, state_of


@pytest.fixture
def service() -> Service:
    """Two days: orders made, joined, confirmed, cancelled; copies, noise and a new key among them."""
    service = Service(make_engine())
    one, other, last = BUTTONS
    (made,) = service.take(service.message(one, parcels=2))
    service.now += timedelta(minutes=1)
    service.take(service.message(one), service.message(other, parcels=3), Message("http", None, b"noise"))
    service.now += timedelta(minutes=1)
    service.confirm(made.pickup_id or 0)
    service.now += timedelta(days=1)
    service.take(service.message(other, "cancel"), *service.sent[:1])
    service.rekey(last)
    service.take(service.message(last), service.message(one))
    return service


def difference(service: Service, decode=open_uplink, **span) -> Difference:
    before = state_of(service.engine)
    found = compare(
        service.engine, service.now + timedelta(hours=1), keys=KEYS, limits=Limits(0, 0), decode=decode, **span
    )
    assert state_of(service.engine) == before  # nothing is written
    return found


def test_the_decoder_of_this_code_changes_nothing(service):
    found = difference(service)
    assert found.is_none
    assert (found.frames, found.same_orders) == (8, 4)


def deaf_to_seven(data: bytes, **known) -> Uplink:
    """Refuses what one button sends, and takes another's cancel for a heartbeat."""
    uplink = open_uplink(data, **known)
    if uplink.device == BUTTONS[2]:
        raise Rejected(Result.MALFORMED, "not one of ours")
    if uplink.kind is Kind.CANCEL:
        return uplink._replace(kind=Kind.ALIVE)
    return uplink


def test_another_decoder_is_told_of_frame_by_frame_and_order_by_order(service):
    found = difference(service, deaf_to_seven)
    assert dict(found.changes) == {("accepted", "malformed"): 1, ("accepted", "accepted"): 1}
    assert [str(one.after) for one in found.examples] == ["accepted, alive 2", "malformed"]
    assert [order.button for order in found.only_there] == [BUTTONS[2]]
    assert [(one.state, other.state) for one, other in found.differing] == [("cancelled", "requested")]
    assert dict(found.orders) == {"only_there": 1, "differing": 1}


def test_orders_that_would_have_been_made_are_told_of_too():
    """The old decoder was wrong: what it refused is in the log as it came."""
    service = Service(make_engine())
    device = BUTTONS[0]
    good = service.message(device)
    spoilt = good._replace(payload=good.payload.replace(b'"data": "00', b'"data": "40'))  # version 1
    assert [one.result for one in service.take(spoilt)] == [Result.MALFORMED]

    def knows_version_1(data: bytes, **known) -> Uplink:
        return open_uplink(bytes([data[0] & 0x3F]) + data[1:], **known)

    found = difference(service, knows_version_1)
    assert dict(found.changes) == {("malformed", "accepted"): 1}
    assert [(order.button, order.parcels) for order in found.only_here] == [(device, 1)]


def test_only_what_is_asked_for_is_compared(service):
    early = difference(service, deaf_to_seven, until=NOW + timedelta(seconds=30))
    assert (early.is_none, early.frames, early.same_orders) == (True, 1, 1)
    late = difference(service, deaf_to_seven, since=service.now - timedelta(hours=1))
    assert (late.frames, late.changed) == (4, 2)


def test_a_log_whose_beginning_has_gone_is_decoded_all_the_same(service):
    """A button's counter, and its key, are as at its first message that is left."""
    with service.engine.begin() as conn:
        let_go(conn, service.now - timedelta(hours=1))
        conn.execute(sa.delete(frames).where(frames.c.received_at < service.now - timedelta(hours=1)))
    found = difference(service)
    assert [(change, n) for change, n in found.changes.items() if change[0] == "accepted"] == []
    assert found.frames == 4
    with database.reading(service.engine) as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(frames)) == 4
