"""Which rules fire for what happened. Pure."""

from collections.abc import Sequence

from contracts.automations import AutomationRule, Conditions, Facts, SendMessage, is_own_effect
from contracts.property_events import PropertyEvent


def due(rule: AutomationRule, event: PropertyEvent, facts: Facts) -> AutomationRule | None:
    """The rule as it is to run, without words for who is not answered; None where it does not fire or has no more."""
    if not fires(rule, event, facts):
        return None
    then = [action for action in rule.then if facts.answerable or not isinstance(action, SendMessage)]
    return rule.model_copy(update={"then": then}) if then else None


def fires(rule: AutomationRule, event: PropertyEvent, facts: Facts) -> bool:
    """Whether a rule is to run; it never is for what an automation did."""
    return rule.enabled and not is_own_effect(event) and event.matches(rule.when) and holds(rule.conditions, facts)


def holds(wanted: Conditions, facts: Facts) -> bool:
    """Whether all conditions that are given hold."""
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
