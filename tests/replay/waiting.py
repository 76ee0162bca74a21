"""What scenes wait for."""

from contracts.conversations import Conversation
from contracts.messages import Author, DeliveryState
from tests.support import Guest, Stack, command, eventually


async def resolved(stack: Stack, guest: Guest) -> None:
    await stack.conversations.resolve(command(await guest.conversation()))
    await guest.handle.result()


async def settled(stack: Stack, guest: Guest) -> Conversation:
    conversation = await guest.conversation()
    await stack.stored(conversation)
    return conversation


async def has_left(guest: Guest, author: Author = Author.AI) -> str:
    """The id of the author's first message, once the conversation knows that it left."""

    async def sent() -> str | None:
        messages = await guest.messages()
        gone = (each.id for each in messages if each.author is author and each.delivery.state is DeliveryState.SENT)
        return next(gone, None)

    return await eventually(sent, what="the reply to leave")
