"""The sandbox that workflows run in, without what it costs and does not give us.

A conversation that no worker has in its cache is replayed, so every millisecond here is one of each cold query.
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
"""Importing them anew costs 583 KiB a cached workflow and a third of a short replay. What the sandbox would refuse in
our own modules, a test finds in their source. A Redis connection that is collected while a workflow runs imports its
own modules; in the sandbox that takes longer than a workflow may."""

_NO_STORE = StorageDriverStoreContext(target=None)


@dataclass(frozen=True)
class Sandbox(SandboxedWorkflowRunner):
    """Makes sandboxed workflows that are never asked for the context of a payload."""

    restrictions: SandboxRestrictions = field(
        default_factory=lambda: SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _WithoutContexts(super().create_instance(det))


class _WithoutContexts(WorkflowInstance):
    """The worker asks a workflow four times a payload which command it belongs to: each a trip into the sandbox, and
    together a third of a replay. Our codec treats all payloads alike."""

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
