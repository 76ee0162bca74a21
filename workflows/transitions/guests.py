"""Guest messages: accepted once, and given to the AI or to the person who has the conversation."""

from datetime import datetime

from contracts.conversations import ConversationState, Outcome
from contracts.events import ContactFacts
from contracts.guests import GuestProfile
from contracts.messages import Author, DeliveryState, GuestMessage, Message
from contracts.rules import EMERGENCIES
from workflows import promises, surveys
from workflows.owed import Arrival
from workflows.record import WINDOW, Record
from workflows.topics import TOPIC_NAMES, topic_of
from workflows.transitions.sending import withdraw_all

OPTED_OUT = "The guest has opted out of this channel"


def receive(record: Record, message: GuestMessage, now: datetime) -> None:
    """A guest message came in. Repeats are ignored."""
    if record.remembers(message.id):
        return
    record.remember(message.id)
    if message.suppressed is None:  # an automatic reply must not change the route to the guest
        record.route = message.route
    if record.looked_up:
        admit(record, message, now)
    else:
        record.unchecked.append(message)


def looked_up(record: Record, facts: ContactFacts | None, now: datetime) -> None:
    """Storage told what it knows of the contact, or is away. Messages that it has not seen are admitted."""
    record.looked_up = True
    if facts is not None:
        _learn(record, facts)
    known = set(facts.known_message_ids) if facts is not None else set()
    for message in record.unchecked:
        if message.id not in known:
            admit(record, message, now)
    record.unchecked = []


def admit(record: Record, message: GuestMessage, now: datetime) -> None:
    """Adds a guest message: for the AI's queue, for the person who has the conversation, or for nobody."""
    conversation = record.conversation
    if message.guest_name is not None:
        conversation.guest_name = record.profile.name = message.guest_name
    if message.opts is not None:
        _opt(record, out=message.opts == "out", now=now)
    suppressed = message.suppressed or _word_of_opting(message) or (OPTED_OUT if record.opted_out else None)
    if suppressed is not None:
        admitted = _add(record, message, now)
        record.settle(Outcome(message_id=admitted.id, outcome="suppressed", reason=suppressed, at=now))
        return
    rating = surveys.rating_in(record, message, now)
    if rating is not None:
        _rate(record, _add(record, message, now), rating, now)
        return
    if conversation.state is ConversationState.NEW:
        record.activate("started", now)
    elif conversation.state is ConversationState.RESOLVED:
        record.activate("reopened", now)
    admitted = _add(record, message, now)
    conversation.unread += 1
    # Shortened as in the window: waiting messages are carried from run to run, and Temporal limits payload sizes.
    arrival = Arrival(message=record.window[-1], received_at=message.received_at, sent_at=message.sent_at)
    if conversation.state is ConversationState.ESCALATED:
        _hand(record, arrival, now)
    else:
        record.queue.append(arrival)


def _learn(record: Record, facts: ContactFacts) -> None:
    conversation = record.conversation
    conversation.guest_id = facts.guest_id or conversation.guest_id
    conversation.guest_name = facts.guest_name or conversation.guest_name
    conversation.previous_conversation_id = facts.previous_conversation_id
    record.profile = GuestProfile(
        id=conversation.guest_id,
        name=conversation.guest_name,
        language=facts.language,
        preferences=facts.preferences,
        stays=facts.stays,
        autonomy=facts.autonomy,
    )
    record.opted_out = facts.opted_out
    record.asking.asked_before = facts.surveyed_at
    record.window = [*facts.previous_messages, *record.window][-WINDOW:]


def _add(record: Record, message: GuestMessage, now: datetime) -> Message:
    return record.add_message(
        message.id,
        Author.GUEST,
        message.content,
        now,
        delivery=DeliveryState.DELIVERED,
        author_name=record.conversation.guest_name,
        attachments=message.attachments,
    )


def _rate(record: Record, message: Message, rating: int, now: datetime) -> None:
    """Records a rating. The first one is thanked for; a later one replaces it silently."""
    thanks = surveys.thanks(record)
    record.conversation.rating, record.conversation.rated_at = rating, now
    record.change("rated", now)
    reply_id = record.say(Author.SYSTEM, thanks, now).id if thanks is not None else None
    record.settle(Outcome(message_id=message.id, outcome="rated", reply_id=reply_id, reason="A rating", at=now))


def _hand(record: Record, arrival: Arrival, now: datetime) -> None:
    """Hands a message to the person who has the conversation. If nobody is there, the guest is told when."""
    message_id = arrival.message.id
    record.unread_by_ai = [*record.unread_by_ai, arrival][-WINDOW:]
    record.wake(now)
    topic = topic_of(arrival.message.content, EMERGENCIES, edition=record.policy.edition)
    if topic is not None and record.conversation.priority != "urgent":
        record.prioritise("urgent", now)
        record.notify("escalation", f"The guest may be writing about {TOPIC_NAMES[topic]}", now)
    record.wait_for_person(now)
    reply_id = None
    if (words := promises.away_words(record, now)) is not None:
        told = record.say(Author.SYSTEM, words, now, in_reply_to=[message_id], received_at=arrival.received_at)
        reply_id = told.id
    reason = "A person has the conversation"
    record.settle(Outcome(message_id=message_id, outcome="handed", reply_id=reply_id, reason=reason, at=now))


def _opt(record: Record, *, out: bool, now: datetime) -> None:
    was, record.opted_out = bool(record.opted_out), out
    if out == was:
        return
    record.change("opted_out" if out else "opted_in", now)
    if not out:
        return
    for arrival in record.queue:
        record.settle(Outcome(message_id=arrival.message.id, outcome="suppressed", reason=OPTED_OUT, at=now))
    record.queue, record.unread_by_ai = [], []
    record.wait_ends()
    withdraw_all(record, OPTED_OUT, now)


def _word_of_opting(message: GuestMessage) -> str | None:
    match message.opts:
        case "out":
            return "The guest opted out of this channel"
        case "in":
            return "The guest opted in to this channel again"
    return None
