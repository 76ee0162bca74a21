"""Which events make a rule fire, and which conditions hold. Pure."""

from typing import Any

import pytest

from contracts.automations import Conditions, Facts
from contracts.conversations import Conversation, ConversationState
from contracts.property_events import PropertyEvent
from tests.automation_rules import CREATE_TASK, a_rule
from tests.task_records import NOW, a_task
from workflows.automation_policy import due, fires, holds


def _conversation(**more: Any) -> Conversation:
    fields = {
        "conversation_id": "c",
        "guest_id": "g",
        "property_id": "hotel",
        "state": ConversationState.ACTIVE,
        "created_at": NOW,
        "channel_type": "sms",
        "workflow_id": "w",
        "current_intent": "spa",
        **more,
    }
    return Conversation.model_validate(fields)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"channels": ["sms", "email"]}, True),
        ({"channels": ["email"]}, False),
        ({"languages": ["pt"]}, True),
        ({"languages": ["en"]}, False),
        ({"priorities": ["normal"]}, True),
        ({"priorities": ["high"]}, False),
        ({"intents": ["spa"]}, True),
        ({"intents": ["pool"]}, False),
        ({"states": ["active", "escalated"]}, True),
        ({"states": ["resolved"]}, False),
        ({"businessHours": "open"}, True),
        ({"businessHours": "closed"}, False),
        ({"departments": ["housekeeping"]}, False),
        ({"channels": ["sms"], "priorities": ["high"]}, False),
    ],
)
def test_all_conditions_must_hold(conditions: dict[str, Any], expected: bool) -> None:
    facts = Facts(conversation=_conversation(), language="pt")
    assert holds(Conditions.model_validate(conditions), facts) is expected


def test_a_tasks_priority_and_department_are_its_own() -> None:
    facts = Facts(conversation=_conversation(), task=a_task(priority="urgent"))
    assert holds(Conditions.model_validate({"priorities": ["urgent"], "departments": ["housekeeping"]}), facts)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "task.created", "task": a_task()}, True),
        ({"type": "task.created", "task": a_task("auto-1")}, False),
        ({"type": "message.sent"}, False),
        ({"type": "task.updated", "by": "automation"}, False),
    ],
)
def test_only_what_people_and_guests_do_fires(event: dict[str, Any], expected: bool) -> None:
    happened = PropertyEvent(property_id="hotel", position=1, at=NOW, **event)
    assert fires(a_rule("task.*", CREATE_TASK), happened, Facts()) is expected
    assert not fires(a_rule("task.*", CREATE_TASK).model_copy(update={"enabled": False}), happened, Facts())


def test_a_rule_has_nothing_to_say_to_who_is_not_answered() -> None:
    happened = PropertyEvent(type="message.received", property_id="hotel", position=1, at=NOW)
    words = {"type": "send_message", "content": "Thank you"}
    both, alone = a_rule("message.*", words, CREATE_TASK), a_rule("message.*", words)
    assert (due(both, happened, Facts()), due(alone, happened, Facts())) == (both, alone)
    machine = Facts(answerable=False)
    assert (due(both, happened, machine), due(alone, happened, machine)) == (a_rule("message.*", CREATE_TASK), None)
