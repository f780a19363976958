"""What deploy/compose.yaml describes, as plain processes: Mosquitto with its file, PostgreSQL, workers, pages.

The commands and the environment are the compose file's own; only addresses and folders are the test's.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloud.frames.model import trace_id
from cloud.ingest import jetstream
from cloud.ingest.callbacks import Callbacks
from cloud.ingest.keys import Keys, make_keys
from tests import postgres as debian
from tests.deploy.compose import DEPLOY, our_services
from tests.deploy.mosquitto import Secured, mosquitto
from tests.deploy.test_broker import client
from tests.sealing import callback, seal
from tools.children import started

ONE = 0x0012AB34
DOCS = DEPLOY.parent / "docs"
# What the client library adds to each counter and histogram, and what a Prometheus server makes itself.
SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created", "_info")
OF_PROMETHEUS = {"up", "ALERTS"}


@dataclass(frozen=True)
class Topology:
    keys: Keys
    broker: Secured
    ingest_url: str
    web_url: str
    folder: Path

    def log(self, name: str) -> list[dict[str, Any]]:
        """What a service wrote, as JSON."""
        lines = (self.folder / name / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory, postgres: debian.Cluster) -> Iterator[Topology]:
    folder = tmp_path_factory.mktemp("topology")
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    keys = make_keys(secrets / "master_key")
    with ExitStack() as parts:
        (secrets / "domino_database_url").write_text(parts.enter_context(postgres.database("template1")) + "\n")

        def run(name: str, *more: str, broker: Secured | None = None) -> dict[str, Any]:
            """A service of the file, until it is ready or has ended."""
            service = our_services()[name]
            command = [str(word).replace("0.0.0.0", "127.0.0.1") for word in service["command"]]  # noqa: S104
            data = folder / name
            data.mkdir()
            environment = service["environment"] | {"DOMINO_DATA_DIR": data, "DOMINO_LOG_FORMAT": "json"}
            given = {key: str(value).replace("/run/secrets", str(secrets)) for key, value in environment.items()}
            if broker:
                url = given["DOMINO_BROKER_URL"].replace("mosquitto:1883", f"127.0.0.1:{broker.port}")
                given |= {"DOMINO_BROKER_URL": url, "DOMINO_INGEST_PORT": "0"}
            line = [sys.executable, "-m", "tools.main", *command, *more, "--json"]
            log = data / "log"
            parts.enter_context(started(name, line, log, lambda said: '{"pid"' in said, environment=given))
            said = next(text for text in log.read_text().splitlines() if text.startswith('{"pid"'))
            return json.loads(said)

        web = run("web", "--http-port", "0")
        accounts = folder / "etc"
        domino(secrets, folder, "button", "add", "0012AB34")
        command = our_services()["accounts"]["command"]
        domino(secrets, folder, *(word.replace("/etc/mosquitto/domino", str(accounts)) for word in command))
        broker = parts.enter_context(mosquitto(folder / "mosquitto", accounts))
        ingest = run("ingest", broker=broker)
        yield Topology(keys, broker, ingest["http_url"], web["http_url"], folder)


def domino(secrets: Path, folder: Path, *arguments: str) -> None:
    environment = {"DOMINO_SECRETS": str(secrets), "DOMINO_MASTER_KEY_FILE": str(secrets / "master_key")}
    line = [sys.executable, "-m", "tools.main", *arguments, "--data-dir", str(folder / "accounts"), "--json"]
    log = folder / "command.log"
    with started("domino", line, log, lambda said: said.endswith("}\n"), environment=environment):
        log.unlink()


def test_a_press_becomes_an_order_whose_name_is_in_the_workers_log_and_in_the_api(topology: Topology):
    data = seal(device=ONE, key=topology.keys.device_key(ONE, 0), counter=1)
    with client(topology.broker.port, "radio", topology.keys.broker_password("radio")) as radio:
        assert radio.subscribe("sigfox/+/down")
        radio.publish("sigfox/0012AB34/up", callback(ONE, data))
        topic, _ = radio.wait("message")
    assert topic == "sigfox/0012AB34/down"  # answered, so it is committed
    name = trace_id(ONE, data)
    (line,) = [line for line in topology.log("ingest") if line.get("trace") == name and "button" in line]
    assert (line["event"], line["button"], line["kind"]) == ("message accepted", "0012AB34", "pickup")
    assert line["pickup"]
    assert line["worker"] in (1, 2)


def test_every_part_says_that_it_is_ready(topology: Topology):
    for url in (topology.ingest_url, topology.web_url):
        for path in ("/health", "/health/ready", "/health/live"):
            answer = httpx2.get(url + path, timeout=30)
            assert answer.status_code == 200, answer.text


def exported(*urls: str) -> set[str]:
    """The names of all samples that the services tell, callbacks' included."""
    samples = set()
    for url in urls:
        for family in text_string_to_metric_families(httpx2.get(f"{url}/metrics", timeout=30).text):
            samples |= {sample.name for sample in family.samples}
    callbacks, stream = prometheus_client.CollectorRegistry(), prometheus_client.CollectorRegistry()
    Callbacks(None, secret="s", registry=callbacks)  # pyright: ignore[reportArgumentType]  only where a secret is set
    jetstream.Metrics(stream)  # only where the broker is one
    samples |= {f"{family.name}_total" for family in callbacks.collect()}
    return samples | {family.name for family in stream.collect()}


def named(text: str) -> set[str]:
    return set(re.findall(r"\b(?:domino|process)_[a-z_]+[a-z]\b", text)) - {"domino_database_url", "domino_broker_url"}


def base(name: str) -> str:
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def test_every_metric_that_a_file_names_is_told_and_every_one_that_is_told_is_documented(topology: Topology):
    told = exported(topology.ingest_url, topology.web_url)
    for file in ("prometheus/alerts.yaml", "grafana/domino.json"):
        queries = re.sub(r'"(name|tags|title|uid)": .*', "", (DEPLOY / file).read_text())
        assert not named(queries) - told, file
    documented = {base(name) for name in named((DOCS / "operating/metrics.md").read_text())}
    assert {base(name) for name in told if name.startswith(("domino_", "process_"))} == documented


def test_what_mosquitto_tells_of_itself_is_told_on(topology: Topology):
    text = httpx2.get(f"{topology.ingest_url}/metrics", timeout=30).text
    assert re.search(r'^domino_broker_stored_messages\{worker="1"\} [1-9]', text, re.MULTILINE)
