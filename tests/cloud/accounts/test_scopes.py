"""Tokens for as little, as long and from as near as is wanted; and the accounts of staff."""

import doctest
import ipaddress
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cloud import database
from cloud.accounts import model, store
from cloud.accounts.model import (
    RIGHTS,
    SCOPES,
    SESSION_IDLE,
    STAFF,
    Account,
    Exists,
    Faulty,
    Forbidden,
    LastAdmin,
    NotFound,
    Right,
    Role,
    Token,
    check_sign_in_name,
    granted,
    least_role,
    parse_networks,
)
from cloud.accounts.passwords import Hash

NOW = datetime(2026, 11, 18, 18, 52, tzinfo=UTC)

rights = st.frozensets(st.sampled_from(Right))


@given(st.sampled_from(Role), st.none() | rights)
def test_a_token_never_has_a_right_that_its_role_or_its_scopes_lack(role: Role, scopes: frozenset[Right] | None):
    token = Token("t", role, scopes)
    assert token.rights <= RIGHTS[role]
    assert scopes is None or token.rights == RIGHTS[role] & scopes


@given(st.sampled_from(STAFF), st.none() | st.sampled_from(Role), st.none() | rights)
def test_nobody_hands_on_more_than_they_have(maker: Role, role: Role | None, scopes: frozenset[Right] | None):
    try:
        made, effective = granted(RIGHTS[maker], role, scopes)
    except (Faulty, Forbidden):
        return
    assert effective <= RIGHTS[maker] & RIGHTS[made] & SCOPES
    assert effective == Token("t", made, None if scopes is None else effective).rights
    assert scopes is None or effective == scopes
    assert role is None or made is role


@given(st.frozensets(st.sampled_from(sorted(SCOPES)), min_size=1))
def test_the_least_role_has_what_is_asked_and_none_with_fewer_rights_has_it(scopes: frozenset[Right]):
    try:
        role = least_role(scopes)
    except Faulty:
        assert not any(scopes <= RIGHTS[one] for one in STAFF)
        return
    assert scopes <= RIGHTS[role]
    assert all(len(RIGHTS[one]) >= len(RIGHTS[role]) for one in STAFF if scopes <= RIGHTS[one])


@pytest.mark.parametrize(
    ("maker", "role", "scopes", "error"),
    [
        (Role.OPERATOR, Role.ADMIN, None, Forbidden),
        (Role.OPERATOR, None, {Right.ADMINISTER}, Forbidden),
        (Role.ADMIN, Role.CUSTOMER, None, Faulty),
        (Role.ADMIN, None, {Right.OWN}, Faulty),
        (Role.ADMIN, None, set(), Faulty),
        (Role.ADMIN, Role.VIEWER, set(), Faulty),
        (Role.ADMIN, Role.VIEWER, {Right.SEE, Right.JUDGE}, Faulty),
    ],
)
def test_a_token_that_cannot_be_is_refused(maker: Role, role: Role | None, scopes: set[Right] | None, error: type):
    with pytest.raises(error):
        granted(RIGHTS[maker], role, None if scopes is None else frozenset(scopes))


@pytest.mark.parametrize(
    ("networks", "host", "may"),
    [
        ("", "anything", True),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.1", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),  # as a socket for both writes it
        ("192.0.2.7", "::ffff:192.0.2.8", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.1", False),
        ("192.0.2.7 2001:db8::/32", "192.0.2.7", True),
        ("192.0.2.7", "testclient", False),
        ("192.0.2.7", "", False),
    ],
)
def test_a_token_is_used_from_where_it_may(networks: str, host: str, may: bool):
    assert Token("t", Role.VIEWER, None, parse_networks(networks)).may_come_from(host) is may


@given(st.lists(st.ip_addresses(), min_size=1, max_size=5), st.ip_addresses())
def test_of_addresses_each_is_in_and_every_other_is_out(allowed: list, other):
    token = Token("t", Role.VIEWER, None, parse_networks(" ".join(map(str, allowed))))
    assert all(token.may_come_from(str(one)) for one in allowed)
    plain = {getattr(one, "ipv4_mapped", None) or one for one in allowed}
    assert token.may_come_from(str(other)) is ((getattr(other, "ipv4_mapped", None) or other) in plain)


@pytest.mark.parametrize("text", ["192.0.2.300", "192.0.2.7/24", "example.org", "1.2.3.4 x", " ".join(["::1"] * 21)])
def test_what_is_no_address_is_told(text: str):
    with pytest.raises(Faulty):
        parse_networks(text)


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a" * 81, "n\0", "<b>"])
def test_a_name_that_would_confuse_the_trail_is_refused(name: str):
    with pytest.raises(Faulty):
        check_sign_in_name(name)
    assert check_sign_in_name(" N.Arnaud@Example.org ") == "n.arnaud@example.org"


def test_the_examples_are_true():
    assert doctest.testmod(model).failed == 0


# In the database


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path):
    url = (
        f"sqlite:///{tmp_path / 'domino.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_empty_url")
    )
    database.migrate(url)
    engine = database.connect(url)
    yield engine
    engine.dispose()


