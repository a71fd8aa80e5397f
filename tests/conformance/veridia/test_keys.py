"""What keys look like, which classes there are, and how long they have been there."""

from __future__ import annotations

import itertools
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from authsvc_client.v1.key_service_pb2 import GetKeyRequest, KeyFilter, ListKeysRequest

from authsvc.config import load
from authsvc.domain.key_text import KeyTable
from tests.conformance.lines import line
from tests.conformance.veridia.test_credentials import VERDICT
from tests.support.builders import key_class
from tests.support.products import EXAMPLES, Product

BODY = "[0-9A-HJKMNP-TV-Z]{32}"
PUBLISHABLE = {"kind": "publishable", "origins": {"origins": ["https://yourapp.com"]}}
PAGE = [("origin", "https://yourapp.com")]
CLASSES: dict[str, dict[str, Any]] = {
    "qv_pub_": {**PUBLISHABLE, "environment": "live"},
    "qv_sec_": {"kind": "secret", "environment": "live"},
    "qv_pub_test_": {**PUBLISHABLE, "environment": "test"},
    "qv_sec_test_": {"kind": "secret", "environment": "test"},
}


def assert_class(product: Product, prefix: str) -> None:
    """A key of this class has its prefix and its record says the same; it works in its environment."""
    made = product.create_key(**CLASSES[prefix])
    environment = CLASSES[prefix]["environment"]
    answer = product.send("POST", "/v1/verify", made.secret, environment=environment, headers=PAGE)

    assert re.fullmatch(prefix + BODY, made.secret)
    assert made.key.hint == made.secret[: len(prefix) + 4]
    assert answer.status == 200
    assert answer.received["x-authsvc-kind"] == made.key.kind == CLASSES[prefix]["kind"]
    assert answer.received["x-authsvc-environment"] == made.key.environment == environment


@line("veridia", 8)
def test_publishable_keys_start_with_qv_pub(product: Product) -> None:
    """And a body of 32 characters follows."""
    assert_class(product, "qv_pub_")


@line("veridia", 9)
def test_secret_keys_start_with_qv_sec(product: Product) -> None:
    """They are what a key is when no kind is asked for."""
    assert_class(product, "qv_sec_")
    assert product.key().startswith("qv_sec_")


@line("veridia", 10)
def test_test_publishable_keys_start_with_qv_pub_test(product: Product) -> None:
    """The longer prefix, then the body."""
    assert_class(product, "qv_pub_test_")


@line("veridia", 11)
def test_test_secret_keys_start_with_qv_sec_test(product: Product) -> None:
    """The longer prefix, then the body."""
    assert_class(product, "qv_sec_test_")


@line("veridia", 12)
def test_the_longest_prefix_decides(product: Product) -> None:
    """What follows `test_` is a test key or nothing: the shorter prefix does not rescue it."""
    live, test = product.key(environment="live"), product.key(environment="test")
    crossed = [
        live.replace("qv_sec_", "qv_sec_test_"),
        test.replace("qv_sec_test_", "qv_sec_"),
        "qv_sec_test_" + "0" * 27,
    ]
    answers = [product.send(*VERDICT, key, environment=env) for key in crossed for env in ("live", "test")]
    keys = load(EXAMPLES / "veridia" / "authsvc.yaml").apis.by_name["veridia"].keys
    parsed = keys.parse(test)

    assert {(answer.status, answer.json()["error"]) for answer in answers} == {(401, "invalid_key")}
    assert parsed is not None
    assert (parsed.prefix, parsed.environment) == ("qv_sec_test_", "test")
    assert keys.parse("qv_sec_test_" + "0" * 27) is None


@line("veridia", 12)
def test_no_live_key_is_made_that_looks_like_a_test_key() -> None:
    """The alphabet has no `_`; and where a body could begin like a longer prefix, another is drawn."""
    keys = load(EXAMPLES / "veridia" / "authsvc.yaml").apis.by_name["veridia"].keys
    similar = KeyTable([key_class(prefix="k_"), key_class(prefix="k_test", environment="test")])
    draws = itertools.chain("test" + "0" * 28, itertools.cycle("abc"))

    assert not any("_" in one.alphabet.characters for one in keys.classes)
    assert similar.generate(similar.classes[0], lambda _: next(draws)).startswith("k_abc")


@line("veridia", 13)
def test_a_body_is_crockford_base32(product: Product) -> None:
    """32 of 32 characters: upper case without I, L, O and U; every one of them occurs, and no other is accepted."""
    organization = product.organization()
    bodies = [product.key(organization_id=organization).removeprefix("qv_sec_") for _ in range(10)]
    keys = load(EXAMPLES / "veridia" / "authsvc.yaml").apis.by_name["veridia"].keys
    drawn = [keys.generate(keys.classes[0], random.Random(seed).choice) for seed in range(50)]

    assert all(re.fullmatch(BODY, body) for body in bodies)
    assert len(set(bodies)) == len(bodies)
    assert len({character for key in drawn for character in key.removeprefix("qv_sec_")}) == 32
    assert [keys.parse("qv_sec_" + "0" * 31 + wrong) for wrong in "ILOUa-_"] == [None] * 7
    assert keys.parse("qv_pub_FJJWXMA2RN2XPRDK6YJX4KTVD0XSQHW9") is not None


@line("veridia", 14)
def test_four_classes_live_side_by_side(product: Product) -> None:
    """One tenant holds a key of each class, and each works in its own place at the same time."""
    tenant = product.organization()
    made = {prefix: product.create_key(organization_id=tenant, **fields) for prefix, fields in CLASSES.items()}
    answers = [
        product.send("POST", "/v1/verify", one.secret, environment=one.key.environment, headers=PAGE)
        for one in made.values()
    ]
    told = [(a.received["x-authsvc-kind"], a.received["x-authsvc-environment"]) for a in answers]

    assert told == [("publishable", "live"), ("secret", "live"), ("publishable", "test"), ("secret", "test")]
    assert {answer.received["x-authsvc-organization"] for answer in answers} == {tenant}


@line("veridia", 36)
def test_the_documented_sample_works(product: Product) -> None:
    """`GET /v1/verify/vf_…` with a bearer secret, as curl, JavaScript, Python and PHP send it."""
    key = product.key()
    agents = ("curl/8.5.0", "node", "python-requests/2.32.3", "")
    answers = [product.send(*VERDICT, key, headers=[("user-agent", agent), ("accept", "*/*")]) for agent in agents]

    assert [answer.status for answer in answers] == [200] * 4
    assert not [answer for answer in answers if key in answer.body.decode()]


@line("veridia", 37)
def test_the_age_of_a_key_can_be_asked_for(product: Product) -> None:
    """When it was made is in its record, to the second, and lists begin with the oldest."""
    before, first, after = datetime.now(UTC), product.create_key(), datetime.now(UTC)
    second = product.create_key(organization_id=first.key.organization_id)
    read = product.call(product.stack.keys.GetKey, GetKeyRequest(id=first.key.id)).key
    where = KeyFilter(organization_id=first.key.organization_id)
    listed = product.call(product.stack.keys.ListKeys, ListKeysRequest(filter=where)).keys
    slack = timedelta(seconds=1)  # between the database's clock and ours

    assert before - slack <= read.created_at.ToDatetime(UTC) <= after + slack
    assert [key.id for key in listed] == [first.key.id, second.key.id]
    assert listed[0].created_at == read.created_at
