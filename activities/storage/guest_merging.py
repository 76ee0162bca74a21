"""What a merge does to a profile, and how it is undone. Pure."""

from pydantic import JsonValue

Profile = dict[str, JsonValue]
Names = dict[str, JsonValue]

_CAUTION = ("auto", "draft", "off")


def merged(into: Profile, other: Profile) -> Profile:
    """The profile of `into`, its gaps filled from `other`; of two rules for the AI the more cautious one."""
    return {
        "name": into["name"] if into["name"] is not None else other["name"],
        "language": into["language"] if into["language"] is not None else other["language"],
        "preferences": {**_names(other), **_names(into)},
        "autonomy": max(into["autonomy"], other["autonomy"], key=lambda each: _CAUTION.index(str(each))),
    }


def unmerged(now: Profile, before: Profile, after: Profile) -> Profile:
    """The profile without what the merge brought; what was changed since then stays as it is."""
    fields = ("name", "language", "autonomy")
    restored: Profile = {each: _restored(now[each], before[each], after[each]) for each in fields}
    preferences, was, became = dict(_names(now)), _names(before), _names(after)
    for key in became.keys() - was.keys():  # what `into` had itself, a merge never changes
        if preferences.get(key) == became[key]:
            del preferences[key]
    return {**restored, "preferences": preferences}


def _restored(now: JsonValue, before: JsonValue, after: JsonValue) -> JsonValue:
    return before if now == after else now


def _names(profile: Profile) -> Names:
    preferences = profile["preferences"]
    assert isinstance(preferences, dict)
    return preferences
