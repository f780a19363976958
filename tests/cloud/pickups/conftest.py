from tests.cloud.stamps.conftest import engine, url

__all__ = ["engine", "url"]
