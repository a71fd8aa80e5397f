"""Rotation with a grace of 15 minutes, and revocation without any."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from authsvc_client.v1.key_pb2 import KEY_STATUS_ROTATING
from authsvc_client.v1.key_service_pb2 import GetKeyRequest, RevokeKeyRequest, RotateKeyRequest, RotateKeyResponse
from google.protobuf.duration_pb2 import Duration

from authsvc.config import load
from tests.conformance.lines import line
from tests.conformance.veridia.test_credentials import UNKNOWN, VERDICT, told
from tests.conformance.veridia.test_keys import PAGE, PUBLISHABLE
from tests.support.builders import NOW, record
from tests.support.doors import ALLOWED, INVALID_KEY, door, new_key
from tests.support.products import EXAMPLES, Product

MILLISECOND = 1_000
GRACE = 900 * 1_000 * MILLISECOND  # 15 minutes


def rotate(product: Product, key_id: str, **fields: Any) -> RotateKeyResponse:
    """Rotate a key."""
    answer: RotateKeyResponse = product.call(product.stack.keys.RotateKey, RotateKeyRequest(id=key_id, **fields))
    return answer


@line("veridia", 29)
@pytest.mark.parametrize("kind", [{}, PUBLISHABLE], ids=["secret", "publishable"])
def test_a_key_can_be_rotated_at_any_time(product: Product, kind: dict[str, Any]) -> None:
    """The new key can do what the old one can, from the same pages, and in turn be rotated; both work meanwhile."""
    made = product.create_key(**kind)
    second = rotate(product, made.key.id)
    third = rotate(product, second.key.id)
    keys = (made.secret, second.secret, third.secret)

    assert [product.send("POST", "/v1/verify", key, headers=PAGE).status for key in keys] == [200] * 3
    assert second.key.scopes == made.key.scopes
    assert second.key.origins == made.key.origins
    assert (second.key.kind, second.key.environment) == (made.key.kind, made.key.environment)
    assert (second.key.predecessor_id, second.predecessor.successor_id) == (made.key.id, second.key.id)


@line("veridia", 30)
def test_the_new_key_is_shown_once(product: Product) -> None:
    """The answer to the rotation has it; the record never does."""
    made = product.create_key()
    rotated = rotate(product, made.key.id)
    read = product.call(product.stack.keys.GetKey, GetKeyRequest(id=rotated.key.id))

    assert rotated.secret.startswith("qv_sec_")
    assert rotated.secret != made.secret
    assert rotated.secret not in str(read)
    assert rotated.key.hint == rotated.secret[:11]


@line("veridia", 31)
def test_the_old_key_works_for_fifteen_minutes(product: Product) -> None:
    """From the instant of the rotation, to the microsecond; more cannot be asked for, less can."""
    made = product.create_key()
    rotated = rotate(product, made.key.id)
    began = rotated.key.created_at.ToMicroseconds()
    ends = rotated.predecessor.grace_ends_at.ToMicroseconds()
    with pytest.raises(grpc.RpcError) as refused:
        rotate(product, product.create_key().key.id, grace=Duration(seconds=901))

    assert ends - began == GRACE
    assert rotated.predecessor.status == KEY_STATUS_ROTATING
    assert product.send(*VERDICT, made.secret).status == 200
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@line("veridia", 31, 32)
async def test_the_boundary_is_exact_to_the_millisecond() -> None:
    """With the clock in hand: 14:59, a millisecond before the end, at the end, 15:01."""
    (api,) = load(EXAMPLES / "veridia" / "authsvc.yaml").apis.by_name.values()
    key = new_key(api.keys.classes[0])
    stored = record(api="veridia", scopes=("verdicts:read",), grace_ends_at=NOW + api.grace)
    asked, seen = door({key: stored}, api), []
    for micros in (0, 899_000 * MILLISECOND, GRACE - MILLISECOND, GRACE, GRACE + MILLISECOND, 901_000 * MILLISECOND):
        asked.authorize._now = lambda micros=micros: NOW + micros
        extensions = {"api": "veridia", "environment": "live"}
        seen.append((await asked.ask(key=key, path="/v1/verify/vf_1", extensions=extensions)).outcome)

    assert api.grace == api.max_grace == GRACE
    assert seen == [ALLOWED] * 3 + [INVALID_KEY] * 3


@line("veridia", 32)
def test_after_its_grace_the_old_key_is_dead_for_good(product: Product) -> None:
    """With a short grace, through Envoy: first both work, then one; told as a key that never was."""
    made = product.create_key()
    rotated = rotate(product, made.key.id, grace=Duration(seconds=1))
    during = [product.send(*VERDICT, key).status for key in (made.secret, rotated.secret)]
    time.sleep(1.1)
    after = [product.send(*VERDICT, key) for key in (made.secret, rotated.secret)]
    with pytest.raises(grpc.RpcError) as refused:
        rotate(product, made.key.id)

    assert during == [200, 200]
    assert [answer.status for answer in after] == [401, 200]
    assert told(after[0]) == told(product.send(*VERDICT, UNKNOWN))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@line("veridia", 33)
def test_revoking_kills_at_once(product: Product) -> None:
    """The next request is refused, though the one before was answered from memory."""
    made = product.create_key()
    before = [product.send(*VERDICT, made.secret).status for _ in range(2)]
    product.call(product.stack.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, reason="leaked"))
    answer = product.send(*VERDICT, made.secret)

    assert before == [200, 200]
    assert (answer.status, answer.json()["error"]) == (401, "invalid_key")


@line("veridia", 33)
def test_revoking_kills_in_a_grace_too(product: Product) -> None:
    """The old key at once, the new one only when it is meant as well."""
    made = product.create_key()
    rotated = rotate(product, made.key.id)
    statuses = [product.send(*VERDICT, key).status for key in (made.secret, rotated.secret)]
    product.call(product.stack.keys.RevokeKey, RevokeKeyRequest(id=made.key.id))
    after = [product.send(*VERDICT, key).status for key in (made.secret, rotated.secret)]
    product.call(product.stack.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, include_successor=True))

    assert (statuses, after) == ([200, 200], [401, 200])
    assert product.send(*VERDICT, rotated.secret).status == 401
