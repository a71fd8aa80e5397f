"""Create a key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authsvc.domain import inputs
from authsvc.domain.administration import ADMIN_API, OPERATORS, Actor, Changed, Key, Organization, OrganizationStatus
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api, Apis
from authsvc.domain.errors import FailedPreconditionError, InvalidInputError, NotFoundError, PermissionDeniedError
from authsvc.domain.hashing import PepperSet
from authsvc.domain.issuing import Issue, Wanted, issue_of, with_preset
from authsvc.domain.key_text import KeyClass, hint
from authsvc.domain.secret import Secret
from authsvc.ports import Clock, NewKey, Recalled, Registry
from authsvc.usecases.reach import check_reach
from authsvc.usecases.retries import once

NO_SUCH_ORGANIZATION = "no such organization"
ALGORITHM = "hmac"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What is asked for; an empty organization is the caller's own, an empty preset is none."""

    api: str
    organization_id: str
    wanted: Wanted
    request_id: str
    preset: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey:
    """The new key, and its text, which exists nowhere else; None for a text that was shown already."""

    changed: Changed[Key]
    secret: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mint:
    """What makes ids and keys: `new_id` 26 characters, `choice` one character of a text, unpredictably."""

    peppers: PepperSet
    new_id: Callable[[], str]
    choice: Callable[[str], str]

    def draw(self, api: Api, key_class: KeyClass) -> Secret:
        """Draw the text of a new key."""
        return Secret(api.keys.generate(key_class, self.choice))

    def record(self, api: Api, organization_id: str, issue: Issue, secret: Secret) -> NewKey:
        """Put a new key's record together."""
        text, terms = secret.reveal(), issue.terms
        return NewKey(
            id=f"key_{self.new_id()}",
            digest=self.peppers.current.digest(text),
            pepper_id=self.peppers.current.id,
            algorithm=ALGORITHM,
            api=api.name,
            organization_id=organization_id,
            kind=terms.kind,
            environment=terms.environment,
            scopes=terms.scopes,
            full_access=terms.full_access,
            origins=terms.origins,
            networks=terms.networks,
            limits=terms.limits,
            not_before=terms.not_before,
            expires_at=terms.expires_at,
            name=issue.name,
            hint=hint(issue.key_class, text),
            metadata=issue.metadata,
        )


class CreateKey:
    """Checks what is asked against the API's rules and the caller's reach, and makes the key."""

    def __init__(self, registry: Registry, apis: Apis, mint: Mint, clock: Clock) -> None:
        self._registry = registry
        self._apis = apis
        self._mint = mint
        self._clock = clock

    async def __call__(self, caller: Administrator, request: KeyRequest) -> CreatedKey:
        """Store the key and return it with its text."""
        actor = caller.actor(inputs.request_id(request.request_id), request.body)
        return await once(self._registry, actor, lambda: self._work(caller, request, actor), self._recall)

    async def _recall(self, earlier: Recalled) -> CreatedKey:
        key = await self._registry.get_tombstone(earlier.target_id)
        return CreatedKey(changed=Changed(value=key, revision=earlier.revision), secret=None)

    async def _work(self, caller: Administrator, request: KeyRequest, actor: Actor) -> CreatedKey:
        api = self._api(caller, request.api)
        organization = await self._organization(caller, api, request.organization_id)
        issue = issue_of(with_preset(request.preset, request.wanted, api), api, self._clock.now())
        check_reach(caller, api, issue.terms)
        secret = self._mint.draw(api, issue.key_class)
        new = self._mint.record(api, organization.id, issue, secret)
        return CreatedKey(changed=await self._registry.create_key(new, actor), secret=secret)

    def _api(self, caller: Administrator, name: str) -> Api:
        if not caller.is_operator:
            # Whether another API of this name exists is not this caller's to know.
            if name != caller.api.name:
                raise PermissionDeniedError(f"api: this key makes keys of {caller.api.name} only")
            return caller.api
        api = self._apis.by_name.get(name)
        if api is None:
            raise InvalidInputError(f"api: one of {', '.join(sorted(self._apis.by_name))}")
        return api

    async def _organization(self, caller: Administrator, api: Api, asked: str) -> Organization:
        own = caller.record.organization_id
        if caller.is_operator and not asked:
            raise InvalidInputError("organization_id: an operator says whose key it is")
        organization_id = inputs.organization_id(asked) if asked else own
        if not caller.is_operator and organization_id != own:
            raise NotFoundError(NO_SUCH_ORGANIZATION)
        try:
            organization = await self._registry.get_organization(organization_id)
        except NotFoundError as error:
            raise NotFoundError(NO_SUCH_ORGANIZATION) from error
        if organization.status is OrganizationStatus.DELETED:
            raise FailedPreconditionError("the organization is deleted")
        # Operators' keys count as operators' wherever they are, so they stay where nobody suspends them.
        if (api.name == ADMIN_API) != (organization.name == OPERATORS):
            raise InvalidInputError(f"api: {OPERATORS} holds the keys of {ADMIN_API}, and no others")
        return organization
