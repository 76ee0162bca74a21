"""The one-command stack: Temporal, PostgreSQL, Redis, api and worker on one machine."""

from embedded.postgres import PostgresServer
from embedded.process import StackError
from embedded.redis import RedisServer
from embedded.temporal import TemporalServer

__all__ = ["PostgresServer", "RedisServer", "StackError", "TemporalServer"]
