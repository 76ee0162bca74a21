"""The one state object of a conversation: everything it carries through continue-as-new, and how it changes.

Pure: no temporalio, no clock. Every change takes `now`, and what others must learn of it goes to the outbox.
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
"""Messages kept in the workflow; older context comes from storage."""
SEEN = 512
"""Message ids remembered to drop repeats."""
STAFF_REPLIES = 64
"""Staff messages remembered, so that a repeated command answers the message it made."""
OUTCOMES = 50
"""Outcomes kept for queries; all of them are in storage."""
HANDOFFS = 5
"""Hand-offs that an engine is told of."""
QUESTIONS = 20
"""Answered questions remembered, to notice one that comes again."""


class Record(Model):
    conversation: Conversation
    contact_key: str
    route: Route
    profile: GuestProfile
    policy: ConversationPolicy
    looked_up: bool = False
    """Storage was asked what it knows of the contact; until then guest messages wait in `unchecked`."""
    unchecked: list[GuestMessage] = []
    window: list[Message] = []
    queue: list[Arrival] = []
    seen: list[str] = []
    staff_replies: dict[str, int] = {}
    templates: dict[str, Template] = {}
    """As which the messages of the window went, by their ids, to say one again that was lost."""
    outbox: list[Event] = []
    told: int = 0
    """Events up to this `seq` were told live, stored or not."""
    unstored_outcomes: list[Outcome] = []
    outcomes: list[Outcome] = []
    unstored_deliveries: list[MessageDelivery] = []
    sends: list[PendingSend] = []
    active_since: Timestamp | None = None
    """When the AI got the conversation last, or a snooze ended; idle time counts from here at the earliest."""
    failures: int = 0  # turns in a row that the AI failed
    wait: Wait | None = None
    person_has_replied: bool = False
    """Somebody has written to the guest since the conversation was handed over."""
    told_of_breach: bool = False
    """The guest was told once, since the hand-over, that the answer is late."""
    told_away_until: Timestamp | None = None
    """The guest knows that nobody is there before this moment."""
    unread_by_ai: list[Arrival] = []
    """Guest messages that a person has had and not answered; the AI gets them when the conversation returns to it."""
    handoffs: list[Handoff] = []
    answered_questions: list[str] = []
    """Fingerprints of what the AI answered, the newest last."""
    steps: list[Action] = []
    """Actions that are decided on and not carried out yet."""
    opted_out: bool | None = None  # None: nobody has said so here, and storage was not to be asked
    vip: bool = False  # the hotel's system said so when the AI was asked last
    figures: Figures = Figures()
    summary_due: bool = False
    """It was handed over or resolved, and has no summary yet; a single message is read sooner than its summary."""
    asking: Asking = Asking()
    last_command: tuple[str, str] | None = None
    """Name and author of the last state command, so that repeating one's own is no error."""
    indexed: str = ""
    """What the search attributes say now."""

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
        """A conversation in which nothing was said; its guest has a stand-in id until storage knows better."""
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
        """The conversation as a query or a command answers it."""
        last = next((message for message in reversed(self.window) if not message.private), None)
        return self.conversation.model_copy(update={"last_message": last})

    def message(self, message_id: str) -> Message | None:
        return next((message for message in reversed(self.window) if message.id == message_id), None)

    def publication(self) -> Publication:
        """The oldest part of the outbox that fits one publish; storage derives the last message itself."""
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
        """Gives the message its `seq`, puts it in the window (cut) and in the outbox (whole)."""
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
        """Says something to the guest: a message that waits to be sent."""
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
        """Tells that the conversation itself changed."""
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
        """Records what became of a guest message; a later word on the same message replaces the earlier."""
        self.outcomes = _with(outcome, self.outcomes)[-OUTCOMES:]
        self.unstored_outcomes = _with(outcome, self.unstored_outcomes)

    def hand_over_queue(self, reason: str, now: datetime) -> None:
        """Everything that waits for the AI is a person's now."""
        for arrival in self.queue:
            self.settle(Outcome(message_id=arrival.message.id, outcome="handed", reason=reason, at=now))
        self.unread_by_ai = [*self.unread_by_ai, *self.queue][-WINDOW:]
        self.queue = []

    def escalate(self, reason: str, now: datetime, *, by: str | None = None, assigned_to: str | None = None) -> None:
        """A person's from here on, `assigned_to`'s or anybody's; a guest who waits for an answer waits for them."""
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
        """Gives the conversation to one person, or with None to whoever claims it."""
        if staff_id != self.conversation.assigned_to:
            self.conversation.assigned_to = staff_id
            self.change("unassigned" if staff_id is None else "claimed", now, by)

    def wait_for_person(self, now: datetime) -> None:
        """A promise begins, unless one is running already, or nobody can keep it."""
        if self.wait is None and not (self.opted_out and self.policy.edition >= editions.SECOND):
            self.wait = Wait(since=now, first=not self.person_has_replied)
            self.promise()

    def promise(self) -> None:
        """Reckons a promise that is not broken yet by the rules and priority of now."""
        if self.wait is not None and not self.wait.breached:
            self.wait.reckon(self.policy, self.conversation.priority)
            self.conversation.response_due_at = self.wait.due_at

    def answered_by_person(self) -> None:
        """Nobody waits any more, and nothing is left for the AI."""
        self.person_has_replied = True
        self.unread_by_ai = []
        self.wait_ends()

    def wait_ends(self) -> None:
        self.wait = self.conversation.response_due_at = None

    def prioritise(self, priority: Priority, now: datetime, by: str | None = None, reason: str | None = None) -> None:
        """How soon a person should answer; a promise that runs is reckoned anew."""
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
        """Gives the conversation (back) to the AI, with what a person has left unanswered."""
        self.active_since = now
        conversation = self.conversation
        conversation.state = ConversationState.ACTIVE
        conversation.assigned_to = conversation.escalation = conversation.draft = None
        conversation.resolved_at = conversation.resolution = conversation.snoozed_until = None
        conversation.priority = "normal"
        self.failures, self.summary_due, self.asking.due, self.told_of_breach = 0, False, False, False
        self.wait_ends()
        self.change(change, now, by)
        if self.handoffs and self.handoffs[-1].to_seq is None:
            self.handoffs[-1].to_seq, self.handoffs[-1].ended_at = conversation.seq, now
        self.queue, self.unread_by_ai = [*self.unread_by_ai, *self.queue], []

    def resolve(self, now: datetime, by: str | None = None, reason: str | None = None) -> None:
        """Ends the conversation; a guest message that nobody has answered yet opens it again at once."""
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
        """Keeps how far a message got; `noted` when storage knows it already."""
        for message in self.window:
            if message.id == message_id:
                message.delivery = delivery
        for event in self.outbox:
            if event.message is not None and event.message.id == message_id:
                event.message.delivery = delivery
        if not noted:  # whatever the outbox holds: a publish on its way carries the message as it was
            self.unstored_deliveries.append(MessageDelivery(message_id=message_id, delivery=delivery))

    def stored(self, publication: Publication) -> None:
        """Storage has all of this publication."""
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
    """Eight bytes are enough to tell a few hundred ids of one contact apart, and cheap to carry on."""
    return blake2b(message_id.encode(), digest_size=8).hexdigest()
