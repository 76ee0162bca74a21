"""Checks that a remote engine keeps the contract: vendors run `gateway engine check URL` against their own server."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx
from pydantic import SecretStr, ValidationError

from activities.ai.evaluation import request_of
from contracts.ai import AIRequest, AIResponse
from contracts.messages import Author

AT_ONCE = 5
_SHOWN = 200


@dataclass(frozen=True)
class Check:
    """The result of one check. `fault` says what is wrong and what would be right; None if it passed."""

    name: str
    fault: str | None
    seconds: float


class _Fault(Exception):
    pass


class ContractCheck:
    def __init__(self, client: httpx.AsyncClient, url: str, token: SecretStr | None, seconds: float) -> None:
        self._client = client
        self._url = url
        self._auth = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._seconds = seconds

    async def run(self) -> AsyncIterator[Check]:
        """Runs all checks in turn; a failed one does not stop the rest."""
        checks: dict[str, Callable[[], Awaitable[None]]] = {
            "answers a question": self._answers,
            "answers a turn of two messages": self._answers_two,
            "reads any script, emoji and 4,096 characters": self._reads_any_text,
            "ignores unknown keys": self._ignores_unknown_keys,
            f"answers {AT_ONCE} requests at once, each with its own answer": self._answers_at_once,
            "answers a repeated turn": self._answers_again,
            "refuses an invalid request with a 4xx status": self._refuses_nonsense,
        }
        if self._auth:
            checks["refuses a wrong token with 401 or 403"] = self._refuses_wrong_token
        for name, check in checks.items():
            started = time.perf_counter()
            fault = None
            try:
                await check()
            except _Fault as error:
                fault = str(error)
            yield Check(name, fault, time.perf_counter() - started)

    async def _answers(self) -> None:
        await self._answer(_request("What time is breakfast?"))

    async def _answers_two(self) -> None:
        request = _request("And how much is it?")
        first = request.message.model_copy(update={"id": "message-before", "content": "Is there parking?"})
        request.context.messages.insert(0, first)
        request.context.turn_message_ids.insert(0, first.id)
        await self._answer(request)

    async def _reads_any_text(self) -> None:
        for text in ("朝食は何時ですか 🍳", "أين المسبح؟", "x" * 4096, "\u200b", ""):
            await self._answer(_request(text))

    async def _ignores_unknown_keys(self) -> None:
        request = _request("What time is breakfast?")
        body = {**request.model_dump(mode="json"), "added": {"later": True}}
        self._read(await self._post(json=body), request)

    async def _answers_at_once(self) -> None:
        await asyncio.gather(*(self._answer(_request(f"Question {number}")) for number in range(AT_ONCE)))

    async def _answers_again(self) -> None:
        request, turn_id = _request("What time is breakfast?"), uuid.uuid4().hex
        for _ in range(2):
            await self._answer(request, turn_id)

    async def _refuses_nonsense(self) -> None:
        for body in (b"", b"{", b"[]", b'{"conversationId": 7}'):
            answer = await self._post(content=body)
            if not 400 <= answer.status_code < 500:
                raise _Fault(f"{body!r} was answered with status {answer.status_code} instead of 400 or 422")

    async def _refuses_wrong_token(self) -> None:
        wrong = {"authorization": "Bearer wrong"}
        answer = await self._post(content=_request("Hello").model_dump_json(), auth=wrong)
        if answer.status_code not in (401, 403):
            raise _Fault(f"a wrong token was answered with status {answer.status_code} instead of 401 or 403")

    async def _answer(self, request: AIRequest, turn_id: str | None = None) -> AIResponse:
        return self._read(await self._post(content=request.model_dump_json(), turn_id=turn_id), request)

    async def _post(
        self,
        *,
        content: str | bytes | None = None,
        json: object = None,
        turn_id: str | None = None,
        auth: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        headers = {
            "content-type": "application/json",
            "idempotency-key": turn_id or uuid.uuid4().hex,
            **(self._auth if auth is None else auth),
        }
        try:
            return await self._client.post(
                self._url, content=content, json=json, headers=headers, timeout=self._seconds
            )
        except httpx.TimeoutException:
            raise _Fault(f"no answer within {self._seconds:g} s") from None
        except httpx.HTTPError as error:
            raise _Fault(f"the engine cannot be reached ({type(error).__name__})") from None

    def _read(self, answer: httpx.Response, request: AIRequest) -> AIResponse:
        if answer.status_code != 200:
            raise _Fault(f"the answer has status {answer.status_code} instead of 200: {answer.text[:_SHOWN]}")
        try:
            response = AIResponse.model_validate_json(answer.content)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors())
            raise _Fault(f"the answer is not a valid AIResponse: {wrong}") from None
        if response.conversation_id != request.conversation_id:
            raise _Fault(f"conversationId is {response.conversation_id!r} instead of the request's")
        if not response.response.strip() and not response.should_escalate:
            raise _Fault("response is empty; set shouldEscalate if a person should answer")
        return response


def _request(text: str) -> AIRequest:
    request = request_of(text, "seaview", 0)
    conversation_id = f"check-{uuid.uuid4().hex}"
    message = request.message.model_copy(update={"conversation_id": conversation_id, "author": Author.GUEST})
    context = request.context.model_copy(update={"conversation_id": conversation_id, "messages": [message]})
    return request.model_copy(update={"conversation_id": conversation_id, "message": message, "context": context})
