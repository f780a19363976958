"""What postmen and sorting centres tell of an order, over the API."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

import cloud.audit.store
from cloud import database
from cloud.accounts.model import Role
from tests.cloud.console.service import Service

ADDRESSEE = ["Mme Hélène Vasseur", "", "", "18 rue des Quatre Navettes", "", "69001 Lyon"]
ROUND = {"event_id": "r1", "round": "Rennes 07", "stop": 23, "stops": 61}
PROOF = {"event_id": "c1", "place": "9 m from the box", "photo": "ab" * 32, "notice": True, "weight_g": 1200}
DOOR = {"event_id": "d1", "handover": "door"}
VERBS = {"round": ROUND, "collect": PROOF, "fail": {"event_id": "f1", "reason": "dog"}, "deliver": DOOR}


@pytest.fixture
def script(service: Service) -> TestClient:
    """Of an administrator, over one confirmed order."""
    service.press()
    script = service.script()
    assert script.post("/api/pickups/1/confirm", json={"addressee": ADDRESSEE}).status_code == 200
    return script


def redeem(script: TestClient, **more: object) -> dict[str, object]:
    code = script.get("/api/pickups/1").json()["stamp"]["code"]
    asked = {"code": code, "piece": "CD000000017FR", "place": "35 Rennes PIC"} | more
    return script.post("/api/stamps/redeem", json=asked).json()


def test_an_order_is_told_of_from_the_round_to_the_door(script: TestClient):
    assert script.post("/api/pickups/1/round", json=ROUND).json()["state"] == "on round"
    assert script.post("/api/pickups/1/collect", json=PROOF).json()["state"] == "collected"
    redeem(script, weight_g=1240)
    assert script.get("/api/pickups/1").json()["state"] == "sorted"
    delivered = script.post("/api/pickups/1/deliver", json=DOOR).json()

    assert delivered["state"] == "delivered"
    events = {event["event"]: event for event in delivered["events"]}
    assert list(events) == ["pressed", "confirmed", "put on round", "collected", "sorted", "delivered"]
    said = {
        name: {key: value for key, value in one["detail"].items() if value is not None} for name, one in events.items()
    }
    assert said["put on round"] == {"round": "Rennes 07", "stop": 23, "stops": 61}
    assert said["collected"] == {key: value for key, value in PROOF.items() if key != "event_id"}
    assert said["sorted"] == {"place": "35 Rennes PIC", "piece": "CD000000017FR", "weight_g": 1240}
    assert said["delivered"] == {"handover": "door"}
    assert events["collected"]["event_id"] == "c1"
    assert events["sorted"]["actor"] == "token script"


def test_a_handset_that_tells_twice_gets_the_same_answer_and_doubles_nothing(service: Service, script: TestClient):
    happened = (database.now() + timedelta(seconds=1)).isoformat()
    told = [script.post("/api/pickups/1/round", json=ROUND | {"happened_at": happened}).json() for _ in range(3)]

    assert told[0] == told[1] == told[2]
    assert [event["event"] for event in told[0]["events"]].count("put on round") == 1
    assert told[0]["events"][-1]["happened_at"] > told[0]["events"][-1]["at"]  # as its clock, a little ahead, says
    with database.reading(service.engine) as conn:
        entries = cloud.audit.store.newest(conn)
    assert [one.subject for one in entries if one.action == "pickup.round"] == ["order 1"]
    assert "Navettes" not in str(entries)
    other = script.post("/api/pickups/1/collect", json=PROOF | {"event_id": "r1"})
    assert other.status_code == 422


def test_a_collection_failed_for_a_reason_and_its_stamp_is_void(script: TestClient):
    script.post("/api/pickups/1/round", json=ROUND)
    failed = script.post("/api/pickups/1/fail", json={"event_id": "f1", "reason": "box locked", "notice": True}).json()

    assert (failed["state"], failed["stamp"]["state"]) == ("failed", "void")
    assert failed["events"][-1]["detail"]["reason"] == "box locked"
    assert script.post("/api/pickups/1/collect", json=PROOF).status_code == 409


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SORTER, Role.SUPPORT, Role.CUSTOMER])
def test_only_who_collects_may_tell(service: Service, script: TestClient, role: Role):
    other = service.script(role)
    for verb, told in VERBS.items():
        assert other.post(f"/api/pickups/1/{verb}", json=told).status_code == 403
        assert TestClient(service.app).post(f"/api/pickups/1/{verb}", json=told).status_code == 401
    assert script.get("/api/pickups/1").json()["state"] == "confirmed"


@pytest.mark.parametrize("role", [Role.POSTMAN, Role.OPERATOR])
def test_a_postman_collects_and_sees_nothing_else(service: Service, script: TestClient, role: Role):
    postman = service.script(role)
    assert postman.post("/api/pickups/1/round", json=ROUND).json()["state"] == "on round"
    assert postman.get("/api/pickups").status_code == (403 if role is Role.POSTMAN else 200)


def test_what_cannot_be_is_refused_with_words(script: TestClient):
    future = (database.now() + timedelta(hours=1)).isoformat()
    for verb, told in {
        "round": {"event_id": "x", "round": "Rennes 07", "stop": 62, "stops": 61},
        "collect": {"event_id": "x", "photo": "no digest"},
        "fail": {"event_id": "x", "reason": "rain"},
        "deliver": {"event_id": "x"},
    }.items():
        answer = script.post(f"/api/pickups/1/{verb}", json=told)
        assert (answer.status_code, bool(answer.json()["error"]["message"])) == (422, True)
    for wrong in ({"happened_at": future}, {"happened_at": "2026-03-02T07:00:00"}, {"event_id": "a b"}, {"colour": 1}):
        assert script.post("/api/pickups/1/round", json=ROUND | wrong).status_code == 422
    assert script.post("/api/pickups/9/round", json=ROUND).status_code == 404
    assert script.post("/api/pickups/1/collect", json=PROOF).status_code == 409
    assert script.post("/api/pickups/1/deliver", json=DOOR).status_code == 409


def test_a_stamp_that_is_redeemed_sorts_its_order_in_the_same_breath(service: Service, script: TestClient):
    redeem(script)
    redeem(script)
    order = script.get("/api/pickups/1").json()
    assert (order["state"], order["stamp"]["state"]) == ("sorted", "redeemed")
    assert [event["event"] for event in order["events"]].count("sorted") == 1


def test_the_button_is_answered_as_before_whatever_became_of_the_parcel(service: Service, script: TestClient):
    redeem(script)
    asked = service.press(kind="ask")
    assert asked.pickup_id == 1
    assert asked.downlink is not None
