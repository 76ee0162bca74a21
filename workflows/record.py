"""The state object of a conversation: everything it carries through continue-as-new, and the ways to change it.

Pure: no temporalio, no clock. Every change is given `now`, and puts what others must learn into the outbox.
"""

from datetime import datetime
from hashlib import blake2b

from contracts.ai import Action, Handoff
from contracts.base import Model, Timestamp
from contracts.conversations import Conversation, ConversationState, Draft, Escalation, Outcome
from contracts.events import Audience, Change, Event, MessageDelivery, Notification, NotificationKind, Publication
from contracts.guests import GuestProfile
from contracts.messages import (
    AIInfo,
    Attachment,
    Author,
    ChannelType,
    Delivery,
    DeliveryState,
    GuestMessage,
    Message,
    Route,
    Template,
)
from contracts.names import BATCH_BYTES, workflow_id
from contracts.rules import ConversationPolicy, Priority
from workflows import editions
from workflows.cutting import cut
from workflows.figures import Figures
from workflows.owed import Arrival, Asking, PendingSend, Wait

WINDOW = 20
"""Number of messages kept in the workflow; older context comes from storage."""
SEEN = 512
"""Number of message ids remembered to drop repeats."""
STAFF_REPLIES = 64
"""Number of staff messages remembered, so that a repeated command returns the message it created."""
OUTCOMES = 50
"""Number of outcomes kept for queries; storage has all of them."""
HANDOFFS = 5
"""Number of hand-offs that an engine is told of."""
QUESTIONS = 20
"""Number of answered questions remembered, to notice repeated ones."""


