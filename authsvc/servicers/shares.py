"""
Who may have how many administrative calls under way at once.

All share one process, and nobody gets the whole of it: what one operator's key may have and what all
products may have together leave room for other operators. Who calls is known only after a question to
the database, and until then a call takes a place among the unknown ones; a key that was good a while ago
takes its own share from the start, so that no flood of unknown callers stands before it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TypeAlias

from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import OverloadedError

ALL, OPERATOR, PRODUCTS, ORGANIZATION, UNKNOWN, ADDRESS = (
    "all",
    "operator",
    "products",
    "organization",
    "unknown",
    "address",
)

# Calls at once. 128 - 64 - 32 are left for other operators when one and all products have what they may.
# With the unknown ones they are fewer than grpcio's own bound (`options.ADMIN`), so that ours answers.
LIMITS = {ALL: 128, OPERATOR: 64, PRODUCTS: 32, ORGANIZATION: 16, UNKNOWN: 96, ADDRESS: 64}
REMEMBERED = 1024  # keys of operators, and as many of products

_WORDING = {
    OPERATOR: "this key has too many administrative calls under way",
    ORGANIZATION: "the organization has too many administrative calls under way",
    ADDRESS: "too many administrative calls from this address wait for who they are",
}
_CROWDED = "too many administrative calls at once"

_Bound = tuple[str, str]  # which of `LIMITS`, and of whom
_Share: TypeAlias = tuple[_Bound, ...]


class Place:
    """The place of one call, from its start until its answer is taken."""

    def __init__(self, shares: Shares, credential: bytes | None, share: _Share) -> None:
        self._shares = shares
        self._credential = credential
        self._share = share

    def known(self, caller: Administrator) -> None:
        """Go on in the caller's own share. Raises `OverloadedError` when that is used up."""
        share = _share_of(caller)
        if share != self._share:
            self.leave()
            self._shares.take(share)
            self._share = share
        if self._credential is not None:
            self._shares.remember(self._credential, share)

    def unknown(self) -> None:
        """Forget who the credential belonged to: it is no key any more."""
        if self._credential is not None:
            self._shares.forget(self._credential)

    def leave(self) -> None:
        """Give the place back; a second time gives nothing."""
        share, self._share = self._share, ()
        self._shares.give_back(share)


class Shares:
    """
    Counts calls under way. Its memory is bounded by them, and by the keys that it remembers.

    `secret` keys the fingerprints of credentials, which are thus of no use outside this process.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._taken: dict[_Bound, int] = {}
        # Apart, so that an organization with thousands of keys does not have operators forgotten.
        self._remembered: dict[str, OrderedDict[bytes, _Share]] = {OPERATOR: OrderedDict(), PRODUCTS: OrderedDict()}

    def enter(self, credential: str | None, address: str) -> Place:
        """Take a place for a call from an address. Raises `OverloadedError` when its share is used up."""
        fingerprint = None if credential is None else self._fingerprint(credential)
        share = self._recalled(fingerprint) or ((UNKNOWN, ""), (ADDRESS, address))
        self.take(share)
        return Place(self, fingerprint, share)

    def taken(self, bound: str, of: str = "") -> int:
        """Return how many calls are under way within a bound."""
        return self._taken.get((bound, of), 0)

    def take(self, share: _Share) -> None:
        """Count one call more, or none at all."""
        for bound in share:
            if self._taken.get(bound, 0) >= LIMITS[bound[0]]:
                error = OverloadedError(_WORDING.get(bound[0], _CROWDED))
                error.add_note(" ".join(bound).strip())  # for the log: whose
                raise error
        for bound in share:
            self._taken[bound] = self._taken.get(bound, 0) + 1

    def give_back(self, share: _Share) -> None:
        """Count one call less."""
        for bound in share:
            self._taken[bound] -= 1
            if not self._taken[bound]:
                del self._taken[bound]

    def remember(self, fingerprint: bytes, share: _Share) -> None:
        """Let the next call with a credential begin in its owner's share."""
        kept = self._remembered[OPERATOR if share[0][0] == OPERATOR else PRODUCTS]
        kept[fingerprint] = share
        kept.move_to_end(fingerprint)
        if len(kept) > REMEMBERED:
            kept.popitem(last=False)

    def forget(self, fingerprint: bytes) -> None:
        """Let the next call with a credential begin among the unknown ones."""
        for kept in self._remembered.values():
            kept.pop(fingerprint, None)

    def _recalled(self, fingerprint: bytes | None) -> _Share | None:
        found = (kept.get(fingerprint) for kept in self._remembered.values()) if fingerprint is not None else ()
        return next((share for share in found if share is not None), None)

    def _fingerprint(self, credential: str) -> bytes:
        return hashlib.blake2b(credential.encode(), key=self._secret, digest_size=16).digest()


def _share_of(caller: Administrator) -> _Share:
    # The narrowest bound first: the refusal tells of it.
    if caller.is_operator:
        return (OPERATOR, caller.record.id), (ALL, "")
    return (ORGANIZATION, caller.record.organization_id), (PRODUCTS, ""), (ALL, "")
