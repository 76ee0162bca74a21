"""Editions: versions of a conversation's decision logic.

A run follows one edition from beginning to end. The edition is part of its state, so that a replay decides as the run
did, without patch markers, which would cost each conversation two events. New conversations, and conversations that
continue as new, take the newest edition. The logic of an older edition can go once no open run uses it.
"""

SECOND = 1
"""What changed since the first edition:

- Reading: thanks are not a repeated question, "trying to get in touch" is not a break-in, more phrases ask for a
  person, and only messages that reached us late count as late, not those that staff returned to the AI.
- Promises: an AI message that staff resend keeps the promise of an answer, and guests who opted out await none.
- Actions: staff are asked about each action once, and about a limited number at a time.
- Closing: an idle conversation closes while its channel still accepts the survey's question.
"""

THIRD = 2
"""What changed since the second edition:

- Turns: an answer overtaken by a person brings its actions along with its draft, and rules for the AI's autonomy that
  change while it thinks hold for that answer.
- Closing: a conversation of the AI stays open while an action waits for staff.
- Away: guests who are chatting with a person after hours are not told that nobody is there; guests whom a failing AI
  hands over after hours are.
- A priority set before the guest wrote holds when they do.
- Tasks: staff are notified of those that the AI creates; a guest who has a new conversation by the time their task is
  done is told in it; where a guest cannot be told of a task or a decision, staff are notified.
"""

FOURTH = 3
"""What changed since the third edition:

- Return: what the AI handed over and nobody answered goes back to it, once; the guest is not told again that people
  have it. Questions whose reply was lost go back as well.
- Drafts: while the AI may only draft, each message of a guest who waits for a person gets one, not only the first.
- Tasks: those that the AI creates have a due date.
- Closing: what a person does with an escalated conversation, other than reading it, shows that it is not idle.
"""

NEWEST = FOURTH
