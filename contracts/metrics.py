"""The metrics of conversations, channels and the AI, shared by api and worker. Labels contain no guest data."""

from prometheus_client import Counter, Gauge, Histogram

MESSAGES_INBOUND = Counter(
    "gateway_messages_inbound_total", "Guest messages received", ["channel", "property", "outcome"]
)
MESSAGES_OUTBOUND = Counter(
    "gateway_messages_outbound_total", "Messages handed to a channel", ["channel", "property", "outcome"]
)
MESSAGES_ROUTED = Counter("gateway_messages_routed_total", "Turns routed to the AI", ["channel", "property", "outcome"])
ESCALATIONS = Counter("gateway_escalations_total", "Conversations escalated to a person", ["channel", "property"])
WS_CONNECTIONS = Gauge("gateway_ws_connections", "Open WebSocket connections", ["audience"])
ROUTING_LATENCY = Histogram(
    "gateway_latency_routing_seconds",
    "Time from receiving a message to handing its answer to the channel",
    ["channel", "property"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SMS_SEGMENTS = Counter("gateway_sms_segments_total", "SMS segments sent, as networks bill them", ["property"])
AI_TOKENS = Counter("gateway_ai_tokens_total", "Tokens that language models read and wrote", ["property", "direction"])
AI_COST = Counter("gateway_ai_cost_total", "Cost of language models, by the configured prices", ["property"])
AI_FAILURES = Counter("gateway_ai_failures_total", "AI engine calls that gave no answer", ["property", "engine"])
AI_HELD_BACK = Counter("gateway_ai_held_back_total", "AI answers held back for staff to check", ["property", "why"])
SPOOLED = Gauge("gateway_spool_items", "Items waiting in PostgreSQL because Temporal was away when they came in")
