"""Merges guests' profiles, and undoes that. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

Profile = dict[str, JsonValue]
Names = dict[str, JsonValue]

_CAUTION = ("auto", "draft", "off")


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge of `other` into a profile, which was `before` and became `after`."""

    other: Profile
    before: Profile
    after: Profile


def merged(into: Profile, other: Profile) -> Profile:
    """The profile of `into` with gaps filled from `other`, and the more cautious of their AI settings."""
    return {
        "name": into["name"] if into["name"] is not None else other["name"],
        "language": into["language"] if into["language"] is not None else other["language"],
        "preferences": {**preferences_of(other), **preferences_of(into)},
        "autonomy": max(into["autonomy"], other["autonomy"], key=lambda each: _CAUTION.index(str(each))),
    }


def unmerged(now: Profile, before: Profile, after: Profile) -> Profile:
    """The profile without what the merge added. Later changes stay."""
    return _with_changes(before, after, now)


def without(now: Profile, undone: Merge, later: Sequence[Merge]) -> tuple[Profile, list[Merge]]:
    """The profile without one merge, and the later merges, oldest first, as they would have been without it.

    Later merges are replayed on the state before the undone one, because their effect may have depended on it. Changes
    that people made between and after the merges are replayed, too.
    """
    without_it, as_left = undone.before, undone.after
    again = []
    for each in later:
        before = _with_changes(without_it, as_left, each.before)
        without_it, as_left = merged(before, each.other), each.after
        again.append(Merge(each.other, before=before, after=without_it))
    return _with_changes(without_it, as_left, now), again


def _with_changes(profile: Profile, was: Profile, became: Profile) -> Profile:
    """The profile with the changes applied that turned `was` into `became`."""
    fields = ("name", "language", "autonomy")
    changed: Profile = {each: profile[each] if became[each] == was[each] else became[each] for each in fields}
    preferences, before, after = dict(preferences_of(profile)), preferences_of(was), preferences_of(became)
    for key in before.keys() | after.keys():
        if key not in after:
            preferences.pop(key, None)
        elif key not in before or before[key] != after[key]:
            preferences[key] = after[key]
    return {**changed, "preferences": preferences}


def preferences_of(profile: Profile) -> Names:
    preferences = profile["preferences"]
    assert isinstance(preferences, dict)
    return preferences
