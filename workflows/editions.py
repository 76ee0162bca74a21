"""How the decisions of a conversation have changed.

A run decides to its end as it began: its start input names an edition, so that a replay asks no patch marker, which
would cost each conversation two events. A new conversation, and one that goes on in a new run, takes the newest. What
an edition replaced goes when no run of the edition before is open any more.
"""

SECOND = 1
"""Of what a guest writes: thanks are no question that comes again, getting in touch is no break-in, a person is asked
for in more words, and only what reached us late is late, not what staff gave back. Of promises: what the AI said and
staff said again keeps one, and nobody waits who cannot be written to. Of actions: staff are asked for each once.
Of closing: in time for the channel to take the question how the help was.
"""

NEWEST = SECOND
