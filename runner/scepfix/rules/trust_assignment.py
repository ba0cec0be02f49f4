"""Judges whether the trust certificate reaches the same Intune targets as the SCEP profile that needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scepfix.domain.scep_profile import Assignment, Level, ProfileFinding, ScepProfile, TrustCertificate


def trust_findings(profile: ScepProfile, trusts: Sequence[TrustCertificate]) -> Iterator[ProfileFinding]:
    """Given an Intune SCEP profile and the trust profiles of the same file, yield at most one finding.

    Only where the assignments of both are in the file. The trust profile that the SCEP profile names counts alone;
    where none is named, any trust profile of the platform will do, because the others may serve something else.
    Source: Microsoft "Troubleshoot SCEP certificate profile deployment" (same groups for both).
    """
    mine = [one for one in trusts if one.platform is profile.platform and one.linked_from in ("", profile.path)]
    linked = [one for one in mine if one.linked_from]
    told = [(one, one.assignments) for one in linked or mine if one.assignments is not None]
    if not profile.assignments or not told:
        return
    missed = [(one, _missed(profile.assignments, targets)) for one, targets in told]
    if any(not targets for _, targets in missed):
        return
    trust, targets = missed[0]
    yield ProfileFinding(
        "trust-assigned-elsewhere",
        Level.BREAKS,
        f"{trust.path}.assignments" if trust.path else "assignments",
        "the same targets as the SCEP profile",
        f"{trust.name or 'the trust certificate'} does not reach: {', '.join(targets)}",
        "Intune gives out the SCEP certificate only where the trusted certificate arrives as well.",
    )


def _missed(wanted: Sequence[Assignment], given: Sequence[Assignment]) -> list[str]:
    """Return the targets of the SCEP profile that the trust certificate does not reach.

    All devices reach every group of devices; whether a group holds devices or people is not in the file, so a
    trust certificate on all devices, or on all users, is never called wrong for a group.
    """
    included = {(one.kind, one.group_id) for one in given if not one.excluded}
    everybody = {kind for kind, _ in included} & {"all-devices", "all-users"}
    missed = [
        _name(one)
        for one in wanted
        if not one.excluded and (one.kind, one.group_id) not in included and not (one.kind == "group" and everybody)
    ]
    also_excluded = {one.group_id for one in wanted if one.excluded}
    return missed + [f"{_name(one)} (excluded)" for one in given if one.excluded and one.group_id not in also_excluded]


def _name(one: Assignment) -> str:
    return f"group {one.group_id}" if one.kind == "group" else one.kind
