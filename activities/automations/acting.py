"""The activities of automation workflows, idempotent by the action's id. What carries out the actions is only imported
for type checking, so that workflows can import the signatures."""

from typing import TYPE_CHECKING

from temporalio import activity

from contracts.automations import Act, Acted, ActionRefused, NotActed
from contracts.events import Notification
from contracts.problems import GatewayError, OutcomeUnknown, StorageAway, Unavailable

if TYPE_CHECKING:
    from activities.automations.actions import Actions
    from activities.storage.notices import Notices


class AutomationActing:
    def __init__(self, actions: "Actions", notices: "Notices") -> None:
        self._actions = actions
        self._notices = notices

    @activity.defn
    async def act(self, act: Act) -> Acted:
        """Carries out an action, once however often it is called. Raises errors that may pass, to be retried."""
        try:
            await self._actions.run(act)
        except (OutcomeUnknown, StorageAway, Unavailable):
            raise
        except GatewayError as refused:
            return Acted(outcome="refused", reason=refused.code)
        except ActionRefused as refused:
            return Acted(outcome="refused", reason=refused.reason)
        return Acted(outcome="done")

    @activity.defn
    async def tell_staff(self, failed: NotActed) -> None:
        """Tells managers, once, that an action was not done. Raises StorageAway."""
        act = failed.act
        notification = Notification(
            id=f"{act.id}-not-done",
            kind="system",
            text=f"Automation {act.rule_id} could not {act.action.type.replace('_', ' ')}: {failed.reason}",
            conversation_id=act.happening.conversation_id,
            audience="managers",
            at=act.happening.at,
        )
        await self._notices.tell(act.happening.property_id, notification)
