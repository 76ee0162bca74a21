"""Two people who do to a conversation whatever they may, in any order."""

from collections.abc import Callable
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from contracts.commands import Actor, Assign, ChangePolicy, Command, DecideAction, Redeliver, Snooze
from contracts.conversations import ConversationState
from contracts.messages import Author, DeliveryState, Message
from contracts.rules import ConversationPolicy, PolicyChanges
from tests.driven import copied
from tests.records import ANA, BEN, a_command, a_reply
from tests.what_holds import WhatHolds
from workflows import policy, transitions
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState

COMMANDS: dict[policy.CommandName, Callable[[Record, Command, datetime], None]] = {
    "claim": transitions.claim,
    "escalate": transitions.escalate,
    "return": transitions.return_to_ai,
    "resolve": transitions.resolve,
    "unassign": transitions.unassign,
    "read": transitions.read,
    "reviewed": transitions.reviewed,
}
STATE_AFTER_COMMAND = {"claim": ESCALATED, "escalate": ESCALATED, "return": ACTIVE, "resolve": RESOLVED}

PEOPLE = st.sampled_from([ANA, BEN])
TEXTS = st.sampled_from(["At seven.", "早餐七点。" * 150])
COUNTS = st.sampled_from([1, 1, 1, 2, 9])
ACTS = st.sampled_from(
    ["note", "reply", "claim", "escalate", "return", "return", "return", "resolve", "unassign", "read", "reviewed"]
)
CHANGES = st.sampled_from(
    [
        PolicyChanges(autonomy="auto"),
        PolicyChanges(autonomy="draft"),
        PolicyChanges(autonomy="off", never_ai=[]),
        PolicyChanges(service_levels={"normal": ConversationPolicy().service_levels["urgent"]}),
        PolicyChanges(approvals={"create_task": "auto", "request_late_checkout": "auto"}, escalation_threshold=0.1),
        PolicyChanges(resolved_window=timedelta(minutes=5), escalated_timeout=timedelta(0)),
    ]
)


class StaffAtWork(WhatHolds):
    """What staff do; whoever uses this begins the conversation and names messages."""

    def next_id(self, kind: str) -> str:
        raise NotImplementedError

    @rule(by=PEOPLE, act=ACTS, text=TEXTS, count=COUNTS)
    def staff_act(self, by: Actor, act: policy.CommandName, text: str, count: int) -> None:
        if not self._may(act, by):
            return
        match act:
            case "reply":
                self._reply(by, text)
            case "note":
                self._notes(by, count)
            case _:
                self.command(by, act)

    def _may(self, name: policy.CommandName, by: Actor) -> bool:
        return policy.refusal(self.record, name, by.id, self.conversation_id) is None

    def _reply(self, by: Actor, text: str) -> None:
        opened = self.record.state is NEW and not self.record.unchecked
        reply = a_reply(self.next_id("staff"), text, by=by, conversation_id=self.conversation_id)
        if policy.refusal_of_words(self.record, reply, self.driven.now) is not None:
            return
        message = transitions.reply(self.record, reply, self.driven.now)
        self._has_written(message)
        assert (message.content, message.author) == (text, Author.STAFF)
        expected = (NEW, None) if opened else (ESCALATED, by.id)
        assert (self.record.state, self.record.conversation.assigned_to) == expected

    def _notes(self, by: Actor, count: int) -> None:
        before = copied(self.record.conversation)
        for _ in range(count):
            note = a_reply(self.next_id("note"), "Nice", by=by, private=True, conversation_id=self.conversation_id)
            self._has_written(transitions.reply(self.record, note, self.driven.now))
        assert self.record.conversation == before.model_copy(update={"seq": before.seq + count})

    def _has_written(self, message: Message) -> None:
        self.driven.changed()
        self.seen.written.append(message.id)

    def command(self, by: Actor, name: policy.CommandName) -> None:
        command, waiting = a_command(by, conversation_id=self.conversation_id), list(self.record.queue)
        COMMANDS[name](self.record, command, self.driven.now)
        self.driven.changed()
        if name == "resolve" and waiting:
            assert self.record.state is ACTIVE, "who waits for an answer opens it again at once"
            return
        assert self.record.state is STATE_AFTER_COMMAND.get(name, self.record.state)
        assert name != "claim" or self.record.conversation.assigned_to == by.id
        before = copied(self.record)
        assert self._may(name, by)
        COMMANDS[name](self.record, command, self.driven.now)
        self.driven.changed()
        assert self.record == before, "one's own command again changes nothing"

    @rule(by=PEOPLE, to=PEOPLE, snooze=st.booleans(), minutes=st.sampled_from([1, 30, 3_000]))
    def staff_assign_or_snooze(self, by: Actor, to: Actor, snooze: bool, minutes: int) -> None:
        if not self._may("snooze" if snooze else "assign", by):
            return
        until = self.driven.now + timedelta(minutes=minutes)
        for _ in range(2):
            before = copied(self.record)
            if snooze:
                command = Snooze(conversation_id=self.conversation_id, by=by, until=until)
                transitions.snooze(self.record, command, self.driven.now)
            else:
                assign = Assign(conversation_id=self.conversation_id, by=by, staff_id=to.id, staff_name=to.name)
                transitions.assign(self.record, assign, self.driven.now)
            self.driven.changed()
        assert self.record == before, "the same again changes nothing"
        assert self.record.state is ESCALATED
        assert snooze or self.record.conversation.assigned_to == to.id

    @rule(by=PEOPLE, changes=CHANGES)
    def staff_change_the_rules(self, by: Actor, changes: PolicyChanges) -> None:
        if self._may("policy", by):
            command = ChangePolicy(conversation_id=self.conversation_id, by=by, changes=changes)
            transitions.change_policy(self.record, command, self.driven.now)
            self.driven.changed()

    @precondition(lambda self: self.record.conversation.pending_actions)
    @rule(by=PEOPLE, approve=st.booleans())
    def staff_decide(self, by: Actor, approve: bool) -> None:
        action = self.record.conversation.pending_actions[0]
        command = DecideAction(conversation_id=self.conversation_id, by=by, action_id=action.id, approve=approve)
        assert transitions.decide(self.record, command, self.driven.now)
        self.driven.changed()
        assert not transitions.decide(self.record, command, self.driven.now), "decided once"

    @precondition(lambda self: self._undelivered())
    @rule(by=PEOPLE, which=st.integers(0), skip=st.booleans())
    def staff_redeliver(self, by: Actor, which: int, skip: bool) -> None:
        message_id = self._undelivered()[which % len(self._undelivered())]
        command = Redeliver(
            conversation_id=self.conversation_id, by=by, message_id=message_id, copy_id=self.next_id("copy"), skip=skip
        )
        if self._may("retry", by) and policy.refusal_of_redelivery(self.record, command, self.driven.now) is None:
            message = transitions.redeliver(self.record, command, self.driven.now)
            self.driven.changed()
            if message.id == command.copy_id:
                self.seen.written.append(message.id)
                self.seen.copies.add(message.id)

    def _undelivered(self) -> list[str]:
        lost = (DeliveryState.FAILED, DeliveryState.UNKNOWN, DeliveryState.QUEUED)
        return [
            each.id for each in self._own_window() if each.author is not Author.GUEST and each.delivery.state in lost
        ]
