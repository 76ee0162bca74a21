"""Example responses for the OpenAPI description."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from pydantic import BaseModel, JsonValue

from contracts.automations import AutomationRule, Automations, Conditions, CreateTask
from contracts.conversations import Conversation, ConversationState, Outcome
from contracts.events import Event, Notification
from contracts.guest_export import GuestExport, Stored
from contracts.guests import Erasure, Guest, GuestContact, GuestWithStays, HistoryLeft, Stay
from contracts.knowledge import ArticleUse, Gap, GapQuestion, StoredArticle
from contracts.messages import AIInfo, Attachment, Author, Delivery, DeliveryState, InboundMessage, Message
from contracts.quarantine import QuarantineItem
from contracts.reports import ConversationReport, Durations, ReportRow, Satisfaction
from contracts.staff import ApiKey, Staff, StaffMember
from contracts.tasks import Task
from contracts.webhooks import WebhookDelivery, WebhookEndpoint

JsonObject = dict[str, JsonValue]

CONTACT_KEY: Final = "mzxw6ytboi4dkmrtgaydambqgq"
CONVERSATION_ID: Final = f"{CONTACT_KEY}-3f0c9a1e"
GUEST_ID: Final = "guest-9b1f"
NOW: Final = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)

MESSAGE: Final = Message(
    id="5b1f7f0e-3f4e-4c5a-9d43-0f3f9a7f1c11",
    conversation_id=CONVERSATION_ID,
    seq=3,
    author=Author.AI,
    content="Breakfast is served from 7:00 to 10:30 in the Palm Room.",
    created_at=NOW,
    delivery=Delivery(state=DeliveryState.DELIVERED),
    ai=AIInfo(confidence=0.93, intent="breakfast", sources=["dining/breakfast"]),
)
STAFF: Final = Staff(id="6f9619ff", email="agent@seaview.demo", name="Demo Agent", role="agent", properties=["seaview"])

API_KEY: Final = ApiKey(
    id="1f0e9d8c",
    name="Dashboard",
    begins="gw_4f1d6c1e",
    properties=["seaview"],
    scopes=["conversations:read"],
    created_by=STAFF.id,
    created_at=NOW,
)
MADE_API_KEY: Final[JsonObject] = {**API_KEY.model_dump(mode="json"), "key": "gw_4f1d6c1e-and-forty-more-characters"}

GUEST: Final = GuestWithStays(
    id=GUEST_ID,
    name="Ana Souza",
    language="pt",
    contacts=[GuestContact(property_id="seaview", channel_type="whatsapp", sender_id="+5511999990000")],
    stays=[Stay(id="stay-1", room="204", arrival=date(2026, 11, 22), departure=date(2026, 11, 27))],
    preferences={"pillow": "soft"},
    hotel_system="ok",
)
ENDPOINT: Final = WebhookEndpoint(
    id="8d2f6c1e-1b7a-4f0e-9c55-2a4b6d8e0f13",
    property_id="seaview",
    url="https://hotel.example/hooks",
    event_types=["task.*", "conversation.escalated"],
    created_at=NOW,
    updated_at=NOW,
)
RULE: Final = AutomationRule(
    id="night-call",
    name="Tell the porter at night",
    when=["conversation.escalated"],
    conditions=Conditions(business_hours="closed", priorities=["high", "urgent"]),
    then=[CreateTask(type="create_task", department="front_desk", title="A guest needs help")],
)

ENDPOINT_WITH_SECRET: Final[JsonObject] = {
    **ENDPOINT.model_dump(mode="json"),
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}

ATTACHMENT = Attachment(
    id="0f3c9a1e5b7d4e6f8a90b1c2d3e4f506",
    name="menu.pdf",
    content_type="application/pdf",
    size=48211,
    url="/api/v1/media/0f3c9a1e5b7d4e6f8a90b1c2d3e4f506",
)
EXAMPLES: Final[dict[str, BaseModel]] = {
    "Message": MESSAGE,
    "Conversation": Conversation(
        conversation_id=CONVERSATION_ID,
        guest_id=GUEST_ID,
        property_id="seaview",
        state=ConversationState.ACTIVE,
        message_count=2,
        current_intent="breakfast",
        created_at=NOW - timedelta(minutes=1),
        last_message_at=NOW,
        channel_type="webchat",
        guest_name="Ana Souza",
        last_message=MESSAGE,
        seq=3,
        workflow_id=f"conversation-{CONTACT_KEY}",
    ),
    "Outcome": Outcome(
        message_id="3c8e1f2a", outcome="answered", reply_id=MESSAGE.id, reason="The AI answered", at=NOW
    ),
    "Guest": Guest.model_validate(GUEST, from_attributes=True),
    "GuestWithStays": GUEST,
    "Erasure": Erasure(
        guest_ids=[GUEST_ID],
        erased_at=NOW,
        erased={"messages": 4, "events": 9, "media": 1},
        histories=[
            HistoryLeft(
                workflow_id=f"conversation-{CONTACT_KEY}",
                run_id="3f0c9a1e-7d4e-4f8a-90b1-c2d3e4f5061a",
                closed_at=NOW - timedelta(days=1),
                kept_until=NOW + timedelta(days=6),
            )
        ],
    ),
    "GuestExport": GuestExport(
        exported_at=NOW,
        property_id="seaview",
        guest_ids=[GUEST_ID],
        profiles=[Stored.model_validate({"id": GUEST_ID, "name": "Ana Souza", "language": "pt"})],
        merges=[],
        contacts=[Stored.model_validate({"senderId": "+5511999990000", "optedOut": False})],
        conversations=[Stored.model_validate({"id": CONVERSATION_ID, "state": "resolved"})],
        messages=[Stored.model_validate({"id": MESSAGE.id, "content": MESSAGE.content})],
        outcomes=[],
        deliveries=[],
        events=[],
        drafts=[],
        tasks=[],
        notifications=[],
        quarantine=[],
        spool=[],
        learned=[],
    ),
    "ConversationReport": ConversationReport(
        from_day=date(2026, 11, 1),
        to_day=date(2026, 11, 23),
        items=[
            ReportRow(
                started=41,
                resolved=38,
                messages={Author.GUEST: 96, Author.AI: 88, Author.STAFF: 17},
                first_response=Durations(count=38, average=4.1, median=1.2, p90=6.0),
                resolved_by_ai=29,
                ai_share=0.76,
                handed=9,
                sla_kept=1.0,
                satisfaction=Satisfaction(ratings=17, average=4.4, satisfied=0.88),
            )
        ],
    ),
    "WebhookEndpoint": ENDPOINT,
    "WebhookDelivery": WebhookDelivery(
        webhook_id="msg_79439f340a0b6fe563fac4217cc720bc",
        type="conversation.escalated",
        state="delivered",
        attempts=1,
        first_attempt_at=NOW,
        last_attempt_at=NOW,
        response_status=204,
    ),
    "AutomationRule": RULE,
    "Automations": Automations(property_id="seaview", rules=[RULE], version=3, updated_at=NOW, updated_by=STAFF.id),
    "Task": Task(
        id="0d1c5a52-6c0e-4b0e-8f0f-3b8f0a9d7e21",
        property_id="seaview",
        conversation_id=CONVERSATION_ID,
        guest_id=GUEST_ID,
        department="housekeeping",
        title="Two more towels for room 204",
        priority="normal",
        status="open",
        created_at=NOW,
        updated_at=NOW,
    ),
    "Notification": Notification(
        id="7d0c2f8a", kind="escalation", text="A guest asks for a person", conversation_id=CONVERSATION_ID, at=NOW
    ),
    "Event": Event(seq=3, at=NOW, message=MESSAGE),
    "Attachment": ATTACHMENT,
    "GivenAttachment": ATTACHMENT,
    "InboundMessage": InboundMessage(
        channel_id="front-desk-app",
        channel_type="webchat",
        sender_id="guest-4711",
        content="What time is breakfast?",
        metadata={"messageId": "4f1d6c1e", "guestName": "Ana Souza"},
        timestamp=NOW,
    ),
    "StoredArticle": StoredArticle(
        id="parking",
        title="Parking",
        questions=["How much is parking?"],
        text="Our garage in Quay Street is 18 EUR a night.",
        property_id="seaview",
        version=3,
        updated_at=NOW,
        updated_by="6f9619ff",
    ),
    "ArticleUse": ArticleUse(
        conversation_id=CONVERSATION_ID,
        reply_id=MESSAGE.id,
        question="When is breakfast?",
        answer=MESSAGE.content,
        at=NOW,
    ),
    "Gap": Gap(
        count=1,
        questions=[
            GapQuestion(conversation_id=CONVERSATION_ID, message_id="m-1", text="Do you have kayaks?", at=NOW),
        ],
    ),
    "QuarantineItem": QuarantineItem(
        id="5f0c2f7e5d0b4b57",
        property_id="seaview",
        adapter="whatsapp",
        reason="entry.0.changes: must be a list",
        payload='{"entry": [{}]}',
        at=NOW,
    ),
    "Staff": STAFF,
    "StaffMember": StaffMember(
        id=STAFF.id,
        email=STAFF.email,
        name=STAFF.name,
        role="agent",
        properties=STAFF.properties,
        disabled=False,
        created_at=NOW,
    ),
    "ApiKey": API_KEY,
}

ACCESS: Final[JsonObject] = {
    "accessToken": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI2Zjk2MTlmZiJ9.c2lnbmF0dXJl",
    "expiresAt": (NOW + timedelta(minutes=30)).isoformat(),
    "staff": STAFF.model_dump(mode="json"),
}
PROFILE: Final[JsonObject] = {**STAFF.model_dump(mode="json"), "mailKinds": ["escalation", "mention"]}
