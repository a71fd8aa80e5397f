"""Python client of the authsvc API: generated messages and gRPC stubs, in `authsvc_client.v1`."""
