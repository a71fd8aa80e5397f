"""The first administrator key, made on the machine that holds the database."""

from __future__ import annotations

from dataclasses import replace

from authsvc.domain.administration import OPERATORS, Actor, Changed, Key
from authsvc.domain.api import Api
from authsvc.domain.errors import AlreadyExistsError, NotFoundError
from authsvc.domain.issuing import Issue, Wanted, issue_of
from authsvc.domain.key_text import KeyClass
from authsvc.domain.secret import Secret
from authsvc.ports import Clock, NewKey, NewOrganization, Registry
from authsvc.usecases.create_key import Mint

ACTOR = Actor(key_id="init", organization_id="", address="", request_id="")
# Of two that find no key at the same moment, the store refuses the second one as a retry of another request. It does so
# for a day; whoever looks later finds the key.
_ONCE = replace(ACTOR, request_id="first-key", body=b"the first administrator key".ljust(32))
KEY_NAME = "first administrator"
RECOVERED_KEY_NAME = "recovered administrator"
RECOVER = "admin.recover"  # in the audit trail, in place of the creation of a key
_ON_THIS_MACHINE = Actor(key_id="", organization_id="", address="", request_id="")


class Initialize:
    """
    Makes the operators' organization and the first operator key.

    The text is drawn first and the record stored last, so that whoever writes the text down between
    the two can be interrupted anywhere: the same text is then stored by the next attempt. `api` is
    the administration's own.
    """

    def __init__(self, registry: Registry, api: Api, mint: Mint, clock: Clock) -> None:
        self._registry = registry
        self._api = api
        self._mint = mint
        self._clock = clock

    def draw(self) -> Secret:
        """Draw the text of the key."""
        return self._mint.draw(self._api, self._key_class())

    async def __call__(self, secret: Secret) -> Changed[Key]:
        """
        Store the key with this text; one ordinary operator key with every scope, named one by one.

        Raises `AlreadyExistsError` when one was stored meanwhile, with this text or another.
        """
        return await self._registry.create_key(await self._record(secret, KEY_NAME), _ONCE)

    async def is_stored(self, secret: Secret) -> bool:
        """Whether there is a key with this text."""
        try:
            await self._registry.find_key([pepper.digest(secret.reveal()) for pepper in self._mint.peppers.all])
        except NotFoundError:
            return False
        return True

    async def recover(self, secret: Secret, reason: str) -> Changed[Key]:
        """Store another key like it, in place of a lost one; the trail tells that, and why."""
        new = await self._record(secret, RECOVERED_KEY_NAME)
        return await self._registry.create_key(new, _ON_THIS_MACHINE, action=RECOVER, reason=reason)

    def is_key(self, secret: Secret) -> bool:
        """Whether a text can be an operator key at all."""
        return self._api.keys.parse(secret.reveal()) is not None

    def _key_class(self) -> KeyClass:
        return self._issue(KEY_NAME).key_class

    def _issue(self, name: str) -> Issue:
        return issue_of(_wanted(self._api, name), self._api, self._clock.now())

    async def _record(self, secret: Secret, name: str) -> NewKey:
        return self._mint.record(self._api, await self._operators(), self._issue(name), secret)

    async def _operators(self) -> str:
        try:
            return (await self._registry.get_organization(OPERATORS)).id
        except NotFoundError:
            pass
        new = NewOrganization(id=f"org_{self._mint.new_id()}", name=OPERATORS, plan=None, networks=None, metadata={})
        try:
            return (await self._registry.create_organization(new, ACTOR)).value.id
        except AlreadyExistsError:  # another `init` at the same moment
            return (await self._registry.get_organization(OPERATORS)).id


def _wanted(api: Api, name: str) -> Wanted:
    return Wanted(
        name=name,
        metadata={},
        kind="",
        environment="",
        scopes=tuple(api.scopes),
        full_access=False,
        origins=None,
        networks=None,
        rate_limits=(),
        not_before=None,
        expires_at=None,
    )
