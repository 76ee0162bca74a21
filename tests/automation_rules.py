"""Rules of automations."""

from typing import Any

from contracts.automations import AutomationRule

CREATE_TASK = {"type": "create_task", "department": "front_desk", "title": "Look in", "dueIn": "PT1H"}


def a_rule(when: str, *then: dict[str, Any], id: str = "rule", **conditions: Any) -> AutomationRule:
    return AutomationRule.model_validate(
        {"id": id, "name": "A rule", "when": [when], "if": conditions, "then": [*then]}
    )
