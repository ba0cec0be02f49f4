"""The composition root: the only file that knows both service and adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from scepfix.adapters import plan_files
from scepfix.adapters.clock import SystemClock
from scepfix.adapters.content_hash import collection_folder, content_sha256
from scepfix.adapters.database_url import database_file
from scepfix.adapters.evidence_sources import EvidenceSourcesOnDisk
from scepfix.adapters.inventory import AnsibleInventory
from scepfix.adapters.login_name import login_name
from scepfix.adapters.secret_handover import handed_over
from scepfix.adapters.secret_values import passed_on, secret
from scepfix.adapters.settings_file import SiteSettings, load_settings
from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.adapters.ssh_signatures import SshSignatures
from scepfix.adapters.state_folder import fresh_run_folder, state_folder
from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.check import Check
from scepfix.domain.device import Observation
from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.plan import Plan
from scepfix.domain.remediation import Approval, Remediation
from scepfix.parsers import located_yaml
from scepfix.parsers.demo_cases import DemoCase, read_demo_cases
from scepfix.parsers.service_settings import ServiceSettings
from scepfix.service.advance import Hands, Progress
from scepfix.service.apply import apply_plan
from scepfix.service.approve import SIGNATURE, UNAUTHENTICATED, approve_plan, reject_plan, signed_message
from scepfix.service.check_profile import CheckedProfile, check_profile
from scepfix.service.diagnose import (
    DiagnoseReport,
    DiagnoseRequest,
    Ways,
    diagnose_device,
    diagnose_inputs,
    org_issuers,
)
from scepfix.service.doctor import Secret, examine
from scepfix.service.doctor import Ways as DoctorWays
from scepfix.service.inspect_certificates import Inspection, InspectOptions, inspect_certificates
from scepfix.service.observe import NotObserved, observe_devices
from scepfix.service.okta_setting import SettingChange, set_recovery_pin
from scepfix.service.okta_snapshot import (
    DeletedDevices,
    Taken,
    check_range,
    deleted_devices,
    exported_deletions,
    take_snapshot,
)
from scepfix.service.plan import PlanRequest, make_plan, refuse_other_settings
from scepfix.service.ports import Inventory, InventoryDevice, Mdm, Okta, SmallFiles
from scepfix.service.rescue import put_back_left_out, rescue

if TYPE_CHECKING:
    from scepfix.adapters.ansible.runner import AnsibleRunner


def small_files() -> SmallFiles:
    """Return the reader of small files."""
    return SmallFilesOnDisk()


def profile_check(path: str) -> CheckedProfile:
    """Given a path or ``-``, check the profile in that file."""
    return check_profile(small_files(), path)


def certificate_inspection(paths: Sequence[str], at: datetime, options: InspectOptions) -> Inspection:
    """Given paths, an aware moment and options, inspect the certificates in those files."""
    return inspect_certificates(small_files(), paths, at, options)


def settings(path: str | None) -> SiteSettings:
    """Given the file that --config names, or None, return the site's settings."""
    return load_settings(path)


def demo_cases() -> tuple[Path, tuple[DemoCase, ...]]:
    """Return the folder of the shipped cases and the cases."""
    folder = Path(str(files("scepfix").joinpath("demo_cases")))
    listed = folder / "cases.yml"
    return folder, read_demo_cases(located_yaml.parse(small_files().read(str(listed)).decode("utf-8"), listed.name))


def diagnosis(request: DiagnoseRequest, config: str | None) -> DiagnoseReport:
    """Given a request and the settings file, diagnose as of now."""
    site = settings(config)
    return diagnose_inputs(request, EvidenceSourcesOnDisk(site.unpacked_bytes), small_files(), site, datetime.now(UTC))


def mdm(config: str | None, read_only: bool = True) -> Mdm:
    """Given the settings file, return the MDM that it names; ``read_only``: it refuses every change.

    Raise UsageError (``no-mdm``) where the settings name none.
    """
    site = settings(config)
    if site.mdm is None:
        raise UsageError(
            "no-mdm", "the settings name no MDM", where=site.file or "", hint="see mdm in docs/settings.md"
        )
    return open_mdm(site.mdm, read_only)


def open_mdm(settings: ServiceSettings, read_only: bool) -> Mdm:
    """Given an MDM's settings, return it; ``read_only``: it refuses every change."""
    from scepfix.adapters.mdm.read_only import ReadOnlyMdm

    found = _provider(settings, read_only)
    return ReadOnlyMdm(found) if read_only else found


