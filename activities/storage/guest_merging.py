"""What a merge does to a profile, and how it is undone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

Profile = dict[str, JsonValue]
Names = dict[str, JsonValue]

_CAUTION = ("auto", "draft", "off")


@dataclass(frozen=True, slots=True)
class Merge:
    """The profile of whom `other` was merged into, as the merge found and left it."""

    other: Profile
    before: Profile
    after: Profile


def merged(into: Profile, other: Profile) -> Profile:
    """The profile of `into`, its gaps filled from `other`; of two rules for the AI the more cautious one."""
    return {
        "name": into["name"] if into["name"] is not None else other["name"],
        "language": into["language"] if into["language"] is not None else other["language"],
        "preferences": {**preferences_of(other), **preferences_of(into)},
        "autonomy": max(into["autonomy"], other["autonomy"], key=lambda each: _CAUTION.index(str(each))),
    }


def unmerged(now: Profile, before: Profile, after: Profile) -> Profile:
    """The profile without what the merge brought; what was changed since then stays as it is."""
    fields = ("name", "language", "autonomy")
    restored: Profile = {each: _restored(now[each], before[each], after[each]) for each in fields}
    preferences, was, became = dict(preferences_of(now)), preferences_of(before), preferences_of(after)
    for key in became.keys() - was.keys():  # what `into` had itself, a merge never changes
        if preferences.get(key) == became[key]:
            del preferences[key]
    return {**restored, "preferences": preferences}


def without(now: Profile, undone: Merge, later: Sequence[Merge]) -> tuple[Profile, list[Merge]]:
    """The profile without one merge, and the later ones, oldest first, as they are without it.

    They are taken back and made again: what they brought, and what they must give back, may have hung on the one.
    """
    for each in (*reversed(later), undone):
        now = unmerged(now, each.before, each.after)
    again = []
    for each in later:
        after = merged(now, each.other)
        again.append(Merge(each.other, before=now, after=after))
        now = after
    return now, again


def _restored(now: JsonValue, before: JsonValue, after: JsonValue) -> JsonValue:
    return before if now == after else now


def preferences_of(profile: Profile) -> Names:
    preferences = profile["preferences"]
    assert isinstance(preferences, dict)
    return preferences
