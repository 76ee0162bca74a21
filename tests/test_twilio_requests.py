"""The requests that a message by Twilio takes, what it is billed as, and the addresses it goes to."""

from typing import Any

import pytest

from activities.channels.addresses import address
from activities.channels.sms_segments import segments
from activities.channels.twilio_sender import requests_of
from contracts.messages import Attachment, OutboundMessage, Template
from contracts.problems import Invalid
from settings import TwilioChannel
from tests.fakes.twilio import NUMBER


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
    ],
)
def test_a_text_is_billed_by_the_segments_of_its_alphabet(text: str, count: int) -> None:
    assert segments(text) == count


def _requests(content: str = "", **more: Any) -> list[dict[str, list[str]]]:
    base = {"message_id": "m", "conversation_id": "c", "recipient_id": "+351900000000", "channel_type": "sms"}
    message = OutboundMessage.model_validate({**base, "channel_id": NUMBER, "content": content, **more})
    forms = []
    for part in requests_of(message, TwilioChannel(from_number="MG1")):
        form: dict[str, list[str]] = {}
        for name, value in part.fields:
            form.setdefault(name, []).append(value)
        forms.append(form)
    return forms


def test_a_message_is_as_many_requests_as_it_takes() -> None:
    files = [Attachment(id=str(n), name="a", content_type="image/png", url=f"https://h.test/{n}") for n in range(11)]
    first, second = _requests("Hi", attachments=files)
    assert (first["Body"], len(first["MediaUrl"]), second["MediaUrl"]) == (["Hi"], 10, ["https://h.test/10"])
    assert "Body" not in second
    bodies = [each["Body"][0] for each in _requests(" ".join(["word"] * 700))]
    assert all(len(each) <= 1600 for each in bodies)
    assert " ".join(bodies) == " ".join(["word"] * 700)
    (template,) = _requests(template=Template(name="HX1", parameters=["Ana", "14:00"]))
    assert template["ContentSid"] == ["HX1"]
    assert template["ContentVariables"] == ['{"1": "Ana", "2": "14:00"}']
    (named,) = _requests(template=Template(name="HX1", named_parameters={"guest": "Ana"}))
    assert named["ContentVariables"] == ['{"guest": "Ana"}']
    (rich,) = _requests("Hi", channel_id="rcs:hotel", recipient_id="rcs:+351900000000")
    assert (rich["From"], rich["To"]) == (["rcs:hotel"], ["rcs:+351900000000"])
    (opening,) = _requests("Hi", channel_id="front desk")
    assert (opening["MessagingServiceSid"], "From" in opening) == (["MG1"], False)


@pytest.mark.parametrize(
    ("kinds", "content", "requests"),
    [
        ([], "Hi", [("Hi", 0)]),
        (["image/png"], "", [(None, 1)]),
        (["image/png"], "Hi", [("Hi", 1)]),
        (["application/pdf"], "Hi", [(None, 1), ("Hi", 0)]),
        (["image/png", "image/png"], "Hi", [(None, 1), (None, 1), ("Hi", 0)]),
        (["image/png"], "x" * 1100, [(None, 1), ("x" * 1100, 0)]),
    ],
)
def test_whatsapp_takes_one_file_a_request_and_words_with_pictures_alone(
    kinds: list[str], content: str, requests: list[tuple[str | None, int]]
) -> None:
    files = [
        Attachment(id=str(n), name="a", content_type=kind, url=f"https://h.test/{n}") for n, kind in enumerate(kinds)
    ]
    forms = _requests(content, attachments=files, recipient_id="whatsapp:+351900000000", channel_type="whatsapp")
    assert [(*each.get("Body", [None]), len(each.get("MediaUrl", []))) for each in forms] == requests
    assert [url for each in forms for url in each.get("MediaUrl", [])] == [each.url for each in files]


@pytest.mark.parametrize(
    ("adapter", "written", "known"),
    [
        ("twilio", "+351 910-000 000", "+351910000000"),
        ("twilio", "00351910000000", "+351910000000"),
        ("twilio", "whatsapp:+351910000000", "whatsapp:+351910000000"),
        ("whatsapp", "+351 910 000 000", "351910000000"),
        ("whatsapp", "351910000000", "351910000000"),
        ("whatsapp", "PT.1349120865530274", "PT.1349120865530274"),
        ("messages", "front desk", "front desk"),
    ],
)
def test_an_address_is_as_its_network_writes_it(adapter: str, written: str, known: str) -> None:
    assert address(adapter, written) == known


@pytest.mark.parametrize("written", ["910000000", "+0351910000000", "front desk", "+3519x0000000", "", "+" + "9" * 16])
def test_what_is_no_international_number_is_told(written: str) -> None:
    with pytest.raises(Invalid):
        address("twilio", written)
