import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.keys import (
    KeyFileError,
    Keys,
    is_open_to_others,
    keep_keys,
    make_keys,
    parse_keys,
    read_keys,
    sign_in,
)
from cloud.secret import MASTER_KEY, for_children
from cloud.settings import load
from cloud.stamps.vault import WrongKey
from tests.sealing import VECTORS

MASTER = VECTORS["master_key"]
OTHER = "ab" * 32


@pytest.mark.parametrize("vector", VECTORS["uplinks"], ids=lambda v: f"{v['device_id']}-{v['counter']}")
def test_device_keys_are_those_of_the_vectors(vector):
    derived = Keys(bytes.fromhex(MASTER)).device_key(int(vector["device_id"], 16), vector["key_generation"])
    assert derived.hex() == vector["device_key"]


def test_a_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path):
    path = tmp_path / "new" / "master.key"
    made = make_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().strip()) == 64
    assert make_keys(path) == made == read_keys(path)


def test_a_key_never_shows_in_a_repr():
    keys = Keys(bytes.fromhex(MASTER))
    assert MASTER not in repr(keys)
    assert repr(bytes.fromhex(MASTER)) not in repr(keys)


@pytest.mark.parametrize(
    "text",
    [
        "", "zz" * 32, "00" * 31, "00" * 33, "é" * 64, "0:" + "00" * 32, "x:" + "00" * 32, "²:" + "00" * 32,
        f"{OTHER}\n1:{MASTER}", f"2:{OTHER}:{MASTER}", f"10000:{OTHER}", "2:" + "1 " * 32, "2:" + "００" * 32,
    ],
)  # fmt: skip
def test_a_file_without_a_master_key_is_refused_without_quoting_it(tmp_path, text):
    path = tmp_path / "master.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        read_keys(path)
    assert not text or text[:8] not in str(caught.value)


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "master.key"
    path.write_text(MASTER)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_keys(path)


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(KeyFileError, match=r"nowhere\.key"):
        read_keys(tmp_path / "nowhere.key")


def found(mode: int, user: int, group: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, user, group, 65, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "user", "group", "is_open"),
    [
        (0o600, 1000, 1000, False),
        (0o400, 0, 0, False),
        (0o440, 0, 0, False),  # a credential of systemd: the group's bit is the mask of its access list
        (0o440, 1000, 1000, True),
        (0o440, 0, 100, True),
        (0o460, 0, 0, True),
        (0o444, 0, 0, True),
    ],
)
def test_a_key_is_its_owners_and_roots_alone(mode, user, group, is_open):
    assert is_open_to_others(found(mode, user, group)) is is_open


def test_a_user_at_the_broker_without_a_password_gets_the_one_that_follows_from_the_key():
    keys = Keys(bytes.fromhex(MASTER))
    password = keys.broker_password("ingest")
    assert sign_in("mqtts://ingest@[::1]:8883", lambda: keys) == f"mqtts://ingest:{password}@[::1]:8883"


@pytest.mark.parametrize("url", ["mqtt://broker:1883", "mqtt://ingest:sesame@broker", "mqtt://ingest:@broker"])
def test_other_urls_of_brokers_stay_and_ask_for_no_key(url):
    def no_key() -> Keys:
        raise AssertionError(url)

    assert sign_in(url, no_key) == url


def test_a_new_master_key_stands_beside_the_older_ones_whose_buttons_are_still_understood(tmp_path):
    path = tmp_path / "master.key"
    first = make_keys(path)
    keep_keys(path, first.with_new())
    both = read_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (both.numbers, both.number) == ([1, 2], 2)
    assert both.device_key(7, 3, 1) == first.device_key(7, 3)
    assert both.device_key(7, 3, 2) != both.device_key(7, 3, 1)
    assert both.fingerprint(1) == first.fingerprint(1) != both.fingerprint(2)
    only_newest = both.without(1)
    assert parse_keys(only_newest.text(), "here") == only_newest
    with pytest.raises(KeyFileError, match="master key 1 is not among"):
        only_newest.device_key(7, 3, 1)


@given(st.integers(1, 9999), st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4, unique=True))
def test_reading_keys_undoes_writing_them(newest, masters):
    numbers = range(newest, max(newest - len(masters), 0), -1)
    by_number = dict(zip(numbers, masters, strict=False))
    keys = Keys(by_number.pop(newest), newest, by_number)
    assert parse_keys(keys.text(), "here") == keys
    assert parse_keys(keys.text().replace("\n", ","), "here") == keys
    assert not any(master.hex() in repr(keys) or repr(master) in repr(keys) for master in masters)


def test_stamps_under_the_older_key_open_and_new_ones_are_sealed_under_the_newest():
    first = Keys(bytes.fromhex(MASTER))
    both = first.with_new()
    old, new = first.vault().seal("7K4F2M9X"), both.vault().seal("7K4F2M9X")
    assert both.vault().seals("7K4F2M9X") == [new, old]
    assert both.vault().open(old) == both.vault().open(new) == "7K4F2M9X"
    assert (both.vault().key_number_of(old), both.vault().key_number_of(new)) == (1, 2)
    mixed = both.vault().open_many(old + new + old)
    assert len(set(mixed.tolist())) == 1
    for too_early in (first.vault(), both.without(1).vault()):
        with pytest.raises(WrongKey):
            too_early.open_many(old + new)


def test_the_master_keys_come_from_the_environment_before_any_file_and_never_show(tmp_path, monkeypatch):
    make_keys(tmp_path / "master.key")
    monkeypatch.setenv(MASTER_KEY, f"1:{MASTER},2:{OTHER}")
    chosen = load(data_dir=tmp_path)
    assert chosen.keys() == Keys(bytes.fromhex(OTHER), 2, {1: bytes.fromhex(MASTER)})
    assert not any(key in repr(chosen) + str(chosen) + str(chosen.model_dump()) for key in (MASTER, OTHER))


def test_a_wrong_master_key_in_the_environment_is_refused_without_quoting_it(tmp_path, monkeypatch):
    monkeypatch.setenv(MASTER_KEY, MASTER[:-1])
    with pytest.raises(KeyFileError, match=MASTER_KEY) as refused:
        load(data_dir=tmp_path).keys(make=True)
    assert MASTER[:8] not in str(refused.value)
    assert not (tmp_path / "master.key").exists()


def test_the_master_keys_come_from_a_credential_of_systemd_where_there_is_one(tmp_path, monkeypatch):
    data, credentials = tmp_path / "data", tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    own = load(data_dir=data).keys(make=True)
    assert load(data_dir=data).keys() == own
    handed = credentials / "master.key"
    handed.write_text(MASTER)
    handed.chmod(0o440)  # systemd keeps others out by an access list
    assert load(data_dir=data).keys(make=True) == Keys(bytes.fromhex(MASTER))
    named = load(data_dir=data, master_key_file=data / "master.key")
    assert named.keys() == own


def test_a_named_key_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be read"):
        load(data_dir=tmp_path, master_key_file=Path(tmp_path / "elsewhere.key")).keys(make=True)
    assert not (tmp_path / "elsewhere.key").exists()


def test_children_do_not_see_the_master_keys():
    assert for_children({MASTER_KEY: MASTER, "PATH": "/bin"}) == {"PATH": "/bin"}
