import random
import subprocess
import sys
import threading
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud.stamps import register
from cloud.stamps.model import ALPHABET, LENGTH, MIN_DISTANCE
from cloud.stamps.register import ABSENT, Codes, Keeping, Register, drawn, pack, unpack

texts = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)
# Of few symbols, so that many share a bucket and many are near.
crowded = st.lists(st.text("0YK", min_size=LENGTH, max_size=LENGTH), max_size=40).map(pack)


def seeded(seed: int):
    return random.Random(seed).randbytes


def distances(some: Codes, others: Codes) -> np.ndarray:
    """(len(some), len(others)): by comparing symbol with symbol, without the register or its tables."""
    some_symbols, other_symbols = (
        np.array([list(code.encode()) for code in unpack(codes)], np.uint8) for codes in (some, others)
    )
    return (some_symbols[:, None, :] != other_symbols[None]).sum(axis=2)


def spaced(candidates: Codes, taken: list[int]) -> list[int]:
    """The candidates, first come first kept, that are three or more from each other and from all `taken`."""
    kept: list[int] = []
    for candidate in candidates:
        others = np.array(taken + kept, np.uint64)
        if not others.size or distances(np.array([candidate]), others).min() >= MIN_DISTANCE:
            kept.append(int(candidate))
    return kept


