"""Programs and servers built from the parts: the command line."""
