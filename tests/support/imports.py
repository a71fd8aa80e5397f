"""Keys of another system: their texts, the digests that it stored, and the records of an import."""

from __future__ import annotations

import hashlib
import hmac
import random
from dataclasses import replace
from typing import Any

from authsvc.domain.grants import Terms
from authsvc.domain.importing import ForeignKey, Import
from authsvc.domain.keys import Assurance
from authsvc.ports import ImportBatch
from tests.support.stored import digest, key_id, organization_id

FOREIGN = b"the secret of the old system, 32"
ALGORITHMS = ("sha256", "hmac-sha256:old")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def old_text(number: int, prefix: str = "old_") -> str:
    """Return the text of a key of the old system."""
    draw = random.Random(number)
    return prefix + "".join(draw.choice(LETTERS) for _ in range(32))


def old_digest(text: str, algorithm: str) -> str:
    """Return what the old system stored of a text, in hex."""
    name, _, keyed = algorithm.removeprefix("hmac-").partition(":")
    if keyed:
        return hmac.digest(FOREIGN, text.encode(), name).hex()
    return hashlib.new(name, text.encode()).hexdigest()


def foreign_key(number: int = 1, algorithm: str = "sha256", **changes: Any) -> ForeignKey:
    """Give the record of a key; `algorithm` empty: of its text."""
    text = old_text(number)
    plain = ForeignKey(
        line=number,
        external_id=f"old-{number}",
        algorithm=algorithm,
        encoding="hex" if algorithm else "",
        digest=old_digest(text, algorithm) if algorithm else "",
        text="" if algorithm else text,
        prefix="old_",
        organization_id=organization_id(1),
        kind="",
        environment="",
        scopes=(),
        full_access=False,
        expires_at=None,
        name="",
    )
    return replace(plain, **changes)


def import_of(number: int, **changes: Any) -> Import:
    """Give a key to store."""
    terms = Terms(
        kind="secret",
        environment=None,
        scopes=("a:read",),
        full_access=False,
        origins=None,
        networks=None,
        limits=(),
        not_before=None,
        expires_at=changes.pop("expires_at", None),
    )
    plain = Import(
        external_id=f"old-{number}",
        id=key_id(number),
        digest=digest(number),
        digests=(digest(number), digest(-number)),
        pepper_id="p1",
        algorithm="hmac(sha256)",
        assurance=Assurance.DECLARED,
        organization_id=organization_id(1),
        terms=terms,
        name=f"old-{number}",
        hint="old_",
    )
    return replace(plain, **changes)


def batch_of(*keys: Import, source: str = "legacy") -> ImportBatch:
    """Give a batch of keys."""
    return ImportBatch(source=source, api="verifa", assurance=Assurance.DECLARED, keys=keys, digest="d" * 64)
