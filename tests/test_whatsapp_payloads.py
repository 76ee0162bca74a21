"""The requests that a message to a guest on WhatsApp takes."""

import json
from typing import Any

import pytest

from activities.channels.whatsapp_sender import payloads
from contracts.messages import Attachment, OutboundMessage, Template


def _outbound(content: str = "", **more: Any) -> OutboundMessage:
    base = {"message_id": "m", "conversation_id": f"{'a' * 26}-00000000", "recipient_id": "351900000000"}
    return OutboundMessage.model_validate(
        {**base, "channel_id": "1", "channel_type": "whatsapp", "content": content, **more}
    )


def _file(content_type: str, name: str = "a") -> Attachment:
    return Attachment(id=name, name=name, content_type=content_type, url=f"https://hotel.test/{name}")


def test_a_template_carries_its_parameters_in_their_order() -> None:
    template = Template(name="late_checkout", language="pt_PT", parameters=["Ana", "14:00"])
    (sent,) = payloads(_outbound(template=template))
    assert json.loads(json.dumps(sent["template"])) == {
        "name": "late_checkout",
        "language": {"code": "pt_PT"},
        "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "14:00"}]}
        ],
    }
    (bare,) = payloads(_outbound(template=Template(name="hello")))
    assert bare["template"] == {"name": "hello", "language": {"code": "en"}, "components": []}


def test_a_template_is_filled_by_name_and_has_its_file_and_its_links() -> None:
    template = Template(
        name="booking", named_parameters={"guest": "Ana", "room": "214"}, button_links={"0": "4711", "2": "wifi"}
    )
    (sent,) = payloads(_outbound(template=template, attachments=[_file("application/pdf", "booking.pdf")]))
    document = {"link": "https://hotel.test/booking.pdf", "filename": "booking.pdf"}
    assert json.loads(json.dumps(sent["template"]))["components"] == [
        {"type": "header", "parameters": [{"type": "document", "document": document}]},
        {
            "type": "body",
            "parameters": [
                {"type": "text", "parameter_name": "guest", "text": "Ana"},
                {"type": "text", "parameter_name": "room", "text": "214"},
            ],
        },
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "4711"}]},
        {"type": "button", "sub_type": "url", "index": "2", "parameters": [{"type": "text", "text": "wifi"}]},
    ]


def test_files_go_as_what_they_are_and_a_short_text_with_the_only_one() -> None:
    (photo,) = payloads(_outbound("Your table", attachments=[_file("image/jpeg")]))
    assert (photo["type"], photo["image"]) == ("image", {"link": "https://hotel.test/a", "caption": "Your table"})
    (paper,) = payloads(_outbound(attachments=[_file("application/pdf", "menu.pdf")]))
    assert paper["document"] == {"link": "https://hotel.test/menu.pdf", "filename": "menu.pdf"}
    kinds = [each["type"] for each in payloads(_outbound("Two", attachments=[_file("video/mp4"), _file("audio/ogg")]))]
    assert kinds == ["video", "audio", "text"]
    assert [each["type"] for each in payloads(_outbound("Listen", attachments=[_file("audio/ogg")]))] == [
        "audio",
        "text",
    ]


def test_a_long_text_goes_in_parts_that_lose_nothing() -> None:
    words = " ".join(f"word{index}" for index in range(1500))
    bodies = [json.loads(json.dumps(each))["text"]["body"] for each in payloads(_outbound(words))]
    assert len(bodies) > 2
    assert all(len(each) <= 4096 for each in bodies)
    assert " ".join(bodies) == words
    assert (
        "".join(json.loads(json.dumps(each))["text"]["body"] for each in payloads(_outbound("x" * 9000))) == "x" * 9000
    )


@pytest.mark.parametrize(
    ("recipient", "key", "value"),
    [("351900000000", "to", "351900000000"), ("+351900000000", "to", "351900000000"), ("PT.1", "recipient", "PT.1")],
)
def test_a_number_is_written_to_by_to_and_a_user_id_by_recipient(recipient: str, key: str, value: str) -> None:
    (sent,) = payloads(_outbound("Hi", recipient_id=recipient))
    assert sent[key] == value
    assert ("to" in sent) != ("recipient" in sent)