def nearest_other(sample: Codes, codes: Codes) -> int:
    apart = np.concatenate([distances(sample, part) for part in np.array_split(codes, max(len(codes) // 20_000, 1))], 1)
    return int(apart[apart > 0].min())


@given(st.lists(texts))
def test_unpacking_undoes_packing_and_the_first_symbol_is_highest(codes: list[str]) -> None:
    packed = pack(codes)
    assert unpack(packed) == codes
    assert packed.tolist() == [sum(ALPHABET.index(s) << 35 - 5 * i for i, s in enumerate(code)) for code in codes]


@pytest.mark.parametrize("wrong", [["7K4F2M9"], ["7K4F2M9", "7K4F2M9XX"], ["7K4F2M9O"], ["7k4f2m9x"], ["7K4F2M9É"]])
def test_what_is_no_code_is_not_packed_and_not_repeated(wrong: list[str]) -> None:
    with pytest.raises(ValueError, match="a stamp code") as refused:
        pack(wrong)
    assert wrong[0] not in str(refused.value)


def test_five_bytes_of_noise_are_one_code_and_no_bit_is_lost() -> None:
    noise = random.Random(1).randbytes(500)
    assert drawn(noise).tolist() == [int.from_bytes(noise[at : at + 5], "big") for at in range(0, 500, 5)]


class AgainstADictionary(RuleBasedStateMachine):
    """The register against what it should be: a dictionary from code to state."""

    def __init__(self) -> None:
        super().__init__()
        self.register = Register()
        self.model: dict[int, Keeping] = {}  # the plain truth

    @rule(codes=crowded, state=st.sampled_from(Keeping))
    def add(self, codes: Codes, state: Keeping) -> None:
        self.register.add(codes, state)
        self.model |= dict.fromkeys(codes.tolist(), state)

    @rule(half=st.integers(0, 3), last=st.booleans(), state=st.sampled_from(Keeping), count=st.integers(1, 300))
    def add_many_that_share_a_half(self, half: int, last: bool, state: Keeping, count: int) -> None:
        codes = np.arange(count, dtype=np.uint64) * np.uint64(977) % np.uint64(1 << 20)
        codes = codes << np.uint64(20) | np.uint64(half) if last else np.uint64(half << 20) | codes
        self.add(codes, state)

    @rule(codes=crowded, state=st.sampled_from(Keeping))
    def set_state(self, codes: Codes, state: Keeping) -> None:
        there = [code for code in codes.tolist() if code in self.model]
        assert self.register.set_state(codes, state) == len(there)
        self.model |= dict.fromkeys(there, state)

    @rule(codes=crowded)
    def remove(self, codes: Codes) -> None:
        there = self.model.keys() & set(codes.tolist())
        assert self.register.remove(codes) == len(there)
        for code in there:
            del self.model[code]

    @rule(codes=crowded)
    def add_spaced(self, codes: Codes) -> None:
        kept = self.register.add_spaced(codes, Keeping.HELD)
        assert kept.tolist() == spaced(codes, list(self.model))
        self.model |= dict.fromkeys(kept.tolist(), Keeping.HELD)

    @rule(count=st.integers(0, 20), seed=st.integers(0, 99))
    def mint(self, count: int, seed: int) -> None:
        minted = self.register.mint(count, noise=seeded(seed)).tolist()
        assert len(set(minted) - self.model.keys()) == count
        self.model |= dict.fromkeys(minted, Keeping.HELD)

    @rule(codes=crowded)
    def find(self, codes: Codes) -> None:
        assert self.register.find(codes).tolist() == [self.model.get(code, ABSENT) for code in codes.tolist()]

    @rule(codes=crowded)
    def near(self, codes: Codes) -> None:
        there = np.array(list(self.model), np.uint64)
        found, states = self.register.near(codes)
        for code, one, state in zip(codes, found, states, strict=True):
            within = set(there[distances(np.array([code]), there)[0] <= 1].tolist()) if there.size else set()
            assert bool(within) == (state != ABSENT)
            assert not within or (int(one) in within and self.model[int(one)] == state)

    @invariant()
    def everything_is_there(self) -> None:
        codes = np.array(list(self.model), np.uint64)
        assert self.register.find(codes).tolist() == list(self.model.values())
        assert len(self.register) == len(self.model)
        assert [self.register.count(state) for state in Keeping] == [
            list(self.model.values()).count(state) for state in Keeping
        ]


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("room", [1, 20_000, 50_000, 200_000, 600_000])
def test_minted_codes_are_three_apart_whatever_the_size_of_the_tables(room: int) -> None:
    """Of random codes few are near each other, so all 6561 words of three symbols go first."""
    kept = Register(room)
    crowd = pack(["".join("0YK"[n // 3**i % 3] for i in range(LENGTH)) for n in range(3**LENGTH)])
    first = kept.add_spaced(crowd, Keeping.LIVE)
    assert first.tolist() == spaced(crowd, [])
    codes = np.concatenate([first, kept.mint(2_000, noise=seeded(room))])
    assert min(nearest_other(part, codes) for part in np.array_split(codes, 10)) >= MIN_DISTANCE


def test_minted_codes_stay_three_apart_through_growth_removal_and_adding_again() -> None:
    kept = Register()
    minted = kept.mint(9_000, noise=seeded(1))
    sizes = [kept.nbytes]
    for seed in range(2, 12):
        gone = minted[seed::7]
        assert kept.remove(gone) == gone.size
        minted = np.setdiff1d(minted, gone)
        back = gone[::2]
        kept.add(back, Keeping.SPENT)
        minted = np.concatenate([minted, back, kept.mint(6_000, noise=seeded(seed))])
        sizes.append(kept.nbytes)
    assert len(set(sizes)) > 3  # it did grow
    assert len(kept) == minted.size == np.unique(minted).size
    assert (kept.find(minted) != ABSENT).all()
    assert nearest_other(minted[::397], minted) >= MIN_DISTANCE


def test_every_code_nearer_than_three_keeps_a_new_one_away_and_none_at_three_does() -> None:
    code = "7K4F2M9X"
    rng = random.Random(4)
    kept = Register()
    kept.add(pack([code]), Keeping.SPENT)
    for distance in range(4):
        for places in combinations(range(LENGTH), distance):
            near = "".join(
                rng.choice(ALPHABET.replace(symbol, "")) if place in places else symbol
                for place, symbol in enumerate(code)
            )
            filed = kept.add_spaced(pack([near]), Keeping.HELD)
            assert filed.size == (distance == 3), near
            kept.remove(filed)


def test_a_code_taken_out_keeps_nobody_away() -> None:
    kept = Register()
    (code,) = kept.mint(1)
    beside = np.array([code ^ np.uint64(1)])
    assert kept.add_spaced(beside, Keeping.LIVE).size == 0
    kept.remove(np.array([code]))
    assert kept.add_spaced(beside, Keeping.LIVE).size == 1


def test_each_symbol_is_minted_equally_often_in_each_place() -> None:
    symbols = np.array([list(code) for code in unpack(Register().mint(20_000, noise=seeded(3)))])
    for place in range(LENGTH):
        counts = np.unique(symbols[:, place], return_counts=True)[1]
        chi_squared = ((counts - 625) ** 2 / 625).sum()
        assert chi_squared < 90  # 31 degrees of freedom: beyond it by chance once in ten million


def test_two_registers_mint_different_codes_and_not_in_order() -> None:
    first, second = Register().mint(100), Register().mint(100)
    assert not set(first.tolist()) & set(second.tolist())
    assert (np.sort(first) != first).any()


def test_codes_of_one_half_alone_find_room_by_longer_chains() -> None:
    kept = Register()
    codes = np.arange(20_000, dtype=np.uint64)
    kept.add(codes, Keeping.LIVE)
    kept.add(codes << np.uint64(20), Keeping.SPENT)
    assert len(kept) == 39_999
    assert (kept.find(codes[1:]) == Keeping.LIVE).all()
    assert (kept.find(codes << np.uint64(20)) == Keeping.SPENT).all()


def test_what_was_in_is_found_by_other_threads_while_the_register_grows() -> None:
    kept = Register()
    codes = kept.mint(2_000, Keeping.LIVE)
    lost, over = [], threading.Event()

    def look() -> None:
        while not over.is_set():
            lost.append(int((kept.find(codes) != Keeping.LIVE).sum() + (kept.near(codes)[0] != codes).sum()))

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        kept.mint(6_000)
    over.set()
    for reader in readers:
        reader.join()
    assert lost
    assert not any(lost)


def test_whoever_neither_mints_nor_reads_loads_no_numba_and_no_numpy() -> None:
    program = (
        "import sys, cloud.__main__, cloud.web\nfrom tools.main import COMMANDS, load\n"
        "for name in COMMANDS:\n    load(name)\nprint({'numba', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("cache", ["of the user", "nowhere"])
def test_it_works_where_the_programs_folder_cannot_be_written(cache: str, tmp_path) -> None:
    """Then what is compiled is kept in the user's cache, and where there is none either, by nobody."""
    locator = "caching.UserWideCacheLocator" if cache == "of the user" else "Nowhere"
    program = (
        "from numba.core import caching\n"
        "class Nowhere:\n    @classmethod\n    def from_function(cls, *_): return None\n"
        f"caching.CacheImpl._locator_classes = [{locator}]\n"
        "from cloud.stamps.register import Register\n"
        "assert Register().find(Register().mint(3)).size == 3\n"
    )
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert any(tmp_path.rglob("*.nbi")) == (cache == "of the user")


def test_memory_is_fourteen_bytes_a_code_at_the_design_point_and_no_more_than_twice_that_below_it() -> None:
    """By the number of blocks in use: 64 bytes each, two tables."""
    for room in (10_000, 11_265, 1_000_000, 10_000_000, 20_000_000):
        tables = register._Tables.empty(room)
        assert tables.room >= room
        assert tables.used.sum() * 64 / room < (27 if room < 10_000_000 else 14)
