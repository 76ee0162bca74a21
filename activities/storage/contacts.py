"""What storage knows of a contact when a conversation begins."""

from sqlalchemy import text

from activities.storage.database import Database
from contracts.events import ContactFacts, ContactLookup
from contracts.messages import Author, Delivery, DeliveryState, Message

PREVIOUS_MESSAGES = 4

_FACTS = text(
    """
    SELECT array(SELECT id FROM messages WHERE contact_key = :contact_key AND id = ANY(:message_ids)) AS known,
           guests.id AS guest_id, guests.name AS guest_name,
           (SELECT id FROM conversations WHERE contact_key = :contact_key AND id <> :conversation_id
            ORDER BY created_at DESC LIMIT 1) AS previous
    FROM (SELECT 1) AS one
    LEFT JOIN contacts ON contacts.contact_key = :contact_key
    LEFT JOIN guests ON guests.id = contacts.guest_id
    """
)
_LAST_MESSAGES = text(
    """
    SELECT id, seq, author, author_name, left(content, 4096) AS content, created_at FROM messages
    WHERE conversation_id = :conversation_id AND NOT private ORDER BY seq DESC LIMIT :limit
    """
)


class Contacts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self, lookup: ContactLookup) -> ContactFacts:
        """Which of the message ids are stored already, whose contact this is, and what was said last.

        Raises StorageAway.
        """
        async with self._database.begin() as connection:
            row = (
                await connection.execute(
                    _FACTS,
                    {
                        "contact_key": lookup.contact_key,
                        "conversation_id": lookup.conversation_id,
                        "message_ids": lookup.message_ids,
                    },
                )
            ).one()
            messages: list[Message] = []
            if row.previous is not None:
                last = await connection.execute(
                    _LAST_MESSAGES, {"conversation_id": row.previous, "limit": PREVIOUS_MESSAGES}
                )
                messages = [
                    Message(
                        id=each.id,
                        conversation_id=row.previous,
                        seq=each.seq,
                        author=Author(each.author),
                        author_name=each.author_name,
                        content=each.content,
                        created_at=each.created_at,
                        delivery=Delivery(state=DeliveryState.SENT),
                    )
                    for each in reversed(last.all())
                ]
        return ContactFacts(
            known_message_ids=list(row.known),
            guest_id=row.guest_id,
            guest_name=row.guest_name,
            previous_conversation_id=row.previous,
            previous_messages=messages,
        )
