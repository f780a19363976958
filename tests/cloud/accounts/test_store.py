from datetime import UTC, datetime, timedelta

import argon2
import pytest
import sqlalchemy as sa

from cloud.accounts import passwords, store
from cloud.accounts.model import Account, Exists, PasswordRefused, Role, Token

NOW = datetime(2026, 11, 18, 18, 52, tzinfo=UTC)
PASSWORD = "quatre navettes bleues"


def _add(conn: sa.Connection, name: str = "claire@example.org", role: Role = Role.CUSTOMER) -> Account:
    return store.add(conn, name=name, display_name="Claire Morvan", role=role, password=PASSWORD, now=NOW)


def test_a_name_is_the_same_in_any_case_and_taken_once(conn: sa.Connection) -> None:
    account = _add(conn, " Claire@Example.org")
    assert account.name == "claire@example.org"
    assert store.find(conn, "CLAIRE@example.org ") == account
    with pytest.raises(Exists, match=r"claire@example\.org"):
        _add(conn, "claire@EXAMPLE.org")


def test_only_the_right_password_of_the_right_name_fits(conn: sa.Connection) -> None:
    account = _add(conn)
    assert store.check_password(conn, "Claire@example.org", PASSWORD) == account
    assert store.check_password(conn, "claire@example.org", PASSWORD + " ") is None
    assert store.check_password(conn, "claire@example.org", "") is None
    assert store.check_password(conn, "nobody", PASSWORD) is None


def test_a_weak_password_makes_no_account(conn: sa.Connection) -> None:
    with pytest.raises(PasswordRefused, match="needs 10"):
        store.add(conn, name="a", display_name="A", role=Role.ADMIN, password="short", now=NOW)
    assert not store.any_staff(conn)


def test_the_table_holds_an_argon2id_hash_and_no_repr_holds_even_that(conn: sa.Connection) -> None:
    account = _add(conn)
    assert account.password_hash.startswith("$argon2id$")
    token, csrf = store.open_session(conn, account.id, NOW)
    session = store.find_session(conn, token, NOW)
    said = repr(account) + repr(session) + repr(passwords.digest(PASSWORD))
    for secret in (PASSWORD, "argon2", csrf, token):
        assert secret not in said


def test_an_outdated_hash_is_known_and_renewed_without_ending_the_session(conn: sa.Connection) -> None:
    account = _add(conn)
    weak = passwords.Hash(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))
    token, _ = store.open_session(conn, account.id, NOW)
    store.set_password(conn, account, weak)
    assert passwords.is_outdated(weak.text)
    assert not passwords.is_outdated(account.password_hash)
    assert store.check_password(conn, account.name, PASSWORD) is not None
    assert store.find_session(conn, token, NOW) is not None


def test_a_new_password_ends_the_sessions_of_the_old_one(conn: sa.Connection) -> None:
    account = _add(conn)
    token, _ = store.open_session(conn, account.id, NOW)
    store.set_password(conn, account, "another good one")
    assert store.find_session(conn, token, NOW) is None
    assert store.check_password(conn, account.name, PASSWORD) is None
    assert store.check_password(conn, account.name, "another good one") is not None


@pytest.mark.parametrize(("role", "lasts"), [(Role.CUSTOMER, timedelta(days=30)), (Role.ADMIN, timedelta(hours=12))])
def test_a_session_ends_in_time(conn: sa.Connection, role: Role, lasts: timedelta) -> None:
    account = _add(conn, role=role)
    token, csrf = store.open_session(conn, account.id, NOW)
    store.note_seen(conn, {store.hash_of(token): NOW + lasts - timedelta(minutes=1)})
    last = store.find_session(conn, token, NOW + lasts - timedelta(milliseconds=1))
    assert last is not None
    assert (last.account, last.csrf) == (account, csrf)
    assert store.find_session(conn, token, NOW + lasts) is None


def test_a_new_session_clears_away_the_expired_ones(conn: sa.Connection) -> None:
    account = _add(conn, role=Role.ADMIN)
    store.open_session(conn, account.id, NOW)
    store.open_session(conn, account.id, NOW + timedelta(days=1))
    assert conn.scalar(sa.select(sa.func.count()).select_from(store.sessions)) == 1


def test_a_disabled_account_is_out_at_once(conn: sa.Connection) -> None:
    account = _add(conn)
    token, _ = store.open_session(conn, account.id, NOW)
    conn.execute(sa.update(store.accounts).values(disabled_at=NOW))
    assert store.find_session(conn, token, NOW) is None
    assert store.check_password(conn, account.name, PASSWORD) is None


def test_the_tables_hold_no_cookie_and_no_token(conn: sa.Connection) -> None:
    token, _ = store.open_session(conn, _add(conn).id, NOW)
    bearer = store.create_token(conn, name="grafana", role=Role.VIEWER, now=NOW)
    for table in (store.sessions, store.api_tokens):
        for row in conn.execute(sa.select(table)):
            for value in row:
                kept = value if isinstance(value, bytes) else str(value).encode()
                assert token.encode() not in kept
                assert bearer.encode() not in kept


def test_a_token_works_until_it_expires_or_is_revoked(conn: sa.Connection) -> None:
    soon = NOW + timedelta(hours=1)
    forever = store.create_token(conn, name="grafana", role=Role.VIEWER, now=NOW)
    short = store.create_token(conn, name="visit", role=Role.OPERATOR, now=NOW, expires_at=soon)
    assert forever.startswith("domino_")
    assert store.find_token(conn, forever, NOW) == Token("grafana", Role.VIEWER)
    assert store.find_token(conn, short, NOW) == Token("visit", Role.OPERATOR)
    assert store.find_token(conn, short, soon) is None
    assert store.find_token(conn, "domino_", NOW) is None
    conn.execute(sa.update(store.api_tokens).values(revoked_at=NOW))
    assert store.find_token(conn, forever, NOW) is None


def test_staff_is_anyone_but_a_customer(conn: sa.Connection) -> None:
    _add(conn)
    assert not store.any_staff(conn)
    _add(conn, "boss", Role.ADMIN)
    assert store.any_staff(conn)
