import cloud.fleet.store
import cloud.stamps.store
from cloud import database
from cloud.accounts.model import Role
from tests.cloud.console.service import Service

ADDRESSEE = ["Mme Hélène Vasseur", "", "", "12 rue de la République", "", "69001 Lyon"]


def test_every_answer_wants_a_token(service: Service):
    script = service.script()
    script.headers.pop("Authorization")

    for path in ("buttons", "buttons/00D1F3A7", "frames", "pickups", "pickups/1", "stamps/7K4F2M9X"):
        answer = script.get(f"/api/{path}")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_does_what_its_role_may(service: Service):
    service.press()
    viewer, operator = service.script(Role.VIEWER), service.script(Role.OPERATOR)

    assert viewer.get("/api/frames").status_code == 200
    assert viewer.post("/api/pickups/1/cancel").status_code == 403
    assert operator.post("/api/buttons", json={"id": "12AB34"}).status_code == 403
    assert service.script(Role.CUSTOMER).get("/api/frames").status_code == 403


def test_a_new_button_comes_with_the_claim_code_that_claims_it(service: Service):
    script = service.script()

    added = script.post("/api/buttons", json={"id": "12ab34", "place": " 35 Rennes "})

    assert added.status_code == 201
    button, claim_code = added.json()["button"], added.json()["claim_code"]
    assert button["id"] == "0012AB34"
    assert button["place"] == "35 Rennes"
    assert not button["claimed"]
    assert claim_code not in script.get("/api/buttons").text
    service.cookie(Role.CUSTOMER)
    with service.engine.begin() as conn:
        claimed = cloud.fleet.store.claim(conn, claim_code=claim_code, owner_id=1, now=database.now())
    assert claimed is not None
    assert script.get("/api/buttons/12AB34").json()["claimed"]
    again = script.post("/api/buttons", json={"id": "0012AB34"})
    assert again.status_code == 409
    assert "0012AB34" in again.json()["error"]["message"]


def test_a_button_that_cannot_be_is_refused_with_the_reason(service: Service):
    script = service.script()

    for new in (
        {},
        {"id": "xyz"},
        {"id": "123456789"},
        {"id": "1", "key": "00"},
        {"id": "1", "place": ""},
        {"id": "1", "place": "a\nb"},
    ):
        answer = script.post("/api/buttons", json=new)
        assert answer.status_code == 422
        assert answer.json()["error"]["message"].startswith("body.")


def test_a_script_that_polls_sees_every_frame_once_and_in_order(service: Service):
    for _ in range(5):
        service.press()
    script = service.script()

    seen, last = [], 0
    while frames := script.get("/api/frames", params={"after": last, "limit": 2}).json()["frames"]:
        seen += [frame["id"] for frame in frames]
        last = seen[-1]

    assert seen == [1, 2, 3, 4, 5]
    newest = script.get("/api/frames", params={"before": 4, "limit": 2}).json()["frames"]
    assert [frame["id"] for frame in newest] == [3, 2]


def test_a_frame_holds_what_was_radiated_and_what_came_of_it(service: Service):
    outcome = service.press(2)
    assert outcome.reception is not None
    assert outcome.downlink is not None

    [frame] = service.script().get("/api/frames", params={"device": "d1f3a7"}).json()["frames"]

    assert frame["device"] == "00D1F3A7"
    assert frame["result"] == "accepted"
    assert frame["data"] == outcome.reception.data.hex()
    assert frame["downlink"] == outcome.downlink.hex()
    assert (frame["kind"], frame["parcels"], frame["battery_mv"], frame["temperature_c"]) == ("pickup", 2, 2850, 7)
    assert frame["copies"][0] == {"station": "1F08", "rssi": -117.0, "replicas": 3}
    assert frame["pickup_id"] == 1
    assert len(frame["stamp"]) == 8
    assert frame["received_at"].endswith("Z")


def test_frames_are_chosen_by_result(service: Service):
    service.press()
    service.hear(b"no json")
    script = service.script()

    [refused] = script.get("/api/frames", params={"result": "malformed"}).json()["frames"]

    assert refused["reason"] == "not JSON"
    assert refused["device"] == "00D1F3A7"  # as its topic says
    assert refused["data"] is refused["counter"] is None
    assert script.get("/api/frames", params={"after": 0, "before": 9}).status_code == 422
    assert script.get("/api/frames", params={"limit": 201}).status_code == 422


def test_a_confirmed_order_has_its_addressee_and_a_live_stamp(service: Service):
    service.press()
    script = service.script()

    confirmed = script.post("/api/pickups/1/confirm", json={"addressee": ADDRESSEE}).json()

    assert confirmed["state"] == "confirmed"
    assert confirmed["addressee"][5] == "69001 LYON"
    assert confirmed["stamp"]["state"] == "live"
    assert [event["event"] for event in confirmed["events"]] == ["pressed", "confirmed"]
    assert confirmed["events"][1]["actor"] == "token script"
    assert script.get("/api/pickups/1").json() == confirmed
    shown = script.get(f"/api/stamps/{confirmed['stamp']['code'].lower()}").json()
    assert shown == confirmed["stamp"] | {"piece": None, "place": None}
    assert script.post("/api/pickups/1/confirm", json={"addressee": ADDRESSEE}).status_code == 409


