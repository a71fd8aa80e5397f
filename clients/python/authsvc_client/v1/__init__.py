"""Version 1 of the API: `<file>_pb2` holds a .proto file's messages, `<file>_pb2_grpc` the stubs of its service."""
