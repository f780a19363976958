from pathlib import Path

import pydantic
import pytest

from cloud.settings import load


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("DOMINO_DATA_DIR", "DOMINO_SETTINGS", "DOMINO_HTTP_PORT", "DOMINO_DATABASE_URL", "DOMINO_SECRETS"):
        monkeypatch.delenv(name, raising=False)


def test_without_anything_the_data_folder_is_here():
    assert load().database == f"sqlite:///{Path('data').resolve()}/domino.db"


def test_the_command_line_beats_the_environment_and_that_the_file(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "domino.toml").write_text("http_port = 1001\nmqtt_port = 1002\nstamp_pool = 3\n")
    monkeypatch.setenv("DOMINO_HTTP_PORT", "2001")
    monkeypatch.setenv("DOMINO_MQTT_PORT", "2002")
    found = load(mqtt_port=3002, http_port=None)
    assert (found.http_port, found.mqtt_port, found.stamp_pool) == (2001, 3002, 3)


def test_the_file_stands_in_the_chosen_data_folder_or_where_the_environment_says(monkeypatch, tmp_path):
    for name, port in (("one", 11), ("two", 22)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "domino.toml").write_text(f"http_port = {port}\n")
    assert load(data_dir=tmp_path / "one").http_port == 11
    monkeypatch.setenv("DOMINO_SETTINGS", str(tmp_path / "two" / "domino.toml"))
    assert load(data_dir=tmp_path / "one").http_port == 22


@pytest.mark.parametrize(
    "line",
    [
        "http_port = 70000",
        'http_port = "many"',
        "no_such_setting = 1",
        "downlinks_per_day = -1",
        "stamp_lifetime_days = 0",
    ],
)
def test_a_wrong_setting_is_refused(tmp_path, line):
    (tmp_path / "domino.toml").write_text(line)
    with pytest.raises(pydantic.ValidationError):
        load(data_dir=tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "http://a:hunter2@b", "mqtt://", "mqtt://a:hunter2@b:99999", "mqtt://a:hunter/2@b"),
        *("nats://a:hunter2@b,", "tls://a:hunter2@b:4222,c:99999", "nats://a:hunter/2@b,c"),
    ],
)
def test_a_broker_url_is_checked_and_not_repeated(url):
    with pytest.raises(pydantic.ValidationError) as refused:
        load(broker_url=url)
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize("url", ["nats://a", "tls://a:b@c:1,d,[::1]:4222", "mqtts://a:b@c"])
def test_a_broker_may_speak_nats_and_be_several_servers(url):
    found = load(broker_url=url).broker_url
    assert found is not None
    assert found.get_secret_value() == url


def test_an_empty_host_is_not_every_address():
    with pytest.raises(pydantic.ValidationError):
        load(host="")


def test_a_settings_file_that_is_named_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("DOMINO_SETTINGS", str(tmp_path / "domni.toml"))
    with pytest.raises(ValueError, match=r"domni\.toml"):
        load()


def test_urls_that_may_carry_a_password_do_not_show():
    found = load(database_url="postgresql+psycopg://domino:hunter2@db/domino", broker_url="mqtt://a:hunter3@b")
    assert "hunter2" in found.database
    assert "hunter" not in repr(found)
    assert "hunter" not in str(found.model_dump())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"callback_secret": "short"}, "16 to 128"),
        ({"callback_secret": "with/a slash in the middle"}, "16 to 128"),
        ({"callback_addresses": ["not an address"]}, "callback_addresses"),
        ({"callback_fields": {"battery": "b"}}, "no field battery; there are device, data"),
    ],
)
def test_settings_of_callbacks_are_checked_and_the_secret_is_not_repeated(tmp_path, given, says):
    with pytest.raises(ValueError, match=says) as caught:
        load(data_dir=tmp_path, **given)
    assert "slash" not in str(caught.value)


def test_a_secret_comes_from_a_file_of_its_own(monkeypatch, tmp_path):
    (tmp_path / "domino_broker_url").write_text("mqtt://ingest:sesame@broker:1883\n")
    (tmp_path / "domino_http_port").write_text("1001")
    (tmp_path / "master_key").write_text("what is no setting is let be")
    monkeypatch.setenv("DOMINO_SECRETS", str(tmp_path))
    monkeypatch.setenv("DOMINO_HTTP_PORT", "2001")
    found = load()
    assert found.broker_url is not None
    assert found.broker_url.get_secret_value() == "mqtt://ingest:sesame@broker:1883"
    assert found.http_port == 2001
    assert "sesame" not in repr(found)


def test_a_folder_of_secrets_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("DOMINO_SECRETS", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="DOMINO_SECRETS"):
        load()
