"""How much the product costs over bare Temporal: both measured in one run, on the same server, by the same client."""
