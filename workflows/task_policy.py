"""Stand-in until the tasks branch lands."""

from contracts.base import Model
from contracts.tasks import Task


class TaskStart(Model):
    task: Task
