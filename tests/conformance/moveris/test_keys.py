"""How keys are made, shown, kept several at once, and watched."""

from __future__ import annotations

from collections import Counter

from authsvc_client.v1.key_service_pb2 import GetKeyRequest, KeyFilter, ListKeysRequest, RevokeKeyRequest

from authsvc.config import peppers
from tests.conformance.lines import line
from tests.support.products import Product


@line("moveris", 27)
def test_a_key_is_made_with_a_name_and_scopes(product: Product) -> None:
    """The form's fields: a descriptive name, scopes or none; the key to copy comes back and works."""
    scoped = product.create_key(name="Production detection key", scopes=["detection:write"])
    free = product.create_key(name="Everything", scopes=[])
    answers = [product.send("POST", "/api/v1/fast-check", made.secret) for made in (scoped, free)]

    assert (scoped.key.name, list(scoped.key.scopes)) == ("Production detection key", ["detection:write"])
    assert (free.key.name, list(free.key.scopes), free.key.full_access) == ("Everything", [], True)
    assert [answer.status for answer in answers] == [200, 200]


@line("moveris", 28)
def test_the_plaintext_is_shown_once(product: Product) -> None:
    """Reading and listing tell a hint, and the database does not hold the key at all."""
    made = product.create_key()
    read = product.call(product.stack.keys.GetKey, GetKeyRequest(id=made.key.id))
    where = KeyFilter(organization_id=made.key.organization_id)
    listed = product.call(product.stack.keys.ListKeys, ListKeysRequest(filter=where))
    stored = product.sql("SELECT * FROM keys")

    assert len(made.secret) >= 32
    assert [key.id for key in listed.keys] == [made.key.id]
    assert read.key.hint == made.secret[:4]
    assert made.secret not in f"{read} {listed} {stored}"
    assert made.secret.encode() not in b" ".join(bytes(v) for row in stored for v in row if isinstance(v, bytes))


@line("moveris", 29)
def test_several_keys_are_alive_at_once(product: Product) -> None:
    """Rotation as documented: make a new key, use both, revoke the old one; the new one stays."""
    old = product.create_key()
    new = product.create_key(organization_id=old.key.organization_id)
    both = [product.send("GET", "/api/v1/credits", key.secret).status for key in (old, new)]
    product.call(product.stack.keys.RevokeKey, RevokeKeyRequest(id=old.key.id))
    after = [product.send("GET", "/api/v1/credits", key.secret).status for key in (old, new)]

    assert (both, after) == ([200, 200], [401, 200])


@line("moveris", 30)
def test_keys_are_opaque(product: Product) -> None:
    """A new key has no prefix, finding it needs none, and a hundred have nothing in common."""
    keys = [product.key(organization_id=organization) for organization in [product.organization()] for _ in range(40)]

    assert all(key.isalnum() and key.isascii() for key in keys)
    assert all(len({key[at] for key in keys}) > 1 for at in range(len(keys[0])))
    assert product.send("GET", "/api/v1/credits", keys[0]).status == 200


@line("moveris", 31)
def test_usage_can_be_observed_for_each_key(product: Product) -> None:
    """The upstream is told the key's id with every request, and a client cannot say another's."""
    target = f"/api/v1/usage?{product.database}"
    busy = product.create_key()
    calm = product.create_key(organization_id=busy.key.organization_id)
    for key, times in ((busy, 7), (calm, 2)):
        for _ in range(times):
            product.send("GET", target, key.secret, headers=[("x-authsvc-key-id", "key_forged")])
    told = Counter(one.headers["x-authsvc-key-id"] for one in product.reached(target))

    assert told == {busy.key.id: 7, calm.key.id: 2}


@line("moveris", 30)
def test_keys_from_elsewhere_are_opaque_too(product: Product) -> None:
    """Any text that a header can hold may be a key: one that was made before us is found under its digest."""
    made, old = product.create_key(), "your-old-api-key/2019=" + product.database
    digest = peppers.read(product.stack.home / "peppers.yaml").current.digest(old).hex()
    literal = f"X'{digest}'" if product.database == "sqlite" else rf"'\x{digest}'::bytea"
    product.sql(f"UPDATE keys SET digest = {literal} WHERE id = '{made.key.id}'")
    answer = product.send("GET", "/api/v1/credits", old)

    assert (answer.status, answer.received["x-authsvc-key-id"]) == (200, made.key.id)
    assert product.send("GET", "/api/v1/credits", old[:-1]).status == 401
