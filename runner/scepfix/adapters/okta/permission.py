"""May this admin generate a recovery PIN? Their roles, with the permissions of custom ones, as far as Okta tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from scepfix.adapters.okta.api import OktaApi
from scepfix.domain.inert import visible

#: Standard roles that may (Okta help page "Desktop MFA recovery"); a help desk admin may be held to some groups.
_ALWAYS = frozenset({"SUPER_ADMIN", "ORG_ADMIN"})
_HELP_DESK = "HELP_DESK_ADMIN"
#: Early-access features that a custom role's permission needs (Okta support article on Windows recovery).
CUSTOM_ROLE_FEATURES = (
    "Enable custom admin roles for Okta Device Access permissions",
    "Enable custom admin roles for device permissions",
)
ROLES_SCOPE = "okta.roles.read"


@dataclass(frozen=True, slots=True)
class MayGenerate:
    """``allowed`` None where Okta's API does not tell; ``reason`` (role, permission, feature) where it is False.
    ``notes`` say what a person looks at by hand."""

    allowed: bool | None
    roles: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()


def may_generate(
    api: OktaApi, admin: str, user_id: str, permission: str, features: Callable[[], Mapping[str, str] | None]
) -> MayGenerate:
    """Given the admin's login and id, the id of the permission ("" where no setting names it) and how the org's
    features are had (name -> status; None where they cannot be read), judge. Raise OktaError.

    ``GET /api/v1/users/{id}/roles`` has the roles that come through groups, too (``assignmentType``).
    """
    who = visible(admin)
    status, found = api.get(
        f"/api/v1/users/{quote(user_id, safe='')}/roles", {"expand": "targets/groups"}, accept=(403, 404)
    )
    if status == 403:
        return MayGenerate(None, notes=(f"The roles of {who} cannot be read: grant {ROLES_SCOPE}.",))
    if status != 200:
        return MayGenerate(None, notes=(f"Okta knows nobody named {who}: check the name.",))
    roles = [role for role in found or () if role.get("status", "ACTIVE") == "ACTIVE"]
    names = ", ".join(sorted({visible(_name(role)) for role in roles}))
    kinds = {str(role["type"]) for role in roles}
    helping = [role for role in roles if role["type"] == _HELP_DESK]
    if kinds & _ALWAYS or any(not _groups(role) for role in helping):
        return MayGenerate(True, names)
    notes = [
        f"{who} is a help desk admin of some groups only ({', '.join(_groups(role))}): look by hand whether this "
        "person is in one of them."
        for role in helping
    ]
    unknown, lacking, off = bool(helping), False, False
    for role in (role for role in roles if role["type"] == "CUSTOM"):
        held = _holds(api, role, permission)
        off_here = [name for name in CUSTOM_ROLE_FEATURES if held and (features() or {}).get(name) == "DISABLED"]
        if held is False:
            lacking = True
        elif off_here:
            off = True
            notes.append(f"Off in Settings > Features: {' and '.join(off_here)}.")
        else:
            unknown = True
            notes.append(_by_hand(who, role, permission, held))
    if unknown:
        return MayGenerate(None, names, notes=tuple(notes))
    return MayGenerate(False, names, "feature" if off else "permission" if lacking else "role", tuple(notes))


def permissions_of(api: OktaApi, role: str) -> tuple[str, ...] | None:
    """Given a custom role's id or label, return its permissions; None where there is no such role. Raise OktaError."""
    status, found = api.get(f"/api/v1/iam/roles/{quote(role, safe='')}/permissions", needs=ROLES_SCOPE)
    if status != 200:
        return None
    return tuple(sorted(visible(str(one["label"])) for one in found["permissions"]))


def role_names(api: OktaApi) -> tuple[str, ...]:
    """Return the labels of the org's custom roles (paged by ``_links.next``). Raise OktaError."""
    names: list[str] = []
    address, seen = "/api/v1/iam/roles", set[str]()
    while address and address not in seen:
        seen.add(address)
        _, found = api.get(address, needs=ROLES_SCOPE, accept=())
        names += [visible(str(one["label"])) for one in found.get("roles") or ()]
        address = ((found.get("_links") or {}).get("next") or {}).get("href") or ""
    return tuple(sorted(names))


def _holds(api: OktaApi, role: Mapping[str, Any], permission: str) -> bool | None:
    """Does the custom role have the permission, without conditions? None where that cannot be told."""
    role_id = role.get("role")
    if not permission or not isinstance(role_id, str):
        return None
    status, found = api.get(f"/api/v1/iam/roles/{quote(role_id, safe='')}/permissions", accept=(403, 404))
    if status != 200:
        return None
    return any(one["label"] == permission for one in found["permissions"])


def _by_hand(who: str, role: Mapping[str, Any], permission: str, held: bool | None) -> str:
    name = visible(_name(role))
    if held:
        return (
            f"The custom role {name} of {who} has {visible(permission)}; look by hand whether its resource set "
            f"({visible(str(role.get('resource-set', 'not named')))}) holds this device and person: Security > "
            "Administrators > Resources."
        )
    if permission:
        return (
            f"The permissions of the custom role {name} of {who} cannot be read: look by hand, or grant {ROLES_SCOPE}."
        )
    return (
        f"{who} has the custom role {name}: look by hand whether it has 'Generate device recovery PIN' (Security > "
        "Administrators > Roles); with okta.generate_permission set, scepfix does (scepfix okta permission ROLE)."
    )


def _name(role: Mapping[str, Any]) -> str:
    return str(role.get("label") or role["type"]) if role["type"] == "CUSTOM" else str(role["type"])


def _groups(role: Mapping[str, Any]) -> list[str]:
    targets = (role.get("_embedded") or {}).get("targets") or {}
    return [
        visible(str((group.get("profile") or {}).get("name") or group["id"])) for group in targets.get("groups") or ()
    ]
