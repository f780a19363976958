"""Laws of the air: the same seed gives the same air, and nothing is lost that was not asked to be."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.radio import model
from simulator.radio.model import Quality

seeds = st.integers(0, 2**64)
counts = st.integers(1, 30)


def network(seed: int, count: int) -> tuple[model.Position, tuple[model.Station, ...], random.Random]:
    rng = random.Random(seed)
    stations = model.place_stations(count, rng)
    return model.place_button(stations, rng), stations, rng


@given(seeds, counts)
def test_without_loss_every_station_in_reach_hears_every_replica(seed: int, count: int) -> None:
    button, stations, rng = network(seed, count)
    heard = model.radiate(button, stations, 0, rng)
    assert heard is not None
    in_reach = {s.id for s in stations if button.distance_km(s.position) <= model.REACH_KM}
    assert {copy.station for copy in heard.copies} == in_reach
    assert {copy.replicas for copy in heard.copies} == {3}


@given(seeds, counts, st.floats(0, 1))
def test_copies_come_best_first_and_no_fainter_than_a_station_can_hear(seed: int, count: int, loss: float) -> None:
    button, stations, rng = network(seed, count)
    heard = model.radiate(button, stations, loss, rng)
    if heard is None:
        return
    levels = [copy.rssi for copy in heard.copies]
    assert levels == sorted(levels, reverse=True)
    assert min(levels) >= model.SENSITIVITY_DBM
    assert heard.lqi == model.link_quality(levels[0], len(levels))
    assert all(1 <= copy.replicas <= 3 for copy in heard.copies)


@given(seeds, counts, st.floats(0, 1))
def test_the_same_seed_gives_the_same_air(seed: int, count: int, loss: float) -> None:
    def hear() -> model.Heard | None:
        button, stations, rng = network(seed, count)
        return model.radiate(button, stations, loss, rng)

    assert hear() == hear()


@given(seeds, counts)
def test_a_message_of_which_every_replica_is_lost_is_heard_by_nobody(seed: int, count: int) -> None:
    button, stations, rng = network(seed, count)
    assert model.radiate(button, stations, 1, rng) is None


@given(seeds, counts)
def test_stations_have_ids_of_their_own_of_four_hex_digits(seed: int, count: int) -> None:
    ids = [station.id for station in model.place_stations(count, random.Random(seed))]
    assert len(set(ids)) == count
    assert all(re.fullmatch("[0-9A-F]{4}", station_id) for station_id in ids)


@given(st.floats(0.001, 100), st.floats(0.001, 100))
def test_the_further_the_fainter(near: float, far: float) -> None:
    near, far = sorted((near, far))
    assert model.mean_rssi(near, model.BAND_HZ[0]) >= model.mean_rssi(far, model.BAND_HZ[0])


def test_a_whole_town_has_links_of_every_quality() -> None:
    rng = random.Random(1)
    stations = model.place_stations(5, rng)
    heard = [model.radiate(model.place_button(stations, rng), stations, 0, rng) for _ in range(1000)]
    assert {one.lqi for one in heard if one} == set(Quality)


@pytest.mark.parametrize(
    ("rssi", "stations", "quality"),
    [
        (-121.9, 3, Quality.EXCELLENT),
        (-121.9, 2, Quality.GOOD),
        (-121.9, 1, Quality.GOOD),
        (-122, 3, Quality.GOOD),
        (-135, 3, Quality.GOOD),
        (-122, 2, Quality.AVERAGE),
        (-135, 1, Quality.AVERAGE),
        (-135.1, 1, Quality.LIMIT),
        (-135.1, 9, Quality.LIMIT),
    ],
)
def test_link_quality_is_sigfoxs_table(rssi: float, stations: int, quality: Quality) -> None:
    assert model.link_quality(rssi, stations) is quality


@given(seeds, st.floats(0, 60))
def test_deliveries_are_one_or_two_and_late_by_no_more_than_allowed(seed: int, max_delay_s: float) -> None:
    for duplicates, deliveries in ((0, 1), (1, 2)):
        delays = model.delays_s(model.Impairments(0, duplicates, max_delay_s), random.Random(seed))
        assert len(delays) == deliveries
        assert all(0 <= delay <= max_delay_s for delay in delays)


@pytest.mark.parametrize("wrong", [{"loss": -0.1}, {"loss": 1.1}, {"duplicates": float("nan")}, {"max_delay_s": -1}])
def test_impairments_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        model.Impairments(**wrong)


def test_a_station_that_is_not_there_cannot_be_down() -> None:
    stations = model.place_stations(2, random.Random(1))
    assert model.without(stations, [stations[0].id]) == stations[1:]
    with pytest.raises(ValueError, match="no station 0000; there are"):
        model.without(stations, ["0000"])


@given(st.text(), st.binary(max_size=20))
def test_an_uplink_is_1_to_12_bytes_from_an_id_of_8_upper_case_hex_digits(device: str, payload: bytes) -> None:
    with pytest.raises(model.Refused):
        model.check_uplink(device + " ", payload)
    if 1 <= len(payload) <= 12:
        model.check_uplink("0012AB34", payload)
    else:
        with pytest.raises(model.Refused):
            model.check_uplink("0012AB34", payload)


@pytest.mark.parametrize("device", ["0012ab34", "12AB34", "0012AB345", "٠٠١٢AB34", "", "+"])
def test_a_wrong_device_id_is_refused(device: str) -> None:
    with pytest.raises(model.Refused, match="8 upper-case hex digits"):
        model.check_device(device)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


@given(st.dictionaries(st.sampled_from(["device", "downlinkData", "x"]), json_values) | json_values)
def test_noise_is_no_downlink(request: object) -> None:
    with pytest.raises(model.Refused):
        model.parse_downlink("0012AB34", request)


@pytest.mark.parametrize("text", ["", "00" * 7, "00" * 9, "0x" * 8, "٠" * 16, "\ufb00" * 16, " " + "0" * 15])
def test_downlink_data_is_16_hex_digits(text: str) -> None:
    with pytest.raises(model.Refused, match="16 hex digits"):
        model.parse_downlink("0012AB34", {"device": "0012AB34", "downlinkData": text})


@given(st.binary(min_size=8, max_size=8))
def test_a_downlink_is_8_bytes_in_hex_of_any_case(data: bytes) -> None:
    for text in (data.hex(), data.hex().upper()):
        assert model.parse_downlink("0012AB34", {"device": "0012AB34", "downlinkData": text}) == data
