"""The workflow sandbox, without the costly parts that bring us nothing.

A conversation that no worker has cached is replayed, so every millisecond here is part of each cold query.
"""

from dataclasses import dataclass, field

from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = (
    "activities",
    "annotated_types",
    "contracts",
    "opentelemetry",
    "prometheus_client",
    "pydantic",
    "pydantic_core",
    "redis",
    "workflows",
)
"""Modules passed through the sandbox. Importing them again costs 583 KiB per cached workflow and a third of a short
replay. A test finds in our modules' source what the sandbox would refuse. Redis is among them because a connection that
is garbage-collected while a workflow runs imports modules, which takes too long inside the sandbox."""

_NO_STORE = StorageDriverStoreContext(target=None)


@dataclass(frozen=True)
class Sandbox(SandboxedWorkflowRunner):
    """Creates sandboxed workflows that are never asked for a payload's context."""

    restrictions: SandboxRestrictions = field(
        default_factory=lambda: SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _WithoutContexts(super().create_instance(det))


class _WithoutContexts(WorkflowInstance):
    """Skips a question that our codec, which treats all payloads alike, does not need answered.

    The worker asks four times per payload which command it belongs to. Each is a trip into the sandbox; together they
    take a third of a replay.
    """

    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._sandboxed.activate(act)

    def get_serialization_context(self, command_info: object) -> SerializationContext | None:
        return None

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:
        return _NO_STORE

    def get_info(self) -> workflow.Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()