def _provider(settings: ServiceSettings, read_only: bool) -> Mdm:
    """Each kind is imported only where it is used."""
    match settings.kind:
        case "jamf":
            from scepfix.adapters.mdm.jamf import JamfPro

            return JamfPro(settings)
        case "intune":
            from scepfix.adapters.mdm.intune import Intune

            return Intune(settings)
        case "nanomdm":
            from scepfix.adapters.mdm.nanomdm import NanoMdm

            return NanoMdm(settings, read_only)
        case "fleet":
            from scepfix.adapters.mdm.fleet import Fleet

            return Fleet(settings)
        case _:
            from scepfix.adapters.mdm.simulated import SimulatedMdm

            return SimulatedMdm(settings)


def inventory(path: str, config: str | None = None) -> Inventory:
    """Given the path of an Ansible inventory and the settings file, return it; it is read when it is first asked."""
    return AnsibleInventory(path, config=settings(config).file)


def okta(config: str | None) -> Okta:
    """Given the settings file, return the Okta org that it names, to read from.

    Raise UsageError (``no-okta``) where the settings name none.
    """
    from scepfix.adapters.okta.management_api import OktaManagementApi

    return OktaManagementApi(_okta_settings(config))


def observe(devices: Sequence[InventoryDevice], config: str | None) -> dict[str, Observation | NotObserved]:
    """Given devices and the settings file, look at them through Ansible; nothing is changed.

    The run folders hold what the devices said, log and all: each is removed again, also where this is interrupted.
    Where the run failed for a device its folder stays, without what the others said.
    """
    folders: list[Path] = []

    def folder() -> Path:
        folders.append(fresh_run_folder("observe"))
        return folders[-1]

    with _runner(settings(config)) as runner:
        try:
            found = observe_devices(devices, runner, folder)
        except BaseException:
            for begun in folders:
                runner.stop(begun)
                shutil.rmtree(begun, ignore_errors=True)
            raise
    failed = any(isinstance(one, NotObserved) and one.code != "unreachable" for one in found.values())
    for done in folders:
        # One that was waited for in vain would write again.
        runner.stop(done)
        shutil.rmtree(done / "result" if failed else done, ignore_errors=True)
    return found


@contextmanager
def _runner(site: SiteSettings) -> Iterator[AnsibleRunner]:
    """Yield what runs playbooks: the runs reach the same systems with the same secrets as this process."""
    from scepfix.adapters.ansible.runner import AnsibleRunner

    with handed_over((site.mdm,)) as variables:
        yield AnsibleRunner(state_folder(), site.file, environment={**passed_on(), **variables})


def device_diagnosis(
    request: DiagnoseRequest,
    config: str | None,
    inventory_file: str | None,
    *,
    ask_okta: bool,
    tell: Callable[[str], None],
) -> DiagnoseReport:
    """Given a request, the settings file, an inventory (None: no device is looked at) and whether to ask Okta, ask
    whoever there is, and diagnose. ``tell`` is given a line for the person who waits."""
    site = settings(config)
    ways = Ways(
        observe=lambda device: observe([device], config)[device.name],
        inventory=inventory(inventory_file, config) if inventory_file is not None else None,
        mdm=mdm(config) if inventory_file is not None and site.mdm is not None else None,
        okta=okta(config) if ask_okta else None,
    )
    sources, clock = EvidenceSourcesOnDisk(site.unpacked_bytes), SystemClock()
    return diagnose_device(request, ways, sources, small_files(), site, clock.now, tell)


# --- preview and approval ---------------------------------------------------------------------------------------


def preview(
    names: Sequence[str],
    group: str | None,
    inventory_file: str,
    only_fault: str | None,
    config: str | None,
    tell: Callable[[str], None],
) -> Plan:
    """Given device names or a group, an inventory and a fault to keep (None: all), look and return the plan.

    Nothing is written: devices are looked at, and MDM and Okta are opened to read from. ``tell`` is given a line for
    the person who waits.
    """
    site = settings(config)
    listed = inventory(inventory_file, config)
    devices = listed.devices(names, group)
    tell(f"looking at {len(devices)} device{'' if len(devices) == 1 else 's'}, nothing is changed")
    unasked = [name for name, service in _services(site).items() if service is None]
    if unasked:
        names_of = {"mdm": "MDM", "okta": "Okta org"}
        tell(f"the settings name no {' and no '.join(names_of[name] for name in unasked)}: not asked")
    found = observe(devices, config)
    request = PlanRequest(login_name(), content_sha256(), only_fault, org_issuers(site, small_files()))
    return make_plan(
        devices,
        found,
        mdm(config) if site.mdm is not None else None,
        okta(config) if site.okta is not None else None,
        site,
        site.repair,
        request,
        SystemClock().now(),
        _services(site),
        listed.names,
    )


