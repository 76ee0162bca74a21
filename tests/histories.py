"""What a workflow's own history says of a conversation, as the stories that `tests.story` checks.

Only what Temporal kept is read: what was handed to publishing, when attempts to send began, when workflow tasks
committed. Neither the workflow's state nor storage is asked.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter

from contracts.commands import DeliveryFailure
from contracts.conversations import Outcome
from contracts.events import Ask, DeliverAndPublish, DeliverAndPublishResult, Event, Publication, SendResult
from contracts.messages import Delivery, DeliveryState, GuestMessage
from contracts.names import CONVERSATION_WORKFLOW
from tests.story import Attempt, Story, check_contact, untold

OVERTAKEN = "WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND"
PUBLISHING = "deliver_and_publish"
ASKING = "answer"

T = TypeVar("T")


@dataclass
class _Told:
    """What one conversation of the contact has told so far."""

    events: dict[int, Event] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)

    def take(self, publication: Publication) -> None:
        """A batch that was handed over; a repeated one must say the same as before."""
        for event in publication.events:
            before = self.events.setdefault(event.seq, event)
            assert _without_delivery(before) == _without_delivery(event), f"{event.seq} was told in two ways"
            if event.message is not None and event.message.delivery.state is not DeliveryState.QUEUED:
                self.deliveries[event.message.id] = event.message.delivery
        for outcome in publication.outcomes:
            self.outcomes[outcome.message_id] = outcome
        for moved in publication.deliveries:
            self.deliveries[moved.message_id] = moved.delivery

    def note(self, result: SendResult) -> None:
        if result.result != "retry":
            state = DeliveryState.SENT if result.result == "sent" else DeliveryState.FAILED
            self.deliveries[result.message_id] = Delivery(state=state, reason=result.reason)

    def story(self, commits: "Commits", *, complete: bool) -> Story:
        events = [self._as_it_ended(self.events[seq]) for seq in sorted(self.events)]
        return Story(
            events=events,
            outcomes=list(self.outcomes.values()),
            attempts=self.attempts,
            acknowledged={event.seq: commits.after(event.at) for event in events},
            complete=complete,
        )

    def _as_it_ended(self, event: Event) -> Event:
        if event.message is None or event.message.id not in self.deliveries:
            return event
        message = event.message.model_copy(update={"delivery": self.deliveries[event.message.id]})
        return event.model_copy(update={"message": message})


@dataclass
class Commits:
    """When workflow tasks began, by the workflow's own clock, and when the server took what they did."""

    began: list[datetime] = field(default_factory=list)
    taken: list[datetime] = field(default_factory=list)

    def after(self, moment: datetime) -> datetime:
        """When the task that did something at this moment was taken: no update is acknowledged before."""
        number = bisect_right(self.began, moment) - 1
        return max(moment, self.taken[number]) if number >= 0 else moment


@dataclass(frozen=True)
class Contact:
    """All conversations of a contact, oldest first, and the ids of the guest messages that reached its workflow."""

    stories: list[Story]
    received: set[str]


