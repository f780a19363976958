from tests.cloud.stamps.conftest import engine

__all__ = ["engine"]
