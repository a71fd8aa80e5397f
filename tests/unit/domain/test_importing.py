"""Records of another system: what may be stored of them, and the cause told for the rest."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain import importing
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import EmptyScopes
from authsvc.domain.candidates import Candidates
from authsvc.domain.errors import AuthsvcError, InvalidInputError
from authsvc.domain.hashing import ForeignPepper, PepperSet
from authsvc.domain.importing import Intake
from authsvc.domain.key_text import Alphabet, Checksum, KeyTable
from authsvc.domain.keys import Assurance
from tests.support.administration import World, shop
from tests.support.builders import NOW, api, key_class, kind
from tests.support.fakes import PEPPERS
from tests.support.imports import FOREIGN, foreign_key, old_text

CLASS = key_class(
    prefix="old_",
    alphabet=Alphabet.VISIBLE,
    min_length=8,
    max_length=64,
    checksum=Checksum.NONE,
    imports=("sha256", "hmac-sha256:old"),
)
PRODUCT = shop(keys=KeyTable([key_class(), CLASS]))
MANAGED = shop(
    keys=PRODUCT.keys,
    scopes=PRODUCT.scopes | dict.fromkeys(("keys:write", "keys:read"), PRODUCT.scopes["things:read"]),
    empty_scopes=EmptyScopes.FULL_ACCESS,
    full_access_manages_keys=True,
)
UNSURE = 90 * 86_400_000_000  # microseconds
KNOWN = PepperSet(PEPPERS.current, [], foreign={"old": ForeignPepper("old", FOREIGN)})


def intake(
    product: Any = PRODUCT, caller: Administrator | None = None, of_digests: Assurance = Assurance.DECLARED
) -> Intake:
    """Hold records to a product, for an operator who may do everything."""
    numbers = itertools.count(1)
    return Intake(
        caller or World().boundless(),
        product,
        Candidates(KNOWN, [product]),
        NOW,
        lambda: f"{next(numbers):024}00",
        of_digests,
    )


def cause(record: Any, product: Any = PRODUCT, of_digests: Assurance = Assurance.DECLARED) -> str:
    """Return why a record is rejected."""
    with pytest.raises(AuthsvcError) as refused:
        intake(product, None, of_digests).admit(record)
    return str(refused.value)


def test_a_digest_is_stored_under_our_pepper() -> None:
    """It is found by the text it was made of, takes kind and environment of its class, and shows nothing."""
    for algorithm in ("sha256", "hmac-sha256:old"):
        found = intake().admit(foreign_key(1, algorithm, scopes=("things:read",)))

        assert found.digest in Candidates(KNOWN, [PRODUCT]).others(old_text(1))
        assert (f"hmac({algorithm})", "p2", "old_") == (found.algorithm, found.pepper_id, found.hint)
        assert ("secret", "live", ("things:read",)) == (found.terms.kind, found.terms.environment, found.terms.scopes)
        assert ("old-1", "old-1") == (found.external_id, found.name)


def test_a_text_is_stored_as_our_own_keys_are() -> None:
    """And looked for under every form, in which an earlier import may have brought it."""
    found = intake().admit(foreign_key(1, "", name="ci"))

    assert (PEPPERS.current.digest(old_text(1)), "hmac", "ci") == (found.digest, found.algorithm, found.name)
    assert found.digests == Candidates(KNOWN, [PRODUCT]).all(old_text(1))
    assert old_text(1)[:8] == found.hint


def test_a_short_text_shows_its_prefix_only() -> None:
    """Four of eight characters would be half of the secret."""
    assert intake().admit(foreign_key(1, "", text="old_12345678")).hint == "old_"


def test_ids_are_in_a_row_and_unique() -> None:
    """However many there are."""
    held = intake()
    ids = [held.admit(foreign_key(number)).id for number in range(3000)]

    assert sorted(set(ids)) == ids


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"external_id": ""}, "external_id: 1 to 128", id="no-id"),
        pytest.param({"external_id": "a b"}, "external_id: 1 to 128", id="blank-in-id"),
        pytest.param({"external_id": "x" * 129}, "external_id: 1 to 128", id="long-id"),
        pytest.param({"digest": ""}, "digest: give a digest", id="nothing"),
        pytest.param({"text": old_text(1)}, "secret: stands in place of digest", id="both"),
        pytest.param({"algorithm": "MD5"}, "alg: md5 is broken", id="md5"),
        pytest.param({"algorithm": "sha-1"}, "alg: sha-1 is broken", id="sha1"),
        pytest.param({"algorithm": "murmur128"}, "alg: murmur128 is a checksum", id="murmur"),
        pytest.param({"algorithm": "crc32"}, "alg: crc32 is a checksum", id="crc"),
        pytest.param({"algorithm": "plaintext"}, "alg: plaintext is no digest: give the key itself", id="plaintext"),
        pytest.param({"algorithm": "bcrypt"}, "alg: bcrypt is a salted slow hash", id="slow"),
        pytest.param({"algorithm": "sha512"}, "imported as hmac-sha256:old, sha256", id="not-enabled"),
        pytest.param({"algorithm": ""}, "imported as hmac-sha256:old, sha256", id="no-algorithm"),
        pytest.param({"prefix": "sk_live_"}, "imported as secret only", id="class-without-imports"),
        pytest.param({"prefix": "foo_"}, "prefix_class: the API has no keys with this prefix", id="prefix"),
        pytest.param({"encoding": "utf-8"}, "encoding: one of hex, base64, base64url", id="encoding"),
        pytest.param({"digest": "00"}, "digest: 32 bytes written in hex", id="short-digest"),
        pytest.param({"digest": "zz"}, "digest: 32 bytes written in hex", id="no-hex"),
        pytest.param({"kind": "publishable"}, "kind: keys with this prefix are of kind secret", id="kind"),
        pytest.param({"environment": "test"}, "environment: keys with this prefix are for live", id="environment"),
        pytest.param({"scopes": ("other:read",)}, "scopes[0]: shop has no scope", id="scope"),
        pytest.param({"full_access": True}, "full_access: the API does not permit it", id="full-access"),
        pytest.param({"expires_at": NOW}, "expires_at: must lie ahead", id="expired"),
        pytest.param({"organization_id": "acme"}, "organization_id: an organization's id is", id="owner"),
        pytest.param({"name": "a\nb"}, "name: no control characters", id="name"),
    ],
)
def test_what_is_rejected_and_why(changes: dict[str, Any], told: str) -> None:
    """One sentence that names the field, without any part of the key."""
    record = replace(foreign_key(1), **changes)

    found = cause(record)
    assert told in found
    assert found.isascii()
    assert not any(secret and len(secret) > 4 and secret in found for secret in (record.digest, record.text))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"text": "old_1"}, "secret: no key of shop looks like this", id="short"),
        pytest.param({"text": "old_" + "x" * 200}, "secret: no key of shop looks like this", id="long"),
        pytest.param({"text": "sk_live_" + "0" * 38}, "secret: no key of shop looks like this", id="checksum"),
        pytest.param({"prefix": "sk_live_"}, "prefix_class: is not the prefix of the secret", id="prefix"),
    ],
)
def test_texts_that_are_rejected(changes: dict[str, Any], told: str) -> None:
    """A text must be a key that a request could carry."""
    assert told in cause(foreign_key(1, "", **changes))


def test_a_kind_that_must_end() -> None:
    """What the configuration asks of new keys holds for imported ones."""
    product = shop(keys=PRODUCT.keys, kinds={"secret": kind(expiry_required=True)})

    assert "expires_at: keys of kind secret need an end" in cause(foreign_key(1), product)


@pytest.mark.parametrize("text", ["", "A", "a b", "x" * 65, "é"])
def test_names_of_sources(text: str) -> None:
    """They are told everywhere: plain and short."""
    with pytest.raises(InvalidInputError, match=r"header\.source"):
        importing.source(text)
    assert importing.source("legacy-2.0") == "legacy-2.0"


def test_a_record_shows_no_secret() -> None:
    """Whatever prints it."""
    record = foreign_key(1, text=old_text(1))

    assert record.digest not in repr(record)
    assert record.text not in repr(record)


def test_who_may_import_only_brings_no_key_that_manages() -> None:
    """A key with `keys:write` is granted by who holds it: else importing would lead to everything."""
    managing = api().scopes | {name: api().scopes["things:read"] for name in ("keys:write", "keys:read")}
    product = shop(keys=PRODUCT.keys, scopes=managing)
    administration = World().boundless()
    importer = Administrator(
        api=administration.api,
        record=_with_scopes(administration, ("keys:import", "keys:read")),
        address="",
        as_of=None,
    )

    assert intake(product, importer).admit(foreign_key(1, scopes=("keys:read",)))
    with pytest.raises(AuthsvcError, match="scopes: keys:write is granted only by who holds it"):
        intake(product, importer).admit(foreign_key(1, scopes=("keys:write",)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({}, "expires_at: at most 90 days after the import", id="no-end"),
        pytest.param({"expires_at": NOW + UNSURE + 1}, "expires_at: at most 90 days after the import", id="late-end"),
        pytest.param({"scopes": ("keys:write",)}, "scopes: not keys:write", id="managing"),
        pytest.param({"full_access": True}, "full_access: not where it includes keys:write", id="managing-by-all"),
    ],
)
def test_a_digest_of_which_nothing_is_known(changes: dict[str, Any], told: str) -> None:
    """It may be of a text that is easy to guess: such a key ends soon and manages nothing; declared, it may."""
    record = foreign_key(1, **{"expires_at": NOW + UNSURE, **changes})

    assert told in cause(record if changes else foreign_key(1), MANAGED, Assurance.UNKNOWN)
    assert Assurance.DECLARED is intake(MANAGED).admit(record).assurance


def test_within_its_bounds_it_is_imported_and_marked() -> None:
    """So that a later change is held to the same; a text that was seen needs no mark."""
    brief = foreign_key(1, expires_at=NOW + UNSURE, scopes=("things:read",))

    assert Assurance.UNKNOWN is intake(MANAGED, None, Assurance.UNKNOWN).admit(brief).assurance
    assert intake(MANAGED, None, Assurance.UNKNOWN).admit(foreign_key(2, "", scopes=("keys:write",))).assurance is None


def _with_scopes(administrator: Administrator, scopes: tuple[str, ...]) -> Any:
    return replace(administrator.record, scopes=scopes, full_access=False)
