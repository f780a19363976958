import pytest
import sqlalchemy as sa

from cloud.fleet import views
from cloud.fleet.views import MOST, TooMany
from tests.cloud.fleet.conftest import NOW


def save(
    conn: sa.Connection, name: str, query: str = "silent=7d", account_id: int = 1, is_shared: bool = False
) -> None:
    views.save(conn, account_id=account_id, name=name, query=query, is_shared=is_shared, now=NOW)


def names(conn: sa.Connection, account_id: int) -> list[str]:
    return [view.name for view in views.seen_by(conn, account_id)]


def test_a_view_is_its_makers_alone_unless_it_is_shared(engine: sa.Engine):
    with engine.begin() as conn:
        save(conn, "silent")
        save(conn, "for all", is_shared=True)
        save(conn, "other", account_id=2)
        assert names(conn, 1) == ["for all", "silent"]
        assert names(conn, 2) == ["for all", "other"]
        shared = views.seen_by(conn, 2)[0]
        assert (shared.maker, shared.maker_id, shared.query) == ("claire", 1, "silent=7d")


def test_a_view_saved_again_takes_the_place_of_the_one_before(engine: sa.Engine):
    with engine.begin() as conn:
        save(conn, "mine", is_shared=True)
        save(conn, " mine ", "department=35")
        (view,) = views.seen_by(conn, 1)
        assert (view.query, view.is_shared) == ("department=35", False)


def test_a_view_is_removed_by_its_maker_alone(engine: sa.Engine):
    with engine.begin() as conn:
        save(conn, "for all", is_shared=True)
        (view,) = views.seen_by(conn, 2)
        assert views.remove(conn, view.id, 2) is None
        assert names(conn, 2) == ["for all"]
        assert views.remove(conn, view.id, 1) == "for all"
        assert names(conn, 1) == []


def test_an_account_has_so_many_views_and_no_more(engine: sa.Engine):
    with engine.begin() as conn:
        for n in range(MOST):
            save(conn, f"view {n}")
        save(conn, "view 0", "state=active")
    with pytest.raises(TooMany, match="remove one first"), engine.begin() as conn:
        save(conn, "one more")


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "a\x07b"])
def test_a_name_is_one_printable_line(engine: sa.Engine, name: str):
    with engine.begin() as conn, pytest.raises(ValueError, match="1 to 40 characters"):
        save(conn, name)
