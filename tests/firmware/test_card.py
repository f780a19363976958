"""The card to print says what the firmware's lights do."""

from pathlib import Path

from simulator.board import card

CARD = Path(__file__).parents[2] / "docs/button-card.svg"


def test_the_card_is_drawn_from_the_firmwares_own_lights():
    """`python -m simulator.board.card > docs/button-card.svg` draws it anew."""
    assert CARD.read_text() == card.draw(card.patterns())


def test_every_light_is_on_the_card_and_tells_itself_apart():
    lights = card.patterns()
    assert {name for name, _ in card.LIGHTS} == set(lights)
    assert len({tuple(pattern) for pattern in lights.values()}) == len(lights)