class Record(Model):
    conversation: Conversation
    contact_key: str
    route: Route
    profile: GuestProfile
    policy: ConversationPolicy
    looked_up: bool = False
    """Whether storage was asked about the contact. Until then guest messages wait in `unchecked`."""
    unchecked: list[GuestMessage] = []
    window: list[Message] = []
    queue: list[Arrival] = []
    seen: list[str] = []
    staff_replies: dict[str, int] = {}
    templates: dict[str, Template] = {}
    """Templates of messages in the window, by message id, to resend one that was lost."""
    outbox: list[Event] = []
    told: int = 0
    """Events up to this `seq` went out live, stored or not."""
    unstored_outcomes: list[Outcome] = []
    outcomes: list[Outcome] = []
    unstored_deliveries: list[MessageDelivery] = []
    sends: list[PendingSend] = []
    active_since: Timestamp | None = None
    """When the AI last got the conversation, a snooze ended, or staff did something with it: it was not idle before."""
    failures: int = 0  # turns in a row that the AI failed
    wait: Wait | None = None
    person_has_replied: bool = False
    """Whether a person has written to the guest since the conversation was escalated."""
    told_of_breach: bool = False
    """Whether the guest has been told, since the escalation, that the answer is late."""
    told_away_until: Timestamp | None = None
    """The guest has been told that nobody is there before this moment."""
    unread_by_ai: list[Arrival] = []
    """Guest messages that a person got and did not answer. The AI gets them if the conversation returns to it."""
    handoffs: list[Handoff] = []
    answered_questions: list[str] = []
    """Fingerprints of questions that the AI answered, newest last."""
    steps: list[Action] = []
    """Actions that are approved but not carried out yet."""
    opted_out: bool | None = None  # None: not said in this conversation, and storage could not be asked
    vip: bool = False  # according to the hotel's system at the last turn
    figures: Figures = Figures()
    summary_due: bool = False
    """Escalated or resolved without a summary yet. A single message needs none."""
    asking: Asking = Asking()
    last_command: tuple[str, str] | None = None
    """Name and author of the last state command, so that repeating one's own is no error."""
    drafted_to: int = 0  # seq of the newest guest message for which an answer or a draft was considered
    indexed: str = ""  # a fingerprint of the current search attributes

    @classmethod
    def begin(
        cls,
        conversation_id: str,
        property_id: str,
        channel_type: ChannelType,
        contact_key: str,
        route: Route,
        policy: ConversationPolicy,
        now: datetime,
    ) -> "Record":
        """An empty conversation. Its guest has a stand-in id until storage knows the real one."""
        guest_id = f"guest-{contact_key}"
        return cls(
            conversation=Conversation(
                conversation_id=conversation_id,
                guest_id=guest_id,
                property_id=property_id,
                state=ConversationState.NEW,
                created_at=now,
                channel_type=channel_type,
                workflow_id=workflow_id(contact_key),
            ),
            contact_key=contact_key,
            route=route,
            profile=GuestProfile(id=guest_id),
            policy=policy,
        )

    # --- reading -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConversationState:
        return self.conversation.state

    def remembers(self, message_id: str) -> bool:
        return _fingerprint(message_id) in self.seen

    def snapshot(self) -> Conversation:
        """The conversation as queries and commands return it."""
        last = next((message for message in reversed(self.window) if not message.private), None)
        return self.conversation.model_copy(update={"last_message": last})

    def message(self, message_id: str) -> Message | None:
        return next((message for message in reversed(self.window) if message.id == message_id), None)

    def publication(self) -> Publication:
        """The oldest part of the outbox that fits one publish. Storage derives the last message itself."""
        events: list[Event] = []
        size = 0
        for event in self.outbox:
            size += len(event.model_dump_json().encode())
            if events and size > BATCH_BYTES:
                break
            events.append(event)
        return Publication(
            conversation=self.conversation.model_copy(),
            contact_key=self.contact_key,
            route=self.route,
            told=self.told,
            opted_out=self.opted_out,
            events=events,
            outcomes=list(self.unstored_outcomes),
            deliveries=list(self.unstored_deliveries),
        )

    # --- changing ----------------------------------------------------------------------------------------------

    def remember(self, message_id: str) -> None:
        self.seen = [*self.seen[1 - SEEN :], _fingerprint(message_id)]

    def add_message(
        self,
        message_id: str,
        author: Author,
        content: str,
        now: datetime,
        *,
        delivery: DeliveryState,
        author_name: str | None = None,
        attachments: list[Attachment] | None = None,
        private: bool = False,
        ai: AIInfo | None = None,
    ) -> Message:
        """Gives the message its `seq`, and adds it to the window (shortened) and to the outbox (whole)."""
        conversation = self.conversation
        message = Message(
            id=message_id,
            conversation_id=conversation.conversation_id,
            seq=self._next_seq(),
            author=author,
            author_name=author_name,
            content=content,
            attachments=attachments or [],
            private=private,
            created_at=now,
            delivery=Delivery(state=delivery),
            ai=ai,
        )
        self.outbox.append(Event(seq=message.seq, at=now, message=message))
        self.window = [*self.window[1 - WINDOW :], cut(message)]
        if not private:
            conversation.message_count += 1
            conversation.last_message_at = now
            self.figures.count(message)
        return message

    def say(
        self,
        author: Author,
        content: str,
        now: datetime,
        *,
        message_id: str | None = None,
        in_reply_to: list[str] | None = None,
        received_at: datetime | None = None,
        author_name: str | None = None,
        attachments: list[Attachment] | None = None,
        template: Template | None = None,
        ai: AIInfo | None = None,
    ) -> Message:
        """Adds a message to the guest, which waits to be sent."""
        message = self.add_message(
            message_id or f"{self.conversation.conversation_id}-{self.conversation.seq + 1}",
            author,
            content,
            now,
            delivery=DeliveryState.QUEUED,
            author_name=author_name,
            attachments=attachments,
            ai=ai,
        )
        self.sends.append(
            PendingSend(message=message, template=template, in_reply_to=in_reply_to or [], received_at=received_at)
        )
        return message

    def change(self, change: Change, now: datetime, by: str | None = None, reason: str | None = None) -> None:
        """Publishes that the conversation itself changed."""
        self.outbox.append(Event(seq=self._next_seq(), at=now, change=change, by=by, reason=reason))

    def notify(
        self,
        kind: NotificationKind,
        text: str,
        now: datetime,
        *,
        audience: Audience = "everyone",
        staff_id: str | None = None,
    ) -> None:
        seq = self._next_seq()
        notification = Notification(
            id=f"{self.conversation.conversation_id}-{seq}",
            kind=kind,
            text=text,
            conversation_id=self.conversation.conversation_id,
            audience=audience,
            staff_id=staff_id,
            at=now,
        )
        self.outbox.append(Event(seq=seq, at=now, notification=notification))

    def settle(self, outcome: Outcome) -> None:
        """Records the outcome of a guest message. A later outcome of the same message replaces the earlier one."""
        self.outcomes = _with(outcome, self.outcomes)[-OUTCOMES:]
        self.unstored_outcomes = _with(outcome, self.unstored_outcomes)

    def hand_over_queue(self, reason: str, now: datetime) -> None:
        """Hands everything that waits for the AI to a person."""
        for arrival in self.queue:
            self.settle(Outcome(message_id=arrival.message.id, outcome="handed", reason=reason, at=now))
        self.unread_by_ai = [*self.unread_by_ai, *self.queue][-WINDOW:]
        self.queue = []

    def escalate(self, reason: str, now: datetime, *, by: str | None = None, assigned_to: str | None = None) -> None:
        """Gives the conversation to a person: `assigned_to`, or anybody. An unanswered guest now waits for them."""
        conversation = self.conversation
        if conversation.state is not ConversationState.ESCALATED:
            conversation.state = ConversationState.ESCALATED
            conversation.escalation = Escalation(reason=reason, at=now)
            conversation.resolved_at = None
            self.summary_due = self.policy.summaries and self.figures.messages.get(Author.GUEST, 0) > 1
            self.change("escalated", now, by)
            handoff = Handoff(reason=reason, from_seq=conversation.seq, started_at=now)
            self.handoffs = [*self.handoffs[1 - HANDOFFS :], handoff]
            if assigned_to is None:
                self.notify("escalation", reason, now)
            self.person_has_replied = False
            if assigned_to is None or self.queue:
                self.wait_for_person(now)
        self.assign(assigned_to or conversation.assigned_to, now, by)
        self.hand_over_queue(reason, now)

    def assign(self, staff_id: str | None, now: datetime, by: str | None = None) -> None:
        """Assigns the conversation to one person or, with None, leaves it to whoever claims it."""
        if staff_id != self.conversation.assigned_to:
            self.conversation.assigned_to = staff_id
            self.change("unassigned" if staff_id is None else "claimed", now, by)

    def wait_for_person(self, now: datetime) -> None:
        """Starts a response deadline, unless one is running already or the guest cannot be written to."""
        if self.wait is None and not (self.opted_out and self.policy.edition >= editions.SECOND):
            self.wait = Wait(since=now, first=not self.person_has_replied)
            self.promise()

    def promise(self) -> None:
        """Recalculates a deadline that has not passed yet from the current rules and priority."""
        if self.wait is not None and not self.wait.breached:
            self.wait.reckon(self.policy, self.conversation.priority)
            self.conversation.response_due_at = self.wait.due_at

    def answered_by_person(self) -> None:
        """The guest has an answer: nobody waits any more, and nothing is left for the AI."""
        self.person_has_replied = True
        self.unread_by_ai = []
        self.wait_ends()

    def wait_ends(self) -> None:
        self.wait = self.conversation.response_due_at = None

    def prioritise(self, priority: Priority, now: datetime, by: str | None = None, reason: str | None = None) -> None:
        """Sets how soon a person should answer, and recalculates a running deadline."""
        if priority != self.conversation.priority:
            self.conversation.priority = priority
            self.change("priority", now, by, reason)
            self.promise()

    def wake(self, now: datetime) -> None:
        """Ends a snooze."""
        if self.conversation.snoozed_until is not None:
            self.conversation.snoozed_until, self.active_since = None, now
            self.change("woken", now)

    def activate(self, change: Change, now: datetime, by: str | None = None) -> None:
        """Gives the conversation (back) to the AI, with the messages that a person left unanswered."""
        conversation, self.active_since = self.conversation, now
        conversation.state = ConversationState.ACTIVE
        conversation.assigned_to = conversation.escalation = conversation.draft = None
        conversation.resolved_at = conversation.resolution = conversation.snoozed_until = None
        if change != "started" or self.policy.edition < editions.THIRD:
            conversation.priority = "normal"
        self.failures, self.summary_due, self.asking.due, self.told_of_breach = 0, False, False, False
        self.wait_ends()
        self.change(change, now, by)
        if self.handoffs and self.handoffs[-1].to_seq is None:
            self.handoffs[-1].to_seq, self.handoffs[-1].ended_at = conversation.seq, now
        self.queue, self.unread_by_ai = [*self.unread_by_ai, *self.queue], []

    def resolve(self, now: datetime, by: str | None = None, reason: str | None = None) -> None:
        """Resolves the conversation. A guest message without an answer reopens it at once."""
        conversation = self.conversation
        conversation.state = ConversationState.RESOLVED
        conversation.resolved_at = now
        conversation.resolution = self.figures.resolution(now, by, reason or "Resolved")
        conversation.snoozed_until = None
        for action in conversation.pending_actions:
            self.change("action_refused", now, by, f"{action.type}: the conversation ended first")
        conversation.unread, conversation.pending_actions = 0, []
        self.unread_by_ai = []
        self.wait_ends()
        self.summary_due = self.policy.summaries and self.figures.first_guest_at is not None
        self.change("resolved", now, by, reason)
        if self.queue:
            self.activate("reopened", now)

    def keep_draft(self, draft: Draft, now: datetime) -> None:
        self.conversation.draft = draft
        self.change("draft", now)

    def set_delivery(self, message_id: str, delivery: Delivery, *, noted: bool = False) -> None:
        """Records how far a message got. `noted`: storage has it already."""
        for message in self.window:
            if message.id == message_id:
                message.delivery = delivery
        for event in self.outbox:
            if event.message is not None and event.message.id == message_id:
                event.message.delivery = delivery
        if not noted:  # even with the message in the outbox: a publish in flight carries its old state
            self.unstored_deliveries.append(MessageDelivery(message_id=message_id, delivery=delivery))

    def stored(self, publication: Publication) -> None:
        """Removes a publication that storage has from the outbox."""
        last = publication.events[-1].seq if publication.events else 0
        self.outbox = [event for event in self.outbox if event.seq > last]
        self.unstored_outcomes = [each for each in self.unstored_outcomes if each not in publication.outcomes]
        self.unstored_deliveries = [each for each in self.unstored_deliveries if each not in publication.deliveries]

    @property
    def all_stored(self) -> bool:
        return not (self.outbox or self.unstored_outcomes or self.unstored_deliveries)

    def _next_seq(self) -> int:
        self.conversation.seq += 1
        return self.conversation.seq


def _with(outcome: Outcome, outcomes: list[Outcome]) -> list[Outcome]:
    return [*(each for each in outcomes if each.message_id != outcome.message_id), outcome]


def _fingerprint(message_id: str) -> str:
    """A short hash of a message id: eight bytes tell a contact's few hundred ids apart, and are cheap to carry."""
    return blake2b(message_id.encode(), digest_size=8).hexdigest()
