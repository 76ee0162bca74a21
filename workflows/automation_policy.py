"""Decides which rules fire for an event. Pure."""

from collections.abc import Sequence

from contracts.automations import AutomationRule, Conditions, Facts, SendMessage, is_own_effect
from contracts.property_events import PropertyEvent


def due(rule: AutomationRule, event: PropertyEvent, facts: Facts) -> AutomationRule | None:
    """The rule with the actions to carry out. None if it does not fire or has none left.

    Messages to the guest are left out if the event must not be answered.
    """
    if not fires(rule, event, facts):
        return None
    then = [action for action in rule.then if facts.answerable or not isinstance(action, SendMessage)]
    return rule.model_copy(update={"then": then}) if then else None


def fires(rule: AutomationRule, event: PropertyEvent, facts: Facts) -> bool:
    """Whether a rule fires. None does for the effects of an automation."""
    return rule.enabled and not is_own_effect(event) and event.matches(rule.when) and holds(rule.conditions, facts)


def holds(wanted: Conditions, facts: Facts) -> bool:
    """Whether the facts meet all conditions that are set."""
    conversation, task = facts.conversation, facts.task
    priority = task.priority if task is not None else conversation.priority if conversation is not None else None
    hours = "open" if facts.open else "closed"
    return (
        _in(wanted.channels, conversation.channel_type if conversation is not None else None)
        and _in(wanted.languages, facts.language)
        and _in(wanted.priorities, priority)
        and _in(wanted.intents, conversation.current_intent if conversation is not None else None)
        and _in(wanted.states, conversation.state if conversation is not None else None)
        and _in(wanted.departments, task.department if task is not None else None)
        and wanted.business_hours in (None, hours)
    )


def _in(wanted: Sequence[str] | None, value: str | None) -> bool:
    return wanted is None or (value is not None and value in wanted)
