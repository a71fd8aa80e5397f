"""`authsvc demo`: the service, a real Envoy and a sample upstream, with the curl lines to try."""
