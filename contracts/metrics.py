"""The metrics of conversations and channels, one definition for api and worker. Labels hold no guest's data."""

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
    "From a message received to its answer handed to the channel",
    ["channel", "property"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SMS_SEGMENTS = Counter("gateway_sms_segments_total", "Segments of SMS that left, as networks bill them", ["property"])
