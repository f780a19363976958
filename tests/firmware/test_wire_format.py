"""The firmware's own encoder, on the real VM, against the golden vectors and against another AES-CCM."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.board import vm
from tests.firmware.conftest import DEVICE_ID, KEY, VECTORS, opened_uplink, sealed_answer

BUTTON = {"device_id": DEVICE_ID, "key": KEY, "generation": 0}
MESSAGE = {
    "kind": "pickup",
    "parcels": 1,
    "battery_mv": 3000,
    "temperature_c": 20,
    "reset_cause": 4,
    "link_failures": 0,
}


def of_vector(vector: dict, counter_name: str) -> dict:
    keys = {uplink["device_id"]: uplink["device_key"] for uplink in VECTORS["uplinks"]}
    return {
        "device_id": int(vector["device_id"], 16),
        "key": bytes.fromhex(keys[vector["device_id"]]),
        "generation": vector["key_generation"],
        "counter": vector[counter_name],
    }


def test_every_uplink_vector_is_encoded_to_the_byte():
    vectors = VECTORS["uplinks"]
    messages = [of_vector(vector, "counter") | {name: vector[name] for name in MESSAGE} for vector in vectors]
    assert [uplink.hex() for uplink in vm.encode_uplinks(messages)] == [vector["uplink"] for vector in vectors]


def test_every_downlink_vector_is_opened():
    answers = [
        of_vector(vector, "answers_counter") | {"downlink": bytes.fromhex(vector["downlink"])}
        for vector in VECTORS["downlinks"]
    ]
    statuses = [None, "accepted", "unclaimed", "cancelled", "refused", "configure", "state"]
    expected = [(statuses[vector["status"]], vector["argument"]) for vector in VECTORS["downlinks"]]
    assert vm.open_downlinks(answers) == expected


def test_any_flipped_bit_of_a_downlink_is_refused():
    right = sealed_answer(2, 1)
    wrong = [(int.from_bytes(right, "big") ^ 1 << bit).to_bytes(8, "big") for bit in range(64)]
    opened = vm.open_downlinks([BUTTON | {"counter": 2, "downlink": downlink} for downlink in [*wrong, right]])
    assert opened == [(None, 0)] * 64 + [("accepted", 0)]


def test_an_answer_to_another_message_or_of_another_length_is_refused():
    right = sealed_answer(2, 1)
    asked = [(3, right), (2 + 2**16, right), (2, right[:-1]), (2, right + b"\0"), (2, b""), (2, right[:4])]
    assert vm.open_downlinks([BUTTON | {"counter": c, "downlink": d} for c, d in asked]) == [(None, 0)] * len(asked)


def test_a_sealed_answer_of_unknown_meaning_is_no_answer():
    asked = [BUTTON | {"counter": 2, "downlink": sealed_answer(2, status)} for status in (0, 7, 255)]
    assert all(status is None for status, _ in vm.open_downlinks(asked))


def test_values_outside_a_fields_range_are_clamped_to_its_ends():
    low = {"battery_mv": 0, "temperature_c": -90, "parcels": 0, "reset_cause": 0, "link_failures": -1}
    high = {"battery_mv": 9999, "temperature_c": 90, "parcels": 9, "reset_cause": 9, "link_failures": 99}
    messages = [BUTTON | MESSAGE | ends | {"counter": 2, "kind": "pickup"} for ends in (low, high)]
    assert [opened_uplink(2, uplink) for uplink in vm.encode_uplinks(messages)] == [0, 0x1FFFFF]


@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "counter": st.integers(1, 2**32 - 1),
                "kind": st.sampled_from(["pickup", "cancel", "alive", "boot", "ask"]),
                "parcels": st.integers(0, 7),
                "battery_mv": st.integers(1800, 4974),
                "temperature_c": st.integers(-20, 43),
                "reset_cause": st.integers(0, 7),
                "link_failures": st.integers(0, 7),
            }
        ),
        min_size=20,
        max_size=50,
    )
)
def test_whatever_the_firmware_seals_another_library_opens(messages):
    for fields, uplink in zip(messages, vm.encode_uplinks([BUTTON | fields for fields in messages]), strict=True):
        assert uplink[:3] == b"\0" + (fields["counter"] & 0xFFFF).to_bytes(2, "big")
        body = opened_uplink(fields["counter"], uplink)
        assert (body >> 21, body >> 18 & 7) == (
            ["pickup", "cancel", "alive", "boot", "ask"].index(fields["kind"]),
            fields["parcels"],
        )
        assert abs((body >> 12 & 63) * 50 + 1800 - fields["battery_mv"]) <= 25
        assert ((body >> 6 & 63) - 20, body >> 3 & 7, body & 7) == (
            fields["temperature_c"],
            fields["reset_cause"],
            fields["link_failures"],
        )


def test_what_no_button_can_be_is_refused_with_a_reason():
    for wrong, reason in (
        ({"device_id": 2**32}, "device id"),
        ({"counter": -1}, "counter"),
        ({"generation": 4}, "key generation"),
        ({"key": b"short"}, "16 bytes"),
    ):
        with pytest.raises(vm.BoardError, match=reason):
            vm.encode_uplinks([BUTTON | MESSAGE | {"counter": 2} | wrong])
