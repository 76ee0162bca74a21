"""Work for the hotel's departments."""

from typing import Literal

from contracts.base import Model, Timestamp
from contracts.rules import Priority

Department = Literal[
    "housekeeping", "maintenance", "concierge", "front_desk", "food_and_beverage", "security", "management"
]
TaskStatus = Literal["open", "in_progress", "done", "cancelled"]


class Task(Model):
    id: str
    property_id: str
    conversation_id: str | None = None
    guest_id: str | None = None
    department: Department
    title: str
    description: str = ""
    priority: Priority = "normal"
    status: TaskStatus = "open"
    due_at: Timestamp | None = None
    assigned_to: str | None = None
    created_at: Timestamp
    updated_at: Timestamp
