"""The radio model as a process of its own, over the real nats-server and over Mosquitto."""

import json
import os
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from simulator.keys import read_keys
from simulator.radio.service import BrokerAddress
from simulator.sigfox import downlink
from simulator.sigfox.uplink import Uplink, encode
from tests.mqtt import Publisher, Subscriber, publish
from tools import children
from tools.children import Broker

A, B = "0012AB34", "FFFFFFFF"
KEY = bytes(range(16))


@pytest.fixture(params=["broker", "mosquitto"])
def any_broker(request: pytest.FixtureRequest) -> Broker:
    return request.getfixturevalue(request.param)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "radio.log"


def presses(count: int) -> list[tuple[str, bytes]]:
    """As many different messages of a hundred buttons."""
    return [(f"air/{n % 100:08X}/up", n.to_bytes(12, "big")) for n in range(count)]


def data_of(messages: list[tuple[str, bytes]]) -> Counter[bytes]:
    return Counter(bytes.fromhex(json.loads(body)["data"]) for _topic, body in messages)


def counters(log_file: Path) -> dict[str, int]:
    """What the last radio counted, by its last line."""
    ended = log_file.read_text().rpartition("ended; ")[2].split(", ")
    return {name: int(count) for name, count in (counter.split() for counter in ended)}


def test_a_press_comes_out_as_a_sigfox_callback_and_its_answer_reaches_the_button(
    any_broker: Broker, log_file: Path
) -> None:
    with (
        Subscriber(any_broker.port, "sigfox/+/up", "air/+/down") as cloud,
        children.radio(any_broker.url, log_file=log_file),
    ):
        publish(any_broker.port, [(f"air/{A}/up", b"\x00" * 12)])
        [(topic, body)] = cloud.take()
        assert topic == f"sigfox/{A}/up"
        assert json.loads(body)["data"] == "00" * 12
        answer = {"device": A, "downlinkData": "00112233445566FF"}
        publish(any_broker.port, [(f"sigfox/{A}/down", json.dumps(answer).encode())])
        assert cloud.take() == [(f"air/{A}/down", bytes.fromhex("00112233445566FF"))]


def test_a_burst_comes_through_once_each(any_broker: Broker, log_file: Path) -> None:
    with Subscriber(any_broker.port, "sigfox/+/up") as cloud, children.radio(any_broker.url, log_file=log_file):
        publish(any_broker.port, presses(2000))
        assert data_of(cloud.take(2000)) == Counter(payload for _topic, payload in presses(2000))
    assert counters(log_file) == {"received": 2000, "heard": 2000, "delivered": 2000}


def test_what_no_network_would_take_is_counted_and_acknowledged(any_broker: Broker, log_file: Path) -> None:
    # More than Mosquitto sends without acknowledgement (20): were they not acknowledged, the last would never come.
    refused = [
        (f"air/{A}/up", b""),
        (f"air/{A}/up", bytes(13)),
        ("air/0012ab34/up", b"\x01"),
        ("air/x/up", b"\x01"),
    ] * 8
    with Subscriber(any_broker.port, "sigfox/+/up") as cloud, children.radio(any_broker.url, log_file=log_file):
        publish(any_broker.port, [*refused, (f"sigfox/{A}/down", b"{"), (f"air/{A}/up", b"\x07")])
        assert data_of(cloud.take()) == {b"\x07": 1}
    assert counters(log_file)["refused"] == 33


def test_an_answer_that_comes_too_late_is_counted_and_acknowledged(any_broker: Broker, log_file: Path) -> None:
    late = (f"sigfox/{B}/down", json.dumps({"device": B, "downlinkData": "11" * 8}).encode())
    good = (f"sigfox/{A}/down", json.dumps({"device": A, "downlinkData": "22" * 8}).encode())
    with (
        Subscriber(any_broker.port, "sigfox/+/up", "air/+/down") as both,
        children.radio(any_broker.url, log_file=log_file),
    ):
        publish(any_broker.port, [(f"air/{A}/up", b"\x01")])
        both.take()
        publish(any_broker.port, [*[late] * 30, good])
        assert both.take() == [(f"air/{A}/down", b"\x22" * 8)]
    assert counters(log_file)["late"] == 30


def test_delays_put_messages_out_of_order_and_lose_none(any_broker: Broker, log_file: Path) -> None:
    with (
        Subscriber(any_broker.port, "sigfox/+/up") as cloud,
        children.radio(any_broker.url, log_file=log_file, max_delay_s=0.5, duplicates=1),
    ):
        publish(any_broker.port, [(f"air/{A}/up", bytes([n])) for n in range(100)])
        numbers = [json.loads(body)["seqNumber"] for _topic, body in cloud.take(200)]
    assert Counter(numbers) == dict.fromkeys(range(100), 2)
    assert numbers != sorted(numbers)


