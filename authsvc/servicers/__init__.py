"""Wire to values and back: one module a service."""
