"""What may be said in one message, on sockets as on REST."""

from contracts.names import CONTENT_LIMIT
from contracts.problems import Invalid


def checked(content: str | None) -> str:
    """The content of a message. Raises Invalid where it is empty or over-long."""
    if content is None or not content.strip():
        raise Invalid("content: must not be empty", field="content")
    if len(content) > CONTENT_LIMIT:
        raise Invalid(f"content: must have at most {CONTENT_LIMIT} characters, not {len(content)}", field="content")
    return content