def staff(engine: sa.Engine, name: str, role: Role = Role.ADMIN) -> Account:
    with engine.begin() as conn:
        return store.add(conn, name=name, display_name=name, role=role, password=Hash("-"), now=NOW)


def test_a_token_keeps_its_scopes_its_networks_and_its_end(engine: sa.Engine):
    networks = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))
    scopes, until = {Right.SEE, Right.JUDGE}, NOW + timedelta(days=90)
    with engine.begin() as conn:
        about = {"scopes": scopes, "networks": networks, "made_by": "staff n.arnaud", "expires_at": until}
        secret = store.create_token(conn, name="night", role=Role.SUPPORT, now=NOW, **about)
        found = store.find_token(conn, secret, NOW)
        assert found == Token("night", Role.SUPPORT, frozenset(scopes), networks)
        assert store.find_token(conn, secret, until) is None
        with pytest.raises(Exists):
            store.check_unused(conn, "night")
        [listed] = store.tokens(conn, NOW)
        assert (listed.made_by, listed.last_used_at, listed.is_in_force(NOW)) == ("staff n.arnaud", None, True)
        assert store.token_named(conn, "night", NOW) == listed
        revoked = store.revoke_token(conn, listed.token.id, NOW)
        assert revoked is not None
        assert not revoked.is_in_force(NOW)
        assert store.revoke_token(conn, listed.token.id, NOW) is None
        assert store.find_token(conn, secret, NOW) is None
        with pytest.raises(NotFound):
            store.revoke_token(conn, 99, NOW)
        with pytest.raises(NotFound):
            store.token_named(conn, "night", NOW)


def test_the_last_admin_is_neither_disabled_nor_demoted(engine: sa.Engine):
    boss, other = staff(engine, "boss"), staff(engine, "other")
    with engine.begin() as conn:
        assert store.disable(conn, other.id, NOW)
        for deed in (lambda: store.disable(conn, boss.id, NOW), lambda: store.set_role(conn, boss.id, Role.VIEWER)):
            with pytest.raises(LastAdmin):
                deed()
        assert store.enable(conn, other.id)
        assert store.set_role(conn, boss.id, Role.VIEWER).role is Role.ADMIN
        with pytest.raises(NotFound):
            store.disable(conn, 99, NOW)


def test_two_admins_who_remove_each_other_at_once_leave_one(engine: sa.Engine):
    for round_ in range(5):
        pair = [staff(engine, f"a{round_}"), staff(engine, f"b{round_}")]

        def remove(account: Account) -> bool:
            try:
                with engine.begin() as conn:
                    store.disable(conn, account.id, NOW)
            except LastAdmin:
                return False
            return True

        with ThreadPoolExecutor(2) as both:
            assert sorted(both.map(remove, pair)) == [False, True]
        with engine.begin() as conn:
            left = [one for one in store.staff(conn) if one.role is Role.ADMIN and one.disabled_at is None]
            assert len(left) == 1
            conn.execute(sa.update(store.accounts).values(role=Role.VIEWER))


@pytest.mark.parametrize("change", ["role", "disable", "password"])
def test_what_changes_an_account_ends_its_sessions(engine: sa.Engine, change: str):
    staff(engine, "boss")
    account = staff(engine, "n.arnaud", Role.OPERATOR)
    with engine.begin() as conn:
        token, _ = store.open_session(conn, account.id, NOW)
        if change == "role":
            store.set_role(conn, account.id, Role.VIEWER)
        elif change == "disable":
            store.disable(conn, account.id, NOW)
        else:
            store.change_password(conn, account, Hash("-"), until=NOW)
        assert store.find_session(conn, token, NOW) is None


def test_a_session_that_nobody_uses_is_over_and_each_is_ended_by_its_owner_alone(engine: sa.Engine):
    one, other = staff(engine, "one"), staff(engine, "other")
    idle = SESSION_IDLE[Role.ADMIN]
    with engine.begin() as conn:
        first, _ = store.open_session(conn, one.id, NOW, network="192.0.2.7", browser="Firefox")
        second, _ = store.open_session(conn, one.id, NOW)
        store.note_seen(conn, {store.hash_of(second): NOW + idle / 2})
        assert store.find_session(conn, first, NOW + idle) is None
        assert store.find_session(conn, second, NOW + idle) is not None
        listed = store.sessions_of(conn, one, NOW + timedelta(minutes=1), second)
        assert [(own.is_this, own.network, own.browser) for own in listed] == [
            (True, None, None),
            (False, "192.0.2.7", "Firefox"),
        ]
        with pytest.raises(NotFound):
            store.end_session(conn, other.id, listed[1].name)
        store.end_session(conn, one.id, listed[1].name)
        assert store.find_session(conn, first, NOW) is None
        assert store.end_sessions(conn, one.id, but=second) == 0
        assert store.end_sessions(conn, one.id) == 1
