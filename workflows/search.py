"""The search attributes by which operators filter workflows. They contain no guest data."""

from dataclasses import dataclass
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, SearchAttributeUpdate, TypedSearchAttributes

from contracts.conversations import Conversation
from contracts.names import SEARCH_BOOL, SEARCH_INT, SEARCH_KEYWORDS
from contracts.tasks import Task

STATE = SearchAttributeKey.for_keyword("GatewayState")
PROPERTY = SearchAttributeKey.for_keyword("GatewayProperty")
CHANNEL = SearchAttributeKey.for_keyword("GatewayChannel")
ASSIGNEE = SearchAttributeKey.for_keyword("GatewayAssignee")
INTENT = SearchAttributeKey.for_keyword("GatewayIntent")
PRIORITY = SearchAttributeKey.for_int("GatewayPriority")
NEEDS_REVIEW = SearchAttributeKey.for_bool("GatewayNeedsReview")

_PRIORITIES = {"low": 4, "normal": 3, "high": 2, "urgent": 1}


def initial(property_id: str, channel_type: str) -> TypedSearchAttributes:
    """The search attributes that a conversation starts with."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(STATE, "new"),
            SearchAttributePair(PROPERTY, property_id),
            SearchAttributePair(CHANNEL, channel_type),
        ]
    )


@dataclass(frozen=True)
class Transition:
    """The search attributes that change with a conversation's state."""

    conversation: Conversation

    @property
    def fingerprint(self) -> str:
        """Changes when an upsert is worth its history event. The intent waits for the next upsert."""
        each = self.conversation
        return f"{each.state}/{each.assigned_to}/{each.priority}/{each.needs_review}"

    def updates(self) -> list[SearchAttributeUpdate[Any]]:
        each = self.conversation
        return [
            STATE.value_set(each.state.value),
            ASSIGNEE.value_set(each.assigned_to) if each.assigned_to else ASSIGNEE.value_unset(),
            INTENT.value_set(each.current_intent) if each.current_intent else INTENT.value_unset(),
            PRIORITY.value_set(_PRIORITIES[each.priority]),
            NEEDS_REVIEW.value_set(each.needs_review),
        ]


def of_task(task: Task) -> list[SearchAttributeUpdate[Any]]:
    """The current search attributes of a task."""
    return [
        STATE.value_set(task.status),
        PROPERTY.value_set(task.property_id),
        ASSIGNEE.value_set(task.assigned_to) if task.assigned_to else ASSIGNEE.value_unset(),
        PRIORITY.value_set(_PRIORITIES[task.priority]),
    ]


def initial_of_task(task: Task) -> TypedSearchAttributes:
    """The search attributes that a task starts with."""
    pairs = [SearchAttributePair(each.key, each.value) for each in of_task(task) if each.value is not None]
    return TypedSearchAttributes(pairs)


def of_property(property_id: str) -> TypedSearchAttributes:
    """The search attributes of workflows that belong to no conversation."""
    return TypedSearchAttributes([SearchAttributePair(PROPERTY, property_id)])


def search_attributes(namespace: str) -> AddSearchAttributesRequest:
    """A request that adds all search attributes to a namespace."""
    kinds = {
        **dict.fromkeys(SEARCH_KEYWORDS, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
        SEARCH_INT: IndexedValueType.INDEXED_VALUE_TYPE_INT,
        SEARCH_BOOL: IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    }
    return AddSearchAttributesRequest(namespace=namespace, search_attributes=kinds)


async def register_search_attributes(client: Client) -> None:
    """Adds the search attributes that the namespace lacks."""
    operator = client.operator_service
    known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
    request = search_attributes(client.namespace)
    for name in known.custom_attributes:
        request.search_attributes.pop(name, None)
    if request.search_attributes:
        await operator.add_search_attributes(request)
