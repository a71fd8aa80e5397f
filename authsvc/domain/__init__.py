"""The policy: pure functions over plain values. No clock, no I/O, no logging."""