def load_plan(path: str) -> Plan:
    """Given the path of a plan file, return the plan; refused where it was changed."""
    return plan_files.load_plan(path)


def save_plan(path: str, plan: Plan) -> None:
    """Given a path and a plan, write the plan file."""
    plan_files.save_plan(path, plan)


def keep_plan(plan: Plan) -> str:
    """Given a plan, keep it in the state folder and return the path: what was begun without a file can be gone on
    with."""
    folder = state_folder() / "plans"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = str(folder / f"{plan.digest().removeprefix('sha256:')}.json")
    plan_files.save_plan(path, plan)
    return path


def write_text(path: str, text: str) -> None:
    """Given a path and a text, write the file, whole or not at all."""
    plan_files.write_whole(path, text)


def approve(
    plan: Plan, person: str | None, signature: str | None, config: str | None, database: str | None
) -> Approval:
    """Given a verified plan and who approves it (a name, a signature file, else the login name), write it down."""
    site = settings(config)
    how = UNAUTHENTICATED if signature is None else SIGNATURE
    with closing(store(database)) as kept:
        if signature is not None:
            rejections = sum(not one.approved for one in kept.approvals(plan.digest()))
            message = signed_message(plan.digest(), rejections)
            person = SshSignatures(site.allowed_signers).signer(message, signature)
        return approve_plan(plan, person or login_name(), how, kept, site.repair, SystemClock().now())


def reject(plan: Plan, reason: str, database: str | None) -> Approval:
    """Given a verified plan and why it is not to be run, write it down."""
    with closing(store(database)) as kept:
        return reject_plan(plan, login_name(), reason, kept, SystemClock().now())


def approvals(plan: Plan, database: str | None) -> tuple[Approval, ...]:
    """Given a plan, return what was decided about its digest."""
    with closing(store(database)) as kept:
        return kept.approvals(plan.digest())


# --- repair -----------------------------------------------------------------------------------------------------


def store(database: str | None) -> SqliteStore:
    """Given what --database says (None: the default), return the store."""
    return SqliteStore(database_file(database))


def apply(
    plan: Plan,
    config: str | None,
    database: str | None,
    tell: Callable[[Progress], None],
    say: Callable[[str], None],
) -> tuple[Plan, tuple[Remediation, ...]]:
    """Given a verified plan, run what was approved under its digest, or go on with it; return that plan and what came.

    Devices that nobody wants in the exclusion group any more are put back first.

    The stored plan is run, not the file: how a device is reached and when the plan expires is as it was at the
    approval, whatever the file says now.
    """
    site = settings(config)
    with closing(store(database)) as kept, _runner(site) as runner:
        plan = kept.plan(plan.digest()) or plan
        if not kept.remediations(plan.digest()):
            refuse_other_settings(plan, site.repair, _services(site))
        if site.mdm is not None:
            put_back_left_out(lambda: mdm(config, read_only=False), kept, site.repair, SystemClock().now(), say)
        hands = Hands(
            store=kept,
            runner=runner,
            clock=SystemClock(),
            policy=site.repair,
            runs=state_folder() / "runs",
            okta=okta(config) if site.okta is not None else None,
            issuers=org_issuers(site, small_files()),
            tell=tell,
        )
        return plan, apply_plan(plan, content_sha256(), hands)


def open_repair(device: str, database: str | None) -> Plan | None:
    """Given a device's name, return the plan under which it is being repaired, or waits for its person, else None."""
    file = database_file(database)
    if not file.exists():
        return None
    with closing(SqliteStore(file)) as kept:
        found = [one for one in kept.remediations(only_open=True) if one.device.name == visible(device)]
        return kept.plan(found[-1].plan_digest) if found else None


def put_all_back(config: str | None) -> tuple[MdmDevice, ...]:
    """Given the settings file, put back every device of the exclusion group, from the MDM alone; return them."""
    return rescue(mdm(config, read_only=False))


def _services(site: SiteSettings) -> dict[str, ServiceSettings | None]:
    return {"mdm": site.mdm, "okta": site.okta}


# --- doctor -----------------------------------------------------------------------------------------------------


