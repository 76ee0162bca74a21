"""Live: sockets, and the property logs that they follow."""
