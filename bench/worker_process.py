"""The product's own worker process, with an engine that answers without delay."""

import uvloop

import worker
from bench.zero import ZeroDelayEngine
from contracts.names import TaskQueue
from settings import load_settings

if __name__ == "__main__":
    settings = load_settings()
    engine = ZeroDelayEngine()
    uvloop.run(worker.run(settings, tuple(TaskQueue), engine))
