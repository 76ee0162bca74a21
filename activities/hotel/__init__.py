"""What the hotel's own systems know of guests: a port and its adapters."""