def examination(
    config: str | None, database: str | None, inventory_file: str | None, tell: Callable[[str], None]
) -> tuple[Check, ...]:
    """Given the settings file, the database and an inventory (None: not looked at), look whether all is ready for a
    repair; nothing is changed. Raise UsageError where the settings file itself cannot be read."""
    from scepfix.adapters import machine

    site = settings(config)

    def open_repairs() -> tuple[Remediation, ...]:
        file = database_file(database)
        if not file.exists():
            return ()
        with closing(SqliteStore(file)) as kept:
            return kept.remediations(only_open=True)

    ways = DoctorWays(
        settings_file=site.file,
        secrets=_secrets(site),
        issuer_files=site.issuer_files,
        allowed_signers=site.allowed_signers,
        files=small_files(),
        state=machine.writable_state_folder,
        database=open_repairs,
        program=machine.program,
        package=machine.package_version,
        collection=collection_folder,
        inventory=(lambda: inventory(inventory_file, config)) if inventory_file is not None else None,
        mdm=(lambda: mdm(config)) if site.mdm is not None else None,
        okta=(lambda: okta(config)) if site.okta is not None else None,
        policy=site.repair,
        now=SystemClock().now(),
        tell=tell,
    )
    return examine(ways)


def _secrets(site: SiteSettings) -> list[Secret]:
    services = {**_services(site), "okta_write": site.okta_write}
    return [
        Secret(f"{section}.{key}", f"{ref.kind} {ref.name}", partial(secret, service, key), section != "okta_write")
        for section, service in services.items()
        if service is not None
        for key, ref in service.secrets.items()
    ]


# --- the Okta org -----------------------------------------------------------------------------------------------

#: A month of the System Log of a large org, deletions and all.
_LARGEST_EXPORT = 512 * 1024 * 1024


def okta_snapshot(config: str | None) -> tuple[Taken, str]:
    """Given the settings file, bring the snapshot of the org's devices up to date; return it and where it lies."""
    from scepfix.adapters.okta.directory import OktaDirectory
    from scepfix.adapters.okta.snapshot_file import load_snapshot, save_snapshot

    service = _okta_settings(config)
    directory = OktaDirectory(service)
    taken = take_snapshot(load_snapshot(service, directory.org), directory.devices(), SystemClock().now())
    return taken, str(save_snapshot(service, taken.snapshot))


def okta_deleted(
    config: str | None, since: datetime, until: datetime | None, export: str | None, tell: Callable[[str], None]
) -> DeletedDevices:
    """Given the settings file, a range (None: until now) and an export of the System Log (None: Okta is asked), return
    which devices were deleted."""
    from scepfix.adapters.okta.directory import OktaDirectory
    from scepfix.adapters.okta.snapshot_file import load_snapshot

    service, now = _okta_settings(config), SystemClock().now()
    until = now if until is None else until
    check_range(since, until, now, export is not None)
    directory = OktaDirectory(service)
    snapshot = load_snapshot(service, directory.org)
    if export is None:
        deletions = directory.deletions(since, until)
    else:
        deletions = exported_deletions(SmallFilesOnDisk(_LARGEST_EXPORT), export)
    return deleted_devices(deletions, snapshot, directory, since, until, tell)


def okta_permissions(config: str | None, role: str) -> tuple[str, ...]:
    """Given the settings file and a custom role's id or label, return the permissions that it has.

    Raise UsageError (``unknown-role``) naming those that there are.
    """
    from scepfix.adapters.okta.directory import OktaDirectory

    directory = OktaDirectory(_okta_settings(config))
    found = directory.permissions(role)
    if found is None:
        names = ", ".join(directory.roles()) or "none"
        raise UsageError(
            "unknown-role",
            f"there is no custom role {visible(role)!r}",
            where=directory.org,
            hint=f"custom roles: {names}",
        )
    return found


def okta_set_recovery_pin(
    config: str | None, enabled: bool, signature: str | None, until: datetime | None
) -> SettingChange:
    """Given the settings file, the new value, a signature and until when it holds, write the org's setting.

    Raise UsageError (``no-okta-write``) where the settings have no credential for that.
    """
    from scepfix.adapters.okta.org_setting import RecoveryPinSetting

    site, now = settings(config), SystemClock().now()
    if site.okta_write is None:
        raise UsageError(
            "no-okta-write",
            "the settings have no credential that may change the Okta org",
            where=site.file or "",
            hint="see okta_write in docs/settings.md; or set it by hand: Security > General > Okta Device Access",
        )
    ends = until or (now + timedelta(days=1)).replace(second=0, microsecond=0)
    return set_recovery_pin(
        RecoveryPinSetting(site.okta_write),
        enabled,
        signature,
        ends,
        login_name(),
        SshSignatures(site.allowed_signers),
        now,
    )


def _okta_settings(config: str | None) -> ServiceSettings:
    site = settings(config)
    if site.okta is None:
        raise UsageError(
            "no-okta", "the settings name no Okta org", where=site.file or "", hint="see okta in docs/settings.md"
        )
    return site.okta
