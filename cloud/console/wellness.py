"""Is it well? A button's page answers in sentences: what was heard, what is usual, when it would be called silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud.fleet.battery import LOW_MV, Outlook
from cloud.fleet.model import Button
from cloud.fleet.rhythm import DEFAULT_HOURS, Facts, Habit, Judgement, Verdict
from cloud.words import N_, Said

ANSWERS = {
    Verdict.ALIVE: N_("Yes."),
    Verdict.UNUSED: N_("Yes, and nobody has pressed it yet."),
    Verdict.LATE: N_("Perhaps not."),
    Verdict.SILENT: N_("No."),
    Verdict.NEVER_HEARD: N_("Nobody can tell yet."),
    Verdict.REVOKED: N_("It is revoked."),
}
WEEKDAYS = (
    N_("Monday"),
    N_("Tuesday"),
    N_("Wednesday"),
    N_("Thursday"),
    N_("Friday"),
    N_("Saturday"),
    N_("Sunday"),
)


@dataclass(frozen=True, slots=True)
class Wellness:
    """`answer`, then when it was last heard, then `usual`; `next` is what happens from here on, or what is wrong."""

    answer: Said
    usual: tuple[Said, ...]
    next: tuple[Said, ...]


def told(
    button: Button,
    facts: Facts,
    judgement: Judgement,
    habit: Habit,
    last_press: datetime | None,
    stations: Sequence[str],
    outlook: Outlook | None,
) -> Wellness:
    usual = () if button.last_seen_at is None else (_heartbeat(button, habit), *_presses(habit, last_press))
    return Wellness(
        ANSWERS[judgement.verdict], usual, (*judgement.reasons, *_ahead(facts, judgement, stations, outlook))
    )


def _heartbeat(button: Button, habit: Habit) -> Said:
    hours = button.heartbeat_hours or DEFAULT_HOURS
    if habit.between is not None and hours == DEFAULT_HOURS:
        first, last = habit.between
        if first == last:
            return N_("Its heartbeat comes every day, mostly at %(at)s.", at=first)
        return N_("Its heartbeat comes every day, mostly between %(first)s and %(last)s.", first=first, last=last)
    if button.heartbeat_hours is None:
        return N_("Its heartbeat comes every 24 h, as long as it was told no other.")
    return N_("Its heartbeat comes every %(hours)s h.", hours=hours)


def _presses(habit: Habit, last_press: datetime | None) -> list[Said]:
    if last_press is None:
        return []
    said = []
    if habit.days is not None:
        days = round(habit.days)
        if habit.days < 1.5:
            said.append(N_("It is pressed about every day."))
        elif len(habit.weekdays) == 2:
            first, second = (WEEKDAYS[day] for day in habit.weekdays)
            said.append(
                N_(
                    "It is pressed about every %(days)s days, mostly on %(first)s and %(second)s.",
                    days=days,
                    first=first,
                    second=second,
                )
            )
        else:
            said.append(N_("It is pressed about every %(days)s days.", days=days))
    said.append(N_("Its last press was on %(at)s.", at=last_press))
    return said


def _ahead(facts: Facts, judgement: Judgement, stations: Sequence[str], outlook: Outlook | None) -> list[Said]:
    """What comes next of a button that is alive or late."""
    if judgement.verdict not in (Verdict.ALIVE, Verdict.UNUSED, Verdict.LATE):
        return []
    assert judgement.due_at is not None
    assert judgement.silent_at is not None
    said = []
    if judgement.verdict is not Verdict.LATE:
        said.append(N_("The next word is due by %(at)s.", at=judgement.due_at))
    named = " + ".join(stations)
    if named and facts.neighbours is not None and facts.neighbours.are_known:
        said.append(
            N_(
                "If %(count)s words in a row stay unheard, while its neighbours are heard through %(stations)s, it is"
                " called silent on %(at)s.",
                count=judgement.patience,
                stations=named,
                at=judgement.silent_at,
            )
        )
    else:
        said.append(
            N_(
                "If %(count)s words in a row stay unheard, it is called silent on %(at)s.",
                count=judgement.patience,
                at=judgement.silent_at,
            )
        )
    low = (LOW_MV if outlook is None else outlook.low_mv) / 1000
    said.append(
        N_(
            "With the battery above %(volts)s V that would point to the radio or to what was done to it; below, to the"
            " battery.",
            volts=low,
        )
    )
    return said