def test_every_wrong_line_of_an_address_is_named(service: Service):
    service.press()

    answer = service.script().post("/api/pickups/1/confirm", json={"addressee": ["", "", "", "", "", "Lyon"]})

    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert all(f"line {line}" in message for line in (1, 4, 6))


def test_a_cancelled_order_has_a_void_stamp(service: Service):
    service.press()
    script = service.script()

    cancelled = script.post("/api/pickups/1/cancel").json()

    assert (cancelled["state"], cancelled["stamp"]["state"]) == ("cancelled", "void")
    assert script.get("/api/pickups", params={"state": "cancelled"}).json()["pickups"][0]["button"] == "00D1F3A7"
    assert script.post("/api/pickups/1/cancel").status_code == 409
    assert script.post("/api/pickups/2/cancel").status_code == 404


def test_what_is_not_there_is_an_error_with_words(service: Service):
    script = service.script()

    for path in ("buttons/0000000F", "pickups/9", f"pickups/{2**63}", f"pickups/{-(2**63) - 1}", "stamps/7K4F2M9X"):
        assert script.get(f"/api/{path}").status_code == 404
    for path in ("buttons/xyz", "stamps/short", "frames?limit=0", f"frames?after={2**63}"):
        answer = script.get(f"/api/{path}")
        assert answer.status_code == 422
        assert answer.json()["error"]["message"]


def test_the_openapi_document_tells_every_route_its_errors_and_its_answer(service: Service):
    document = service.script().get("/api/openapi.json").json()

    paths = {path: operations for path, operations in document["paths"].items() if path.startswith("/api/")}
    assert {"/api/buttons", "/api/frames", "/api/pickups/{id}/confirm", "/api/stamps/{code}"} <= set(paths)
    for operations in paths.values():
        for operation in operations.values():
            assert operation["security"]
            assert {"401", "403", "422"} <= set(operation["responses"])
            assert operation["description"]


def test_a_script_configures_a_button_follows_it_and_takes_it_back(service: Service):
    operator, viewer = service.script(Role.OPERATOR), service.script(Role.VIEWER)
    service.press()

    made = operator.post("/api/buttons/d1f3a7/downlinks", json={"heartbeat_hours": 48, "reason": "battery is low"})

    assert made.status_code == 201
    assert (made.json()["state"], made.json()["actor"], made.json()["sendings"]) == ("queued", "token script", 0)
    told = viewer.get("/api/buttons/d1f3a7/downlinks").json()
    assert (told["used_today"], told["per_day"], told["heartbeat_hours"]) == (1, 4, None)
    assert [one["kind"] for one in told["answers"]] == ["pickup"]
    assert told["configurations"] == [made.json()]
    cancel = f"/api/buttons/d1f3a7/downlinks/{made.json()['id']}/cancel"
    assert viewer.post(cancel).status_code == 403
    assert operator.post(cancel).json()["state"] == "cancelled"
    assert operator.post(cancel).status_code == 409
    assert operator.post(cancel.replace("d1f3a7", "99")).status_code == 404
    for new in ({}, {"heartbeat_hours": 0, "reason": "x"}, {"heartbeat_hours": 1, "reason": ""}):
        assert operator.post("/api/buttons/d1f3a7/downlinks", json=new).status_code == 422
    assert operator.post("/api/buttons/99/downlinks", json={"heartbeat_hours": 1, "reason": "x"}).status_code == 404
    assert viewer.get("/api/buttons/99/downlinks").status_code == 404


def test_a_script_reads_what_a_link_loses(service: Service):
    for gap in (0, 2, 0):
        service.press(kind="alive")
        for _ in range(gap):
            next(service.counters)

    assert service.script().get("/api/buttons/d1f3a7/link").json()["expected"] >= 3
    assert service.script().get("/api/buttons/99/link").status_code == 404


def test_a_lost_button_is_revoked_and_found_again_over_the_api(service: Service):
    operator, admin = service.script(Role.OPERATOR), service.script()

    revoked = operator.post("/api/buttons/d1f3a7/revoke", json={"why": "stolen"}).json()

    assert (revoked["state"], revoked["revoked_why"], revoked["revoked_by"]) == ("revoked", "stolen", "token script")
    assert operator.post("/api/buttons/d1f3a7/found").status_code == 403
    found = admin.post("/api/buttons/d1f3a7/found").json()
    assert (found["state"], found["key_generation"], found["revoked_at"]) == ("active", 1, None)
    assert admin.post("/api/buttons/d1f3a7/found").status_code == 409
    assert admin.post("/api/buttons/99/found").status_code == 404
    assert operator.post("/api/buttons/99/revoke", json={"why": "lost"}).status_code == 404
    assert operator.post("/api/buttons/d1f3a7/revoke", json={"why": " "}).status_code == 422