def test_a_message_on_its_way_for_longer_than_the_broker_waits_is_delivered_once(
    broker: Broker, log_file: Path
) -> None:
    """nats-server repeats after `ack_wait` what is still held."""
    with (
        Subscriber(broker.port, "sigfox/+/up") as cloud,
        children.radio(broker.url, log_file=log_file, max_delay_s=children.ACK_WAIT_S + 2),
    ):
        publish(broker.port, presses(50))
        assert data_of(cloud.take(50)) == Counter(payload for _topic, payload in presses(50))
    assert counters(log_file) == {"received": 50, "heard": 50, "delivered": 50}


def test_a_radio_killed_in_a_burst_loses_nothing(any_broker: Broker, log_file: Path) -> None:
    count = 2000
    with Subscriber(any_broker.port, "sigfox/+/up") as cloud, Publisher(any_broker.port) as buttons:
        with children.radio(any_broker.url, log_file=log_file) as radio:
            buttons.send(presses(count))
            arrived = data_of(cloud.take(200))
            os.kill(radio.pid, signal.SIGKILL)
            buttons.wait()
        with children.radio(any_broker.url, log_file=log_file):
            while len(arrived) < count:
                arrived += data_of(cloud.take())


def test_a_broker_killed_in_a_burst_loses_nothing(tmp_path: Path, log_file: Path) -> None:
    count = 2000
    with ExitStack() as rest:
        with children.broker(tmp_path, 0, tmp_path / "nats.log") as first:
            cloud = rest.enter_context(Subscriber(first.port, "sigfox/+/up"))
            buttons = rest.enter_context(Publisher(first.port))
            rest.enter_context(children.radio(first.url, log_file=log_file))
            buttons.send(presses(count))
            arrived = data_of(cloud.take(200))
            os.kill(first.pid, signal.SIGKILL)
        with children.broker(tmp_path, first.port, tmp_path / "nats.log"):
            buttons.wait()
            while len(arrived) < count:
                arrived += data_of(cloud.take())


def test_sigterm_ends_it_in_good_order(broker: Broker, log_file: Path) -> None:
    with children.radio(broker.url, log_file=log_file) as radio:
        radio.process.terminate()
        assert radio.process.wait(10) == 0
    assert "ended" in log_file.read_text()


def test_a_password_in_a_brokers_address_does_not_print() -> None:
    address = BrokerAddress.parse("mqtt://domino:hunter2@broker.example")
    assert (address.host, address.port, address.password) == ("broker.example", 1883, "hunter2")
    assert "hunter2" not in repr(address)
    with pytest.raises(ValueError, match="a broker is mqtt://") as refused:
        BrokerAddress.parse("http://domino:hunter2@broker.example")
    assert "hunter2" not in str(refused.value)


def test_frames_come_out_as_a_callback_and_are_answered_in_a_frame(
    any_broker: Broker, log_file: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({A: KEY.hex()}))
    with (
        Subscriber(any_broker.port, "sigfox/+/up", "air/+/down", "air/+/frame/down") as cloud,
        children.radio(any_broker.url, log_file=log_file, keys=keys),
    ):
        replicas = encode(Uplink(int(A, 16), 4095, bytes(12), asks_downlink=True), KEY)
        publish(any_broker.port, [(f"air/{A}/frame/up", b"".join(replicas))])
        [(topic, body)] = cloud.take()
        assert topic == f"sigfox/{A}/up"
        assert (json.loads(body)["data"], json.loads(body)["seqNumber"]) == ("00" * 12, 4095)
        answer = {"device": A, "downlinkData": "00112233445566ff"}
        publish(any_broker.port, [(f"sigfox/{A}/down", json.dumps(answer).encode())])
        [(topic, frame)] = cloud.take()
        assert topic == f"air/{A}/frame/down"
        assert downlink.decode(frame, device_id=int(A, 16), seq=4095, key=KEY).payload.hex() == "00112233445566ff"
    assert KEY.hex() not in log_file.read_text()


def test_frames_out_of_order_are_counted_and_acknowledged(any_broker: Broker, log_file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({A: KEY.hex()}))

    def framed(seq: int) -> tuple[str, bytes]:
        return f"air/{A}/frame/up", encode(Uplink(int(A, 16), seq, seq.to_bytes(2, "big")), KEY)[1]

    with (
        Subscriber(any_broker.port, "sigfox/+/up") as cloud,
        children.radio(any_broker.url, log_file=log_file, keys=keys),
    ):
        refused = [framed(9), framed(2000), (f"air/{B}/frame/up", b""), (f"air/{A}/frame/up", b"noise")] * 8
        publish(any_broker.port, [framed(9), *refused, framed(10)])
        assert data_of(cloud.take(2)) == {b"\0\x09": 1, b"\0\x0a": 1}
    assert counters(log_file)["refused"] == 32


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "not JSON"), ("[]", "not an object"), ('{"12": "00"}', "8 hex digits"), ('{"0012AB34": 7}', "8 hex digits")],
)
def test_a_wrong_file_of_keys_is_a_clear_error(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "keys.json"
    with pytest.raises(ValueError, match="cannot be read"):
        read_keys(file)
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_keys(file)
