"""Another company's language model behind OpenAI's chat API: answers as commanded, and fails in every way there is."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Trouble = Literal["stall", "broken_json", "wrong_form", "no_choice", "cut", "429", "500", "401"]


class FakeOpenAI:
    """`write` makes the model's structured answer from the whole prompt, as text; `trouble` is what happens instead."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.trouble: Trouble | None = None
        self.write: Callable[[str], dict[str, Any]] = lambda prompt: written("From 7 am.", sources=["breakfast"])
        self.summary = "The guest asked about breakfast."
        self.url = ""
        self._released = asyncio.Event()
        self.app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    def let_go(self) -> None:
        self._released.set()

    async def _complete(self, request: Request) -> Response:
        asked = await request.json()
        prompt = "\n".join(_text(message["content"]) for message in asked["messages"])
        self.requests.append(asked)
        self.prompts.append(prompt)
        match self.trouble:
            case "stall":
                await self._released.wait()
            case "broken_json":
                return Response('{"id": "chatcmpl-1", "choices": [{"mess', media_type="application/json")
            case "cut":
                return CutResponse()
            case "429" | "500" | "401":
                error = {"error": {"message": f"trouble with {prompt[:200]}", "type": "trouble", "code": "trouble"}}
                return JSONResponse(error, status_code=int(self.trouble))
        return JSONResponse(self._completion(asked, prompt))

    def _completion(self, asked: dict[str, Any], prompt: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.summary}
        if asked.get("tools"):
            answer = {"response": 7} if self.trouble == "wrong_form" else self.write(prompt)
            name = asked["tools"][0]["function"]["name"]
            call = {"name": name, "arguments": json.dumps(answer)}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            }
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if asked.get("tools") else "stop"}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": asked["model"],
            "choices": [] if self.trouble == "no_choice" else [choice],
            "usage": {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000},
        }


class CutResponse(Response):
    """Says how long it is and ends before."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id": "chatcmpl-1", "obj', "more_body": True})
        raise ConnectionResetError


def written(response: str, **changes: Any) -> dict[str, Any]:
    """What the model is asked to write."""
    return {"response": response, "intent": "breakfast", "confidence": 0.95, "sources": [], **changes}


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content or ""
