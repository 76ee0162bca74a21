"""Engine adapter for a remote server: posts an AIRequest as JSON and reads an AIResponse."""

import httpx
from pydantic import SecretStr, ValidationError

from activities.ai.port import EngineError
from activities.bounded_reading import ACCEPTED, TooMuchError, read_at_most
from activities.tls import UNREACHED, trusted
from contracts.ai import AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Message

CONNECT_SECONDS = 5.0
ANSWER_BYTES = 64 * 1024
"""More than any answer to a guest needs. Limited because the conversation's history keeps the answer."""
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})


class HttpEngine:
    """Makes one request per answer. Retries and the overall deadline are up to the caller."""

    name = "http"

    def __init__(self, url: str, token: SecretStr | None = None, *, seconds: float = 20.0) -> None:
        """`seconds` is the timeout of one request."""
        headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self.url = url
        self._client = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS), verify=trusted()
        )

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        headers = {"content-type": "application/json", "idempotency-key": turn_id, **ACCEPTED}
        try:
            content = request.model_dump_json()
            async with self._client.stream("POST", self.url, content=content, headers=headers) as answer:
                return _response(await _body(answer), request.conversation_id)
        except UNREACHED as error:
            raise EngineError(f"the engine cannot be reached ({type(error).__name__})", retryable=True) from None

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        """Returns None: the contract of remote engines has no summaries."""
        return None

    async def close(self) -> None:
        await self._client.aclose()


async def _body(answer: httpx.Response) -> bytes:
    if not answer.is_success:
        status = answer.status_code
        heals = status >= 500 or status in _WORTH_ANOTHER_TRY
        raise EngineError(f"the engine answered with status {status}", retryable=heals)
    try:
        return await read_at_most(answer, ANSWER_BYTES)
    except TooMuchError:
        raise EngineError(f"the engine's answer is larger than {ANSWER_BYTES} bytes", retryable=False) from None


def _response(body: bytes, conversation_id: str) -> AIResponse:
    try:
        response = AIResponse.model_validate_json(body)
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, each["loc"])) or "body" for each in error.errors()}))
        raise EngineError(f"the engine's answer is not a valid AIResponse (wrong: {wrong})", retryable=True) from None
    if response.conversation_id != conversation_id:
        raise EngineError("the engine's answer is for another conversation", retryable=True)
    return response
