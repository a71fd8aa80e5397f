"""Bytes in, bytes out: connections, limits, deadlines and drain. No policy, no translation."""
