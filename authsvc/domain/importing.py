"""
Records of another system → keys that may be stored, or why not.

A record brings the text of a key or the digest that the other system stored. Nothing here asks a
database; whether a record is there already is the store's to tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from authsvc.domain import assurance, candidates, inputs, issuing
from authsvc.domain.administrator import MANAGEMENT, Administrator
from authsvc.domain.api import Api
from authsvc.domain.candidates import Candidates
from authsvc.domain.errors import InvalidInputError, PermissionDeniedError
from authsvc.domain.grants import Terms
from authsvc.domain.hashing import PLAIN, Digest
from authsvc.domain.key_text import MAX_TEXT_LENGTH, Alphabet, KeyClass, hint
from authsvc.domain.keys import Assurance, Micros

MAX_BATCH = 1000  # records

_SOURCE = re.compile(r"[a-z0-9_.-]{1,64}")
_EXTERNAL_ID = re.compile(r"[!-~]{1,128}")
_LAST_TWO = tuple(map("".join, product(Alphabet.CROCKFORD32.characters, repeat=2)))
_LONG_ENOUGH = 20  # characters of a body, four of which may be shown

_CHECKSUM = "is a checksum, made to be fast and easy to collide: anybody can make a key that fits; issue new keys"
_NO_DIGEST = "is no digest: give the key itself as `secret`, which is hashed on arrival and never stored"
_SLOW = "is a salted slow hash, which cannot be looked up by a key's text: issue new keys"
_REFUSED: Mapping[str, str] = {
    "md5": "is broken: texts that share a digest are made at will; issue new keys",
    "sha1": "is broken: texts that share a digest can be made; issue new keys",
    **dict.fromkeys(("murmur", "murmur32", "murmur64", "murmur128", "crc", "crc32", "adler32"), _CHECKSUM),
    **dict.fromkeys(("plain", "plaintext", "none", "text"), _NO_DIGEST),
    **dict.fromkeys(("argon2", "argon2i", "argon2id", "bcrypt", "scrypt", "pbkdf2"), _SLOW),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """One record as it was received; `line` is where it stands in its file."""

    line: int
    external_id: str
    algorithm: str
    encoding: str
    digest: str = field(repr=False)
    text: str = field(repr=False)
    prefix: str
    organization_id: str
    kind: str
    environment: str
    scopes: tuple[str, ...]
    full_access: bool
    expires_at: Micros | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A key that may be stored. `digests` are all under which one of the same text may be there already."""

    external_id: str
    id: str
    digest: Digest
    digests: tuple[Digest, ...]
    pepper_id: str
    algorithm: str
    assurance: Assurance | None  # None: the text was seen
    organization_id: str
    terms: Terms
    name: str
    hint: str


