"""Generated from our wire-compatible subset of Envoy's ext_authz messages; private to the server."""
