"""Whatever a provider sends, its parser answers: no exception escapes, and nothing is dropped in silence."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.channels import body_signature
from activities.channels import twilio as twilio_in
from activities.channels import whatsapp as whatsapp_in
from activities.channels.parts import chunks
from activities.channels.sms_segments import segments
from activities.channels.whatsapp_content import KINDS
from contracts.quarantine import Unreadable
from tests.api import Api
from tests.fakes.graph import APP_SECRET, FakeGraph
from tests.fakes.twilio import PUBLIC_URL, FakeTwilio, sign

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FEW, MANY = 200, 10_000
WORDS = st.text(max_size=40)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(WORDS, each, max_size=4),
    max_leaves=12,
)


def _likely(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which any part may be missing, be what it should be, or be anything."""
    return st.fixed_dictionaries({}, optional={name: part | ANY for name, part in parts.items()})


NUMBERS = st.integers(min_value=0, max_value=10**13).map(str)
MEDIA = _likely(id=WORDS, mime_type=WORDS, caption=WORDS, filename=WORDS, voice=st.booleans())
CHOICE = _likely(id=WORDS, title=WORDS, description=WORDS)
MESSAGE = _likely(
    id=WORDS,
    timestamp=NUMBERS,
    type=st.sampled_from(sorted(KINDS)),
    from_user_id=WORDS,
    text=_likely(body=WORDS),
    image=MEDIA,
    audio=MEDIA,
    document=MEDIA,
    sticker=MEDIA,
    location=_likely(latitude=st.floats(), longitude=st.floats(), name=WORDS, address=WORDS),
    contacts=st.lists(_likely(name=_likely(formatted_name=WORDS), phones=st.lists(_likely(phone=WORDS))), max_size=2),
    reaction=_likely(message_id=WORDS, emoji=WORDS),
    button=_likely(text=WORDS, payload=WORDS),
    interactive=_likely(button_reply=CHOICE, list_reply=CHOICE, nfm_reply=_likely(body=WORDS, response_json=WORDS)),
    edit=_likely(message=_likely(type=st.sampled_from(sorted(KINDS)), text=_likely(body=WORDS))),
    context=_likely(id=WORDS, forwarded=st.booleans()),
    referral=_likely(headline=WORDS, source_url=WORDS),
    errors=st.lists(_likely(code=st.integers(), title=WORDS), max_size=2),
).flatmap(lambda item: st.just(item) | WORDS.map(lambda sender: {**item, "from": sender}))
STATUS = _likely(
    id=WORDS,
    status=st.sampled_from([*whatsapp_in.STATES, *whatsapp_in.PASSED_OVER]),
    timestamp=NUMBERS,
    biz_opaque_callback_data=st.just(f"{'a' * 26}-00000000.0.1.m") | WORDS,
    errors=st.lists(_likely(code=st.integers()), max_size=2),
)
VALUE = _likely(
    metadata=_likely(phone_number_id=WORDS),
    contacts=st.lists(_likely(wa_id=WORDS, user_id=WORDS, profile=_likely(name=WORDS)), max_size=2),
    messages=st.lists(MESSAGE, max_size=3),
    statuses=st.lists(STATUS, max_size=3),
)
CHANGE = _likely(field=st.just("messages"), value=VALUE)
NOTIFICATION = _likely(entry=st.lists(_likely(changes=st.lists(CHANGE, max_size=2)), max_size=2))
JSON_BODIES = (NOTIFICATION | ANY).map(lambda each: json.dumps(each).encode())

FIELDS = st.sampled_from(
    [
        "MessageSid",
        "From",
        "To",
        "Body",
        "NumMedia",
        "MediaUrl0",
        "MediaContentType0",
        "OptOutType",
        "AccountSid",
        "MessageStatus",
        "ErrorCode",
        "reference",
        "ProfileName",
        "Latitude",
        "Longitude",
        "ButtonText",
    ]
)
VALUES = WORDS | st.sampled_from(
    ["SM1", "+351900000000", "whatsapp:+1", "1", "STOP", "delivered", "https://h.test/ME1"]
)
FORMS = st.dictionaries(FIELDS | WORDS, VALUES, max_size=16).map(
    lambda form: urlencode(form, errors="surrogatepass").encode()
)


def _whatsapp(body: bytes) -> None:
    batch = whatsapp_in.parse(body, NOW)
    for received in batch.received:
        assert received.message.sent_at <= NOW
        again = whatsapp_in.parse(received.payload, NOW)
        assert [each.message for each in again.received] == [received.message]
    for unreadable in batch.unreadable:
        assert unreadable.reason
        again = whatsapp_in.parse(unreadable.payload, NOW)
        assert [each.reason for each in again.unreadable] == [unreadable.reason]


def _twilio(body: bytes) -> None:
    found = twilio_in.parse(body, None, NOW)
    if isinstance(found, Unreadable):
        assert found.payload == body
        assert found.reason


def _texts(text: str) -> None:
    assert segments(text) >= 1
    pieces = chunks(text, 10)
    assert all(piece and len(piece) <= 10 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


PARSERS: list[tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = [
    (st.binary(max_size=200) | JSON_BODIES, _whatsapp),
    (st.binary(max_size=200) | FORMS, _twilio),
    (st.text(), _texts),
]
NAMES = ["whatsapp", "twilio", "texts"]


def _examples(inputs: st.SearchStrategy[Any], check: Callable[[Any], None], count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(inputs)
    def run(body: Any) -> None:
        check(body)

    run()


@pytest.mark.parametrize(("inputs", "check"), PARSERS, ids=NAMES)
def test_no_input_is_too_strange(inputs: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    _examples(inputs, check, FEW)


async def test_no_signed_body_is_an_error_of_ours(api: Api, graph: FakeGraph, twilio: FakeTwilio, hotel: str) -> None:
    """Whatever comes signed is acknowledged: read, or kept in quarantine."""
    path = f"/webhooks/twilio/{hotel}"

    def whatsapp_answers(http: httpx.Client, body: bytes) -> None:
        headers = {"X-Hub-Signature-256": body_signature.sign(body, APP_SECRET)}
        assert http.post(f"/webhooks/whatsapp/{hotel}", content=body, headers=headers).status_code == 200

    def twilio_answers(http: httpx.Client, body: bytes) -> None:
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        for target in (path, f"{path}/status?reference=x"):
            headers = {"X-Twilio-Signature": sign(PUBLIC_URL + target, fields)}
            assert http.post(target, content=body, headers=headers).status_code == 200

    def run() -> None:
        with httpx.Client(base_url=api.url, timeout=30) as http:
            _examples(PARSERS[0][0], lambda body: whatsapp_answers(http, body), FEW)
            _examples(PARSERS[1][0], lambda body: twilio_answers(http, body), FEW)

    await asyncio.to_thread(run)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("inputs", "check"), PARSERS, ids=NAMES)
def test_no_input_of_very_many_is_too_strange(inputs: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    _examples(inputs, check, MANY)
