"""Live updates: sockets, and the property logs they follow."""
