"""The contract test that vendors run: passes an engine that keeps the contract, and names what another does wrong."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.ai.contract_check import Check, ContractCheck
from contracts.ai import AIRequest
from tests.fakes.ai import confident
from tests.fakes.server import serving

TOKEN = "open sesame"


class Vendor:
    """A good engine; `wrong` is what it does badly."""

    def __init__(self) -> None:
        self.wrong = ""
        self.url = ""

    async def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}" and self.wrong != "token":
            return Response(status_code=401)
        try:
            asked = AIRequest.model_validate_json(await request.body())
        except ValidationError:
            return Response(status_code=500 if self.wrong == "nonsense" else 422)
        answer = confident(asked).model_dump(mode="json")
        match self.wrong:
            case "conversation":
                answer["conversationId"] = "always-the-same"
            case "form":
                answer["confidence"] = 95
            case "empty":
                answer["response"] = " "
            case "script" if not asked.message.content.isascii():
                return Response("cannot decode", status_code=500)
        return JSONResponse(answer)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    made = Vendor()
    app = Starlette(routes=[Route("/answer", made.answer, methods=["POST"])])
    async with serving(app) as base:
        made.url = f"{base}/answer"
        yield made


async def checked(url: str, token: str | None = TOKEN) -> list[Check]:
    async with httpx.AsyncClient() as client:
        check = ContractCheck(client, url, SecretStr(token) if token else None, seconds=5)
        return [found async for found in check.run()]


async def test_a_good_engine_passes(vendor: Vendor) -> None:
    found = await checked(vendor.url)
    assert [each.fault for each in found] == [None] * 8


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("conversation", "conversationId"),
        ("form", "confidence"),
        ("empty", "response is empty"),
        ("script", "status 500"),
        ("nonsense", "instead of 400 or 422"),
        ("token", "a wrong token was answered with status 200 instead of 401 or 403"),
    ],
)
async def test_what_is_wrong_is_named(vendor: Vendor, wrong: str, told: str) -> None:
    vendor.wrong = wrong
    faults = [each.fault for each in await checked(vendor.url) if each.fault]
    assert faults
    assert all(told in fault for fault in faults)


async def test_nobody_there_is_said() -> None:
    found = await checked("http://127.0.0.1:9/answer", token=None)
    assert len(found) == 7
    assert all(each.fault and "cannot be reached" in each.fault for each in found)
