"""Decisions of a task, row by row, and over every order of events that a machine thinks of."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.events import LogEntry, Notification
from contracts.property_events import event_of
from contracts.tasks import Task, TaskPolicy, VersionedTask
from tests.task_records import NOW, a_change, a_record, a_task
from workflows import task_policy
from workflows.task_policy import UNSTORED_VERSIONS, TaskRecord

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
A_MOMENT = timedelta(microseconds=1)
LEAD = TaskPolicy().reminder_lead

# --- changes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "refused"), [(None, False), ([3], False), ([1, 3], False), ([2], True), ([4], True), ([], True)]
)
def test_a_change_of_another_version_is_refused(expected: list[int] | None, refused: bool) -> None:
    record = a_record(version=3)
    refusal = task_policy.refusal(record, a_change(expected=expected, status="done"))
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.code == "stale"
        assert refusal.members == {"etag": '"3"', "version": 3}


def test_a_repeated_change_is_made_once_and_never_refused() -> None:
    record = a_record()
    command = a_change(expected=[1], status="in_progress")
    task_policy.change(record, command, NOW + MINUTE)
    task_policy.change(record, a_change(priority="high"), NOW + MINUTE)
    assert task_policy.refusal(record, command) is None
    task_policy.change(record, command, NOW + HOUR)
    assert record.version == 3


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({}, 1),
        ({"status": "open"}, 1),
        ({"cleared": ["due_at"]}, 1),
        ({"status": "in_progress", "priority": "high"}, 2),
        ({"title": "Towels for 3"}, 2),
        ({"cleared": ["assigned_to"]}, 2),
        ({"assigned_to": "ben"}, 2),
    ],
)
def test_what_changes_nothing_makes_no_version(changes: dict[str, Any], version: int) -> None:
    record = a_record(assigned_to="ana")
    task_policy.change(record, a_change(**changes), NOW + MINUTE)
    assert record.version == version
    assert record.task.updated_at == (NOW + MINUTE if version > 1 else NOW)
    assert [each.version for each in record.unstored] == list(range(1, version + 1))


def test_what_is_cleared_is_empty_and_all_else_is_left() -> None:
    before = a_task(due_at=NOW, assigned_to="ana", description="Large ones")
    after = a_change(cleared=["assigned_to"], title="Two towels").changes.applied_to(before)
    assert after == before.model_copy(update={"assigned_to": None, "title": "Two towels"})


def test_a_clock_that_is_behind_does_not_turn_time_back() -> None:
    """Nor is the change told as another creation, which is known by its time alone."""
    record = a_record()
    task_policy.change(record, a_change(status="in_progress"), NOW - HOUR)
    assert NOW < record.task.updated_at < NOW + MINUTE
    first, second = (
        event_of(LogEntry(property_id="hotel", type="task_update", position=1, at=NOW, task=each.task))
        for each in record.unstored
    )
    assert first is not None
    assert second is not None
    assert (first.type, second.type) == ("task.created", "task.updated")


@pytest.mark.parametrize(
    ("conversation_id", "statuses", "untold"),
    [
        ("c-1", ["done"], True),
        ("c-1", ["in_progress", "done"], True),
        ("c-1", ["cancelled"], False),
        ("c-1", ["done", "open"], False),
        ("c-1", ["done", "open", "done"], True),
        (None, ["done"], False),
    ],
)
def test_a_conversation_learns_what_is_done(conversation_id: str | None, statuses: list[str], untold: bool) -> None:
    record = a_record(conversation_id=conversation_id)
    for status in statuses:
        task_policy.change(record, a_change(status=status), NOW)
    assert record.guest_untold is untold


def test_a_conversation_learns_nothing_of_what_its_guest_is_not_told() -> None:
    record = a_record(conversation_id="c-1", policy=TaskPolicy(tells_guest=False))
    task_policy.change(record, a_change(status="done"), NOW)
    assert not record.guest_untold


def test_a_conversation_learns_it_once() -> None:
    record = a_record(conversation_id="c-1")
    task_policy.change(record, a_change(status="done"), NOW)
    record.guest_told, record.guest_untold = True, False
    for status in ("open", "done"):
        task_policy.change(record, a_change(status=status), NOW)
    assert not record.guest_untold


def test_an_operator_cancels_what_is_open_only() -> None:
    open_one, done = a_record(), a_record(status="done")
    task_policy.cancel(open_one, NOW)
    task_policy.cancel(done, NOW)
    assert (open_one.task.status, open_one.version) == ("cancelled", 2)
    assert (done.task.status, done.version) == ("done", 1)


# --- time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "policy", "deadline"),
    [
        ({}, {}, None),
        ({"due_at": NOW + HOUR}, {}, NOW + HOUR - LEAD),
        ({"due_at": NOW + MINUTE}, {}, NOW + MINUTE - LEAD),
        ({"due_at": NOW + HOUR}, {"reminder_lead": timedelta(0)}, NOW + HOUR),
        ({"due_at": NOW + HOUR}, {"reminder_lead": 10 * MINUTE}, NOW + 50 * MINUTE),
        ({"due_at": NOW}, {}, None),
        ({"due_at": NOW - HOUR}, {}, None),
        ({"due_at": NOW + HOUR, "status": "done"}, {}, None),
        ({"due_at": NOW + HOUR, "status": "cancelled"}, {}, None),
        ({"due_at": NOW + HOUR, "status": "in_progress"}, {}, NOW + HOUR - LEAD),
    ],
)
def test_when_time_changes_a_task(task: dict[str, Any], policy: dict[str, Any], deadline: datetime | None) -> None:
    assert task_policy.next_deadline(a_record(policy=TaskPolicy(**policy), **task)) == deadline


def test_a_new_task_that_fell_due_before_its_first_worker_is_overdue() -> None:
    """The date lay ahead when somebody set it."""
    start = task_policy.TaskStart(task=a_task(due_at=NOW + MINUTE))
    record = task_policy.begin(start, NOW + HOUR)
    task_policy.time_passes(record, NOW + HOUR)
    assert [_what(each) for each in record.notifications] == ["overdue"]


def test_one_that_is_taken_up_again_after_its_due_date_is_not() -> None:
    start = task_policy.TaskStart(task=a_task(due_at=NOW + MINUTE, status="done"), version=4)
    record = task_policy.begin(start, NOW + HOUR)
    task_policy.change(record, a_change(status="open"), NOW + HOUR)
    assert task_policy.next_deadline(record) is None


@pytest.mark.parametrize(
    ("late", "told", "priority"),
    [
        (-LEAD - A_MOMENT, [], "normal"),
        (-LEAD, ["reminder"], "normal"),
        (-A_MOMENT, ["reminder"], "normal"),
        (timedelta(0), ["overdue"], "high"),
        (10 * HOUR, ["overdue"], "high"),
    ],
)
def test_what_is_told_at_which_time(late: timedelta, told: list[str], priority: str) -> None:
    record = a_record(due_at=NOW + 5 * HOUR)
    for _ in range(2):
        task_policy.time_passes(record, NOW + 5 * HOUR + late)
    assert [_what(each) for each in record.notifications] == told
    assert record.task.priority == priority


@pytest.mark.parametrize(
    ("before", "after", "version"),
    [("low", "normal", 2), ("normal", "high", 2), ("high", "urgent", 2), ("urgent", "urgent", 1)],
)
def test_overdue_is_one_step_more_urgent(before: str, after: str, version: int) -> None:
    record = a_record(due_at=NOW + HOUR, priority=before)
    task_policy.time_passes(record, NOW + HOUR)
    assert (record.task.priority, record.version) == (after, version)
    notification = record.notifications[0]
    assert (notification.kind, notification.audience, notification.staff_id) == ("sla", "managers", None)
    assert notification.text == f"Task t-1 for housekeeping is overdue; its priority is {after}"


def test_overdue_need_not_change_the_priority() -> None:
    record = a_record(due_at=NOW + HOUR, policy=TaskPolicy(raise_overdue=False))
    task_policy.time_passes(record, NOW + HOUR)
    assert (record.task.priority, len(record.notifications)) == ("normal", 1)


@pytest.mark.parametrize("assigned_to", ["ana", None])
def test_a_reminder_is_for_the_assignee_or_for_everyone(assigned_to: str | None) -> None:
    record = a_record(due_at=NOW + 20 * MINUTE, assigned_to=assigned_to, conversation_id="c-1")
    task_policy.time_passes(record, NOW)
    reminder = record.notifications[0]
    assert (reminder.staff_id, reminder.audience, reminder.conversation_id) == (assigned_to, "everyone", "c-1")
    assert reminder.text == "Task t-1 for housekeeping is due in 20 minutes"


@pytest.mark.parametrize(
    ("moved_to", "told"),
    [
        (NOW + 3 * HOUR, ["reminder", "overdue", "reminder", "overdue"]),
        (NOW + 61 * MINUTE, ["reminder", "overdue", "reminder", "overdue"]),
        (NOW + 10 * MINUTE, ["reminder", "overdue"]),
        (None, ["reminder", "overdue"]),
    ],
)
def test_a_moved_due_date_is_armed_anew(moved_to: datetime | None, told: list[str]) -> None:
    record = a_record(due_at=NOW + HOUR)
    task_policy.time_passes(record, NOW + HOUR - LEAD)
    task_policy.time_passes(record, NOW + HOUR)
    change = {"due_at": moved_to} if moved_to is not None else {"cleared": ["due_at"]}
    task_policy.change(record, a_change(**change), NOW + HOUR)
    for now in (NOW + HOUR, *([moved_to - A_MOMENT, moved_to] if moved_to else []), NOW + 9 * HOUR):
        task_policy.time_passes(record, now)
    assert [_what(each) for each in record.notifications] == told
    assert len({each.id for each in record.notifications}) == len(told)


# --- storage, and what operators read ----------------------------------------------------------------------------


def test_what_storage_has_is_forgotten_and_what_came_since_is_kept() -> None:
    record = a_record(due_at=NOW + HOUR)
    told = task_policy.publication(record)
    task_policy.time_passes(record, NOW + HOUR)
    task_policy.stored(record, told, None, NOW + HOUR)
    assert [each.version for each in record.unstored] == [2]
    assert len(record.notifications) == 1
    assert not task_policy.all_stored(record)
    task_policy.stored(record, task_policy.publication(record), None, NOW + HOUR)
    assert task_policy.all_stored(record)
    assert not task_policy.is_over(record)


def test_a_second_beginning_gives_way_to_what_storage_knows() -> None:
    record = a_record(due_at=NOW + HOUR)
    newer = VersionedTask(task=a_task(status="done", due_at=NOW + HOUR), version=5)
    task_policy.stored(record, task_policy.publication(record), newer, NOW)
    assert record.current == newer
    assert task_policy.is_over(record)


def test_storage_that_is_only_ahead_of_what_was_brought_changes_nothing() -> None:
    record = a_record()
    told = task_policy.publication(record)
    task_policy.change(record, a_change(status="in_progress"), NOW)
    task_policy.stored(record, told, record.current, NOW)
    assert (record.version, [each.version for each in record.unstored]) == (2, [2])


def test_a_long_outage_keeps_the_newest_versions() -> None:
    record = a_record()
    for number in range(30):
        task_policy.change(record, a_change(title=f"Title {number}"), NOW)
    assert [each.version for each in record.unstored] == list(range(32 - UNSTORED_VERSIONS, 32))


def test_details_say_what_it_waits_for_and_no_word_of_the_task() -> None:
    record = a_record(due_at=NOW + HOUR, title="Quetzal", description="Zanzibar", department="front_desk")
    assert task_policy.details(record) == "\n".join(
        [
            "**OPEN** · hotel · front desk",
            "- Task: `t-1`, version 1",
            "- Priority: normal",
            "- Assigned to: nobody yet",
            "- Waiting for: front desk to do it, due 2026-03-01 13:00 UTC",
            "- Reminder: 2026-03-01 12:30 UTC",
            "- Waiting for: storage to accept 1 item(s)",
        ]
    )
    task_policy.time_passes(record, NOW + HOUR)
    task_policy.change(record, a_change(status="done"), NOW + HOUR)
    told = [
        task_policy.details(record),
        task_policy.summary(record.task),
        *(each.text for each in record.notifications),
    ]
    assert not [word for word in ("Quetzal", "Zanzibar") if word in " ".join(told)]
    assert "- Changed by: ana" in told[0]


def _what(notification: Notification) -> str:
    return notification.id.split("-")[-2]


# --- any order ---------------------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """A task, a storage that is away at times, a clock, and staff who change their minds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.record = a_record(due_at=NOW + HOUR, conversation_id="c-1")
        self.log: list[int] = []
        self.stored: Task | None = None
        self.notified: list[Notification] = []
        self.told_guest = 0
        self.set_ahead = {NOW + HOUR}

    @rule(
        status=st.sampled_from(["open", "in_progress", "done", "cancelled", None]),
        due=st.sampled_from([None, -30, 0, 10, 45, 120]),
        priority=st.sampled_from(["low", "normal", None]),
        stale=st.booleans(),
    )
    def change(self, status: str | None, due: int | None, priority: str | None, stale: bool) -> None:
        due_at = None if due is None else NOW + timedelta(minutes=due)
        expected = [self.record.version - 1] if stale else [self.record.version]
        command = a_change(expected=expected, status=status, due_at=due_at, priority=priority)
        refusal = task_policy.refusal(self.record, command)
        assert (refusal is not None) == stale
        if refusal is not None:
            return
        for _ in range(2):
            task_policy.change(self.record, command, self.now)
        if self.record.task.due_at is not None and self.record.task.due_at > self.now:
            self.set_ahead.add(self.record.task.due_at)
        if self.record.guest_untold:
            self.told_guest += 1
            self.record.guest_told, self.record.guest_untold = True, False
        if len(self.record.unstored) == UNSTORED_VERSIONS:
            self.store()

    @rule(minutes=st.sampled_from([1, 15, 31, 90]))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        for _ in range(3):
            task_policy.time_passes(self.record, self.now)
        deadline = task_policy.next_deadline(self.record)
        assert deadline is None or deadline > self.now
        if len(self.record.unstored) >= UNSTORED_VERSIONS - 1:
            self.store()

    @rule()
    def store(self) -> None:
        publication = task_policy.publication(self.record)
        for each in publication.versions:
            if each.version > len(self.log):
                self.log.append(each.version)
                self.stored = each.task
        known = {each.id for each in self.notified}
        self.notified += [each for each in publication.notifications if each.id not in known]
        task_policy.stored(self.record, publication, None, self.now)

    @rule()
    def go_on(self) -> None:
        self.record = TaskRecord.model_validate_json(self.record.model_dump_json())

    @invariant()
    def nothing_is_lost_or_told_twice(self) -> None:
        assert self.log == list(range(1, len(self.log) + 1))
        waiting = [each.version for each in self.record.unstored]
        assert self.log + waiting == list(range(1, self.record.version + 1))
        if not waiting:
            assert self.stored == self.record.task
        overdue = [each.id for each in (*self.notified, *self.record.notifications) if _what(each) == "overdue"]
        assert len(set(overdue)) <= len(self.set_ahead)
        assert self.told_guest <= 1
        if task_policy.is_closed(self.record.task):
            assert task_policy.next_deadline(self.record) is None


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
