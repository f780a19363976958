import os
import stat

import pytest

from cloud.ingest.keys import KeyFileError, Keys, is_open_to_others, make_keys, read_keys, sign_in
from tests.sealing import VECTORS

MASTER = VECTORS["master_key"]


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


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 31, "00" * 33, "é" * 64])
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
