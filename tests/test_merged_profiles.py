"""What a merge does to a profile, and what its undo leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.storage.merged_profiles import Merge, Profile, merged, unmerged, without

NAMES = st.none() | st.sampled_from(["Ana", "Ben", "Cid"])
PROFILES = st.fixed_dictionaries(
    {
        "name": NAMES,
        "language": st.none() | st.sampled_from(["pt", "en"]),
        "preferences": st.dictionaries(st.sampled_from(["pillow", "vip", "floor"]), st.sampled_from(["1", "2"])),
        "autonomy": st.sampled_from(["auto", "draft", "off"]),
    }
)


def _profile(**changes: object) -> Profile:
    return {"name": None, "language": None, "preferences": {}, "autonomy": "auto", **changes}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("into", "other", "expected"),
    [
        pytest.param(_profile(), _profile(), _profile(), id="nothing of either"),
        pytest.param(_profile(), _profile(name="Ana"), _profile(name="Ana"), id="a gap is filled"),
        pytest.param(_profile(name="Ben"), _profile(name="Ana"), _profile(name="Ben"), id="what is there stays"),
        pytest.param(_profile(), _profile(language="pt"), _profile(language="pt"), id="language"),
        pytest.param(
            _profile(preferences={"a": "1", "b": "1"}),
            _profile(preferences={"b": "2", "c": "2"}),
            _profile(preferences={"a": "1", "b": "1", "c": "2"}),
            id="preferences of both",
        ),
        pytest.param(_profile(autonomy="draft"), _profile(autonomy="off"), _profile(autonomy="off"), id="off is kept"),
        pytest.param(_profile(autonomy="draft"), _profile(), _profile(autonomy="draft"), id="draft is kept"),
    ],
)
def test_a_merge_fills_gaps(into: Profile, other: Profile, expected: Profile) -> None:
    assert merged(into, other) == expected


@given(PROFILES, PROFILES)
def test_an_undo_gives_back_exactly_what_was(into: Profile, other: Profile) -> None:
    after = merged(into, other)
    assert unmerged(after, into, after) == into


@given(PROFILES, PROFILES, PROFILES)
def test_two_merges_undone_in_any_order_leave_what_was(into: Profile, one: Profile, other: Profile) -> None:
    first = Merge(one, into, merged(into, one))
    second = Merge(other, first.after, merged(first.after, other))
    assert without(without(second.after, second, [])[0], first, [])[0] == into
    now, (again,) = without(second.after, first, [second])
    assert now == merged(into, other), "what the second brought stays"
    assert without(now, again, [])[0] == into


def test_what_was_changed_since_stays() -> None:
    before, after = _profile(), merged(_profile(), _profile(name="Ana", preferences={"pillow": "soft", "floor": "1"}))
    now: Profile = {**after, "name": "Anna", "preferences": {"pillow": "hard", "floor": "1", "tea": "green"}}
    assert unmerged(now, before, after) == _profile(name="Anna", preferences={"pillow": "hard", "tea": "green"})


def test_what_people_changed_after_a_later_merge_stays() -> None:
    first = Merge(_profile(name="Ana"), before=_profile(name="Ina"), after=_profile(name="Ina"))
    other = _profile(name="Ben", language="de", autonomy="off", preferences={"allergy": "nuts"})
    second = Merge(other, before=first.after, after=merged(first.after, other))
    now = _profile(name="Ina", preferences={"tea": "green"})
    profile, again = without(now, first, [second])
    assert profile == now
    assert again == [second]