async def contact(client: Client, workflow_id: str, *, complete: bool = True) -> Contact:
    """Reads all runs of a workflow."""
    runs = [each async for each in client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    runs.sort(key=lambda each: each.start_time)
    histories = [await client.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history() for run in runs]
    return await read(histories, client.data_converter, complete=complete)


async def check_all(client: Client, property_id: str, *, complete: bool = True) -> int:
    """Holds every conversation of a property to the rules; how many contacts that were."""
    ids = await _ids(client, property_id)
    for each in ids:
        found = await contact(client, each, complete=complete)
        check_contact(found.stories, found.received)
    return len(ids)


async def all_told(client: Client, property_id: str) -> bool:
    """Whether every message that a conversation of a property received has been handed over to publishing."""
    contacts = [await contact(client, each) for each in await _ids(client, property_id)]
    return not any(untold(found.stories, found.received) for found in contacts)


async def stumbled(client: Client, property_id: str) -> list[str]:
    """Workflows of a property, of whatever kind, one of whose tasks failed for what their code did, and how."""
    found = []
    async for each in client.list_workflows(f"GatewayProperty = '{property_id}'"):
        history = await client.get_workflow_handle(each.id, run_id=each.run_id).fetch_history()
        found += [f"{each.id}: {failure}" for failure in failed_tasks(history)]
    return found


def failed_tasks(history: WorkflowHistory) -> list[str]:
    """Why tasks failed; not those that another event overtook, which are done again."""
    kind, overtaken = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED, WorkflowTaskFailedCause.Value(OVERTAKEN)
    failures = [each.workflow_task_failed_event_attributes for each in history.events if each.event_type == kind]
    return [
        f"{WorkflowTaskFailedCause.Name(each.cause)}: {each.failure.message}"
        for each in failures
        if each.cause != overtaken
    ]


async def _ids(client: Client, property_id: str) -> list[str]:
    query = f"WorkflowType = '{CONVERSATION_WORKFLOW}' AND GatewayProperty = '{property_id}'"
    return sorted({each.id async for each in client.list_workflows(query)})


async def read(histories: Iterable[WorkflowHistory], converter: DataConverter, *, complete: bool = True) -> Contact:
    """Reads the histories of one contact's runs, oldest first."""
    told: dict[str, _Told] = {}
    commits = Commits()
    received: set[str] = set()
    for history in histories:
        reader = _Run(converter, told, commits)
        for event in history.events:
            await reader.take(event)
        received |= reader.received
    stories = [each.story(commits, complete=complete) for each in told.values() if each.events]
    return Contact(stories, received)


class _Run:
    """Reads one run's history, event by event."""

    def __init__(self, converter: DataConverter, told: dict[str, _Told], commits: Commits) -> None:
        self._converter = converter
        self._told = told
        self._commits = commits
        self._began = datetime.min.replace(tzinfo=UTC)
        self._scheduled: dict[int, DeliverAndPublish] = {}
        self.received: set[str] = set()

    async def take(self, event: HistoryEvent) -> None:
        at = event.event_time.ToDatetime(tzinfo=UTC)
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                self._began = at
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                self._commits.began.append(self._began)
                self._commits.taken.append(at)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                signal = event.workflow_execution_signaled_event_attributes
                if signal.signal_name == "receive":
                    self.received.add((await self._decoded(signal.input.payloads, GuestMessage)).id)
                elif signal.signal_name == "delivery_failed":
                    failure = await self._decoded(signal.input.payloads, DeliveryFailure)
                    lost = Delivery(state=DeliveryState.FAILED, reason=failure.reason)
                    self._told.setdefault(failure.conversation_id, _Told()).deliveries[failure.message_id] = lost
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                await self._begun(event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                batch = self._scheduled.get(event.activity_task_started_event_attributes.scheduled_event_id)
                if batch is not None:
                    told = self._of(batch.publication)
                    told.attempts += [Attempt(send.message.message_id, at) for send in batch.sends]
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                batch = self._scheduled.get(done.scheduled_event_id)
                if batch is not None:
                    result = await self._decoded(done.result.payloads, DeliverAndPublishResult)
                    for send in result.sends:
                        self._of(batch.publication).note(send)

    async def _begun(self, event: HistoryEvent) -> None:
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == PUBLISHING:
            batch = await self._decoded(scheduled.input.payloads, DeliverAndPublish)
            self._scheduled[event.event_id] = batch
            self._of(batch.publication).take(batch.publication)
        elif scheduled.activity_type.name == ASKING:
            ask = await self._decoded(scheduled.input.payloads, Ask)
            if ask.publication is not None:
                self._of(ask.publication).take(ask.publication)

    def _of(self, publication: Publication) -> _Told:
        return self._told.setdefault(publication.conversation.conversation_id, _Told())

    async def _decoded(self, payloads: Sequence[Payload], model: type[T]) -> T:
        found: list[T] = await self._converter.decode(payloads, [model])
        return found[0]


def _without_delivery(event: Event) -> dict[str, object]:
    told = event.model_dump()
    if event.message is not None:
        del told["message"]["delivery"]
    return told
