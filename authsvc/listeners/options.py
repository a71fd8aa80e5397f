"""The gRPC server options of every listener. Left alone, most of these are unbounded."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
STREAMS = 256  # at once, of one connection
METADATA = 16 * KIB  # of one call, beyond which it is refused
ChannelOption = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What differs between listeners."""

    receive_bytes: int
    send_bytes: int
    rpcs: int  # at once, after which grpcio answers RESOURCE_EXHAUSTED


# Envoy's own bound on a request's headers is 60 KiB, and a Check carries no body. Our cap on waiting
# calls answers first: grpcio's refusal is an RPC error, which `failure_mode_allow` turns into an allow.
# A call also counts for as long as its message is not whole, or its answer not taken: eight connections
# of a peer that reads nothing would use up 2,048. As it is it takes sixty-four, and 16 KiB for each call.
DATA = Bounds(receive_bytes=256 * KIB, send_bytes=256 * KIB, rpcs=16_384)
ADMIN = Bounds(receive_bytes=2048 * KIB, send_bytes=4096 * KIB, rpcs=256)


def channel_options(bounds: Bounds) -> list[ChannelOption]:
    """Return the options for `grpc.aio.server`."""
    return [
        ("grpc.max_receive_message_length", bounds.receive_bytes),
        ("grpc.max_send_message_length", bounds.send_bytes),
        ("grpc.max_metadata_size", 8 * KIB),  # above it requests are refused at random
        ("grpc.absolute_max_metadata_size", METADATA),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.max_allowed_incoming_connections", 1000),
        ("grpc.server_handshake_timeout_ms", 5_000),
        ("grpc.server_max_unrequested_time_in_server", 2),  # seconds; sheds calls that queued too long
        ("grpc.max_connection_age_ms", 300_000),  # so that Envoy spreads again after a deployment
        ("grpc.max_connection_age_grace_ms", 30_000),
        ("grpc.max_connection_idle_ms", 900_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.http2.max_frame_size", 16_384),
        ("grpc.http2.hpack_table_size.decoder", 4096),
        ("grpc.compression_enabled_algorithms_bitset", 1),  # identity only: nothing can be inflated
        ("grpc.so_reuseport", 0),  # a second process must not silently share the port
        ("grpc.enable_channelz", 0),
    ]
