"""Another company's AI engine: speaks the seed's AIRequest and AIResponse over HTTP, and misbehaves on command."""

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.ai import AIRequest, AIResponse


def confident(request: AIRequest) -> AIResponse:
    """Answers everything of the turn, and names what it answers."""
    turn = request.context.turn_message_ids
    earlier = [each.content for each in request.context.messages if each.id in turn]
    return AIResponse(
        conversation_id=request.conversation_id,
        response=f"Answer to {' + '.join([*earlier, request.message.content])}",
        intent="test",
        confidence=0.95,
        sources=["article"],
    )


class FakeAI:
    """`respond` makes the answer, which takes `seconds`; `status` other than 200 fails; `hold` holds until `let_go`."""

    def __init__(self) -> None:
        self.requests: list[AIRequest] = []
        self.turn_ids: list[str] = []
        self.respond: Callable[[AIRequest], AIResponse] = confident
        self.status = 200
        self.seconds = 0.0
        self.open = asyncio.Event()
        self.open.set()
        self.app = Starlette(routes=[Route("/answer", self._answer, methods=["POST"])])

    def hold(self) -> None:
        self.open.clear()

    def let_go(self) -> None:
        self.open.set()

    def doubtful(self, request: AIRequest) -> AIResponse:
        return confident(request).model_copy(update={"confidence": 0.2})

    async def _answer(self, request: Request) -> Response:
        asked = AIRequest.model_validate_json(await request.body())
        self.requests.append(asked)
        self.turn_ids.append(request.headers["idempotency-key"])
        await self.open.wait()
        await asyncio.sleep(self.seconds)
        if self.status != 200:
            return Response(status_code=self.status)
        return JSONResponse(self.respond(asked).model_dump(mode="json"))
