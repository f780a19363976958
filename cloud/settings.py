"""What can be set, read in one place: from the environment (``DOMINO_…``), then from a TOML file, then these defaults.

The file is ``domino.toml`` in the data folder, or the one that DOMINO_SETTINGS names. Each setting may also stand in a
file of its own, ``domino_broker_url`` and so on, in the folder that DOMINO_SECRETS names: what systemd and containers
make of secrets.
"""

import os
import re
import socket
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cloud.alerts.model import check_file, check_mail_server, check_sender
from cloud.ingest.keys import Keys, make_keys, parse_keys, read_keys
from cloud.ingest.sigfox import FIELDS
from cloud.secret import MASTER_KEY

MASTER_KEY_NAME = "master.key"  # in the data folder, and among systemd's credentials
FIRST_SIGN_IN = "first-sign-in.txt"  # in the data folder, mode 0600: the name and password made at the first start

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """The settings of `domino serve`; every one is also an option of it or stands in docs/operating.md."""

    model_config = SettingsConfigDict(env_prefix="DOMINO_", extra="forbid", hide_input_in_errors=True)

    data_dir: Path = Path("data")
    # The web pages' address; behind a proxy it stays on loopback, and empty it would mean every address there is.
    host: str = Field("127.0.0.1", min_length=1)
    http_port: Port = 8710
    public_url: str | None = Field(None, pattern="^https?://[^/?#]+(/[^?#]*)?$")  # where customers reach the pages
    # Where `domino bench` shows its page beside this service: then the console has a way to it.
    bench_url: str | None = Field(None, pattern=r"^http://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?/?$")
    mqtt_port: Port = 1883
    database_url: SecretStr | None = None  # may carry a password; default: SQLite in the data folder
    broker_url: SecretStr | None = None  # may carry a password; default: a nats-server started here
    # Of JetStream, where the broker's URL is nats:// or tls://. As many workers as partitions share the load.
    broker_partitions: int = Field(8, ge=1, le=64)
    broker_replicas: int | None = Field(None, ge=1, le=5)  # default: three in a cluster, one where there is one server
    master_key_file: Path | None = None  # default: systemd's credential, else master.key in the data folder
    # Instead of a file, and of this name in no settings file, whose mode nobody checks.
    master_keys: SecretStr | None = Field(None, validation_alias=MASTER_KEY)
    # Of `domino ingest`: its workers share the broker's messages with all others of the group, on any machine.
    share_group: str = Field("domino", pattern="^[0-9A-Za-z_.-]{1,64}$")
    # What this machine's workers are called at the broker, which keeps what it has for each of them under its name.
    worker_name: str = Field(default_factory=socket.gethostname, pattern="^[0-9A-Za-z_.-]{1,64}$")
    ingest_port: Port = 8720  # health and metrics of all workers here; worker N on this port + N; 0: free ones
    frames_kept_days: int = Field(0, ge=0, le=36_500)  # how long the log is kept; 0: for ever, as the raw truth
    uplinks_per_day: int = Field(140, ge=0)  # what Sigfox lets a device send; 0 = no limit
    downlinks_per_day: int = Field(4, ge=0)  # what Sigfox sends to a device
    stamp_pool: int = Field(2000, ge=0)  # codes kept minted ahead, by each process
    # A stamp is paid for, and nearly all are used within days: what is left of three years is few, and nobody's loss.
    stamp_lifetime_days: int = Field(1096, ge=1, le=36_500)
    # How long a spent code answers "already used": as long as somebody may still ask after its parcel.
    stamp_quarantine_days: int = Field(365, ge=0, le=36_500)
    callback_secret: SecretStr | None = None  # what a Sigfox contract's callbacks must show; without one none are taken
    callback_addresses: list[IPvAnyNetwork] = []  # whence they may come; empty: from anywhere
    callback_fields: dict[str, str] = {}  # what the callbacks' template calls a field, by our name for it
    # Readings of what is no stamp that are accepted all the same: the reader's list of strings is cut to this.
    stamp_false_accepts: float = Field(1e-4, gt=0, lt=1)
    # Readings that may find nothing, of one token and at one place: each finds a live stamp with the probability above.
    stamp_misses_at_once: int = Field(500, ge=1, le=1_000_000)
    stamp_misses_per_hour: int = Field(20, ge=1, le=1_000_000)
    callbacks_per_second: int = Field(0, ge=0)  # of one address; beyond it 429. 0: no limit
    smtp_url: SecretStr | None = None  # may carry a password; without one no alerts go by mail
    mail_from: str | None = None  # the address that mail comes from
    # What is changed of the rules of alerts, by their names: alerts.model.check_changes. The page changes on top of it.
    alert_rules: dict[str, dict[str, bool | float | str]] = {}
    log_format: str = Field("console", pattern="^(console|json)$")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    log_messages_per_second: int = Field(20, ge=0)  # lines a second for each result: each costs 15 µs. 0: none

    @field_validator("broker_url")
    @classmethod
    def _is_mqtt(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_broker(url.get_secret_value()):
            raise ValueError("a broker is mqtt://[USER:PASSWORD@]HOST[:PORT], mqtts://, or nats:// or tls:// and hosts")
        return url

    @field_validator("callback_secret")
    @classmethod
    def _is_long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not re.fullmatch(r"[0-9A-Za-z_.~-]{16,128}", secret.get_secret_value()):
            raise ValueError("16 to 128 letters, digits and -_.~, as it may stand in a path: openssl rand -hex 16")
        return secret

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_mail_server(url.get_secret_value())
        return url

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        return None if address is None else check_sender(address)

    @field_validator("alert_rules")
    @classmethod
    def _are_rules(cls, rules: dict[str, dict[str, bool | float | str]]) -> dict[str, dict[str, bool | float | str]]:
        check_file(rules)
        return rules

    @model_validator(mode="after")
    def _says_from(self) -> "Settings":
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError("mail needs an address that it comes from: DOMINO_MAIL_FROM")
        return self

    @field_validator("callback_fields")
    @classmethod
    def _are_known(cls, renamed: dict[str, str]) -> dict[str, str]:
        if unknown := set(renamed) - set(FIELDS):
            raise ValueError(f"no field {', '.join(sorted(unknown))}; there are {', '.join(FIELDS)}")
        return renamed

    @property
    def database(self) -> str:
        """The database's URL, password included: for `connect` alone, never for a log."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'domino.db'}"

    @property
    def master_key(self) -> Path:
        """The file of the master keys, where they do not come from the environment."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        handed = Path(credentials) / MASTER_KEY_NAME if credentials else None
        own = self.data_dir / MASTER_KEY_NAME
        return self.master_key_file or (handed if handed and handed.is_file() else own)

    def keys(self, *, make: bool = False) -> Keys:
        """The master keys, from the environment or their file; raises `KeyFileError`.

        `make`: a first one is made in the data folder where there is none, and no other place is named.
        """
        if self.master_keys is not None:
            return parse_keys(self.master_keys.get_secret_value(), MASTER_KEY)
        is_own = self.master_key == self.data_dir / MASTER_KEY_NAME
        return make_keys(self.master_key) if make and is_own else read_keys(self.master_key)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        given = init_settings() | {}
        data_dir = Path(given.get("data_dir") or os.environ.get("DOMINO_DATA_DIR") or "data")
        named = os.environ.get("DOMINO_SETTINGS")
        if named and not Path(named).is_file():
            raise ValueError(f"DOMINO_SETTINGS names {named}, which is no file")
        file = Path(named or data_dir / "domino.toml")
        sources = init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)
        folder = os.environ.get("DOMINO_SECRETS")
        if not folder:
            return sources
        if not Path(folder).is_dir():
            raise ValueError(f"DOMINO_SECRETS names {folder}, which is no folder")
        secrets = SecretsSettingsSource(settings_cls, secrets_dir=folder)
        return init_settings, env_settings, secrets, sources[-1]


def load(**given: object) -> Settings:
    """The settings, with what was `given` on the command line first; None means not given."""
    return Settings(**{name: value for name, value in given.items() if value is not None})  # pyright: ignore[reportArgumentType]  pydantic checks them


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("nats", "tls"):
            if parts.path or parts.query or parts.fragment:  # such as the rest of a password that holds a slash
                return False
            login, at, hosts = parts.netloc.rpartition("@")
            return all(_is_broker(f"mqtt://{login}{at}{host}") for host in hosts.split(","))
        return parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none; it would repeat what stands there, which may be half a password
        return False
