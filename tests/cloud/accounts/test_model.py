import pytest

from cloud.accounts.model import (
    MAX_PASSWORD,
    MIN_PASSWORD,
    RIGHTS,
    SESSION_LASTS,
    PasswordRefused,
    Right,
    Role,
    check_new_password,
    is_email,
)


def test_every_role_has_its_rights_and_its_session() -> None:
    assert set(RIGHTS) == set(SESSION_LASTS) == set(Role)


def test_a_customer_sees_nothing_of_the_operators_and_they_own_nothing() -> None:
    assert RIGHTS[Role.CUSTOMER] == {Right.OWN}
    assert all(Right.OWN not in RIGHTS[role] for role in Role if role is not Role.CUSTOMER)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("a" * (MIN_PASSWORD - 1), "short"),
        ("", "short"),
        ("a" * (MAX_PASSWORD + 1), "long"),
        ("Claire@Example.org", "name"),
    ],
)
def test_a_bad_password_is_refused_with_its_reason(password: str, reason: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_new_password(password, "claire@example.org")
    assert refused.value.reason == reason
    assert password == "" or password not in str(refused.value)


def test_length_is_all_that_a_good_password_needs() -> None:
    check_new_password("a b c d e ", "claire@example.org")


@pytest.mark.parametrize("name", ["a@b.fr", "c.morvan+domino@mail.example.org", "hélène@exemple.fr"])
def test_an_address_is_an_e_mail(name: str) -> None:
    assert is_email(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "admin",
        "a@b",
        "a@@b.fr",
        "a b@c.fr",
        "a@b..fr",
        "@b.fr",
        "a@b.fr\n",
        "a\0@b.fr",
        "\u202ea@b.fr",
        "a" * 250 + "@b.fr",
    ],
)
def test_anything_else_is_none(name: str) -> None:
    assert not is_email(name)