class Intake:
    """What the records of one import are held to. `now` is the instant of its beginning."""

    def __init__(
        self,
        caller: Administrator,
        api: Api,
        known: Candidates,
        now: Micros,
        new_id: Callable[[], str],
        of_digests: Assurance,
    ) -> None:
        self._caller = caller
        self._api = api
        self._of_digests = of_digests
        self._candidates = known
        self._now = now
        self._ids = _ids(new_id)
        self._grants: dict[tuple[str, tuple[str, ...], bool], tuple[str, ...]] = {}

    def admit(self, record: ForeignKey) -> Import:
        """Return what is to be stored. Raises `InvalidInputError` or `PermissionDeniedError`, which name the field."""
        if _EXTERNAL_ID.fullmatch(record.external_id) is None:
            raise InvalidInputError("external_id: 1 to 128 characters of visible ASCII")
        pepper = self._candidates.peppers.current
        if record.text:
            key_class, digests, algorithm, sure = *self._text(record), PLAIN, None
        else:
            key_class, digests = self._digest(record)
            algorithm, sure = candidates.form(record.algorithm), self._of_digests
        return Import(
            external_id=record.external_id,
            id=next(self._ids),
            digest=digests[0],
            digests=digests,
            pepper_id=pepper.id,
            algorithm=algorithm,
            assurance=sure,
            organization_id=inputs.organization_id(record.organization_id),
            terms=self._terms(record, key_class, sure),
            name=inputs.name(record.name or record.external_id),
            hint=_hint(key_class, record.text),
        )

    def _text(self, record: ForeignKey) -> tuple[KeyClass, tuple[Digest, ...]]:
        if record.digest or record.algorithm or record.encoding:
            raise InvalidInputError("secret: stands in place of digest, alg and encoding")
        key_class = self._api.keys.parse(record.text) if len(record.text) <= MAX_TEXT_LENGTH else None
        if key_class is None:
            raise InvalidInputError(f"secret: no key of {self._api.name} looks like this")
        if record.prefix and record.prefix != key_class.prefix:
            raise InvalidInputError("prefix_class: is not the prefix of the secret")
        return key_class, self._candidates.all(record.text)

    def _digest(self, record: ForeignKey) -> tuple[KeyClass, tuple[Digest, ...]]:
        algorithm = record.algorithm
        if not record.digest:
            raise InvalidInputError("digest: give a digest with alg and encoding, or a secret")
        if (why := _REFUSED.get(algorithm.lower().replace("-", "").replace("_", ""))) is not None:
            raise InvalidInputError(f"alg: {algorithm.lower()} {why}")
        classes = [row for row in self._api.keys.classes if row.prefix == record.prefix]
        if not classes:
            raise InvalidInputError("prefix_class: the API has no keys with this prefix")
        key_class = next((row for row in classes if algorithm in row.imports), None)
        if key_class is None:
            enabled = sorted({name for row in classes for name in row.imports})
            raise InvalidInputError(f"alg: keys with this prefix are imported as {', '.join(enabled) or 'secret only'}")
        if record.encoding not in candidates.ENCODINGS:
            raise InvalidInputError(f"encoding: one of {', '.join(candidates.ENCODINGS)}")
        raw = candidates.decode(record.digest, record.encoding)
        if raw is None or len(raw) != candidates.digest_size(algorithm):
            size = candidates.digest_size(algorithm)
            raise InvalidInputError(f"digest: {size} bytes written in {record.encoding} are expected")
        return key_class, self._candidates.of_digest(algorithm, raw)

    def _terms(self, record: ForeignKey, key_class: KeyClass, sure: Assurance | None) -> Terms:
        if record.kind not in ("", key_class.kind):
            raise InvalidInputError(f"kind: keys with this prefix are of kind {key_class.kind}")
        if record.environment not in ("", key_class.environment):
            raise InvalidInputError(f"environment: keys with this prefix are for {key_class.environment or 'none'}")
        kind = self._api.kinds[key_class.kind]
        terms = Terms(
            kind=kind.name,
            environment=key_class.environment,
            scopes=self._granted(record, kind.name),
            full_access=record.full_access,
            origins=issuing.origins(None, kind),
            networks=None,
            limits=(),
            not_before=None,
            expires_at=issuing.expiry(record.expires_at, None, kind, now=self._now, born=self._now),
        )
        if sure is Assurance.UNKNOWN:
            assurance.hold(terms, self._api, self._now)
        return terms

    def _granted(self, record: ForeignKey, kind: str) -> tuple[str, ...]:
        # Most records of a file ask for one of few sets.
        asked = (kind, record.scopes, record.full_access)
        granted = self._grants.get(asked)
        if granted is None:
            granted = self._grant(record, kind)
            if len(self._grants) < MAX_BATCH:
                self._grants[asked] = granted
        return granted

    def _grant(self, record: ForeignKey, kind: str) -> tuple[str, ...]:
        api = self._api
        if record.full_access:
            issuing.permit_full_access(api.kinds[kind], api)
        scopes = issuing.scopes(record.scopes, api.kinds[kind], api)
        manages = MANAGEMENT.intersection(scopes)
        if record.full_access and api.full_access_manages_keys:
            manages = MANAGEMENT
        # Else who may import only could bring a key of its own that manages others.
        for scope in sorted(manages):
            if not self._caller.holds(scope):
                raise PermissionDeniedError(f"scopes: {scope} is granted only by who holds it")
        return scopes


def _ids(new_id: Callable[[], str]) -> Iterator[str]:
    # Drawing one takes longer than the rest; and ids in a row lie side by side in an index.
    while True:
        stem = new_id()[:-2]
        for last in _LAST_TWO:
            yield f"key_{stem}{last}"


def source(text: str) -> str:
    """Return the name of the system that keys come from."""
    if _SOURCE.fullmatch(text) is None:
        raise InvalidInputError("header.source: 1 to 64 of a-z, 0-9, _, . and -")
    return text


def _hint(key_class: KeyClass, text: str) -> str:
    # Four characters of a short key made elsewhere would be too much of it.
    if not text or len(text) - len(key_class.prefix) < _LONG_ENOUGH:
        return key_class.prefix
    return hint(key_class, text)
