"""The targets in their short form: a few hundred edits of good input each, the same at every run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import Target, shares, targets

EXAMPLES = 150  # a target: seconds in all


@st.composite
def inputs(draw: st.DrawFn, target: Target) -> bytes:
    """Good input with a few edits, or noise."""
    data = bytearray(draw(st.sampled_from(target.seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 4))
        match draw(st.sampled_from(("replace", "repeat", "cut", "splice"))):
            case "replace":
                data[at:end] = draw(st.binary(max_size=4))
            case "repeat":
                data[at:at] = data[at:end] * draw(st.integers(1, 50))
            case "cut":
                del data[at:end]
            case "splice":
                other = draw(st.sampled_from(target.seeds))
                data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data[: target.longest])


@pytest.mark.parametrize("name", targets())
def test_whatever_comes_is_read_or_refused_as_the_parser_says(name):
    target = targets()[name]

    @settings(max_examples=EXAMPLES, derandomize=True)
    @given(inputs(target) | st.binary(max_size=200))
    def holds(data: bytes) -> None:
        target.run(data)

    holds()


def test_the_targets_know_good_input_from_bad():
    """Each seed goes all the way in: a target that refuses its own seeds would try nothing."""
    for target in targets().values():
        for seed in target.seeds:
            target.run(seed)


def test_the_shares_of_a_run_add_up():
    assert sum(shares(10_000_000).values()) == pytest.approx(10_000_000, abs=len(targets()))
