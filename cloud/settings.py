"""What can be set, read in one place: from the environment (``DOMINO_…``), then from a TOML file, then these defaults.

The file is ``domino.toml`` in the data folder, or the one that DOMINO_SETTINGS names.
"""

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from cloud.ingest.sigfox import FIELDS

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
    mqtt_port: Port = 1883
    database_url: SecretStr | None = None  # may carry a password; default: SQLite in the data folder
    broker_url: SecretStr | None = None  # may carry a password; default: a nats-server started here
    # Of JetStream, where the broker's URL is nats:// or tls://. As many workers as partitions share the load.
    broker_partitions: int = Field(8, ge=1, le=64)
    broker_replicas: int | None = Field(None, ge=1, le=5)  # default: three in a cluster, one where there is one server
    master_key_file: Path | None = None  # default: master.key in the data folder
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
    log_format: str = Field("console", pattern="^(console|json)$")

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
        return self.master_key_file or self.data_dir / "master.key"

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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


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
