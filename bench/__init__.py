"""Measures what the product costs compared with bare Temporal, in one run, on one server and with one client."""
