"""The hotel's own system, which knows guests' stays: the interface and its adapters."""
