"""The first part of ``scepfix demo``: files that ship with scepfix are diagnosed, each verdict with its quotes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from scepfix import wiring
from scepfix.cli.context import Shared
from scepfix.cli.diagnosis_report import as_document, as_text
from scepfix.domain.fault import Symptom
from scepfix.parsers.demo_cases import DemoCase
from scepfix.service.diagnose import DiagnoseRequest


def show_files(shared: Shared) -> list[dict[str, object]]:
    """Diagnose the cases that ship with scepfix, print them unless --json is set, and return their documents."""
    folder, cases = wiring.demo_cases()
    documents: list[dict[str, object]] = []
    summary: list[tuple[str, str, str]] = []
    for case in cases:
        request = _request(case, folder)
        report = wiring.diagnosis(request, shared.config)
        documents.append({"case": case.name, "story": case.story, **as_document(report)})
        summary.append((case.name, report.top.fault or report.top.verdict.value, str(report.top.standing or "-")))
        if not shared.as_json:
            shared.print_text(_heading(case, request))
            shared.print_text(as_text(report, request) + "\n")
    if not shared.as_json:
        widths = [max(len(row[column]) for row in summary) for column in (0, 1)]
        lines = [f"  {name:<{widths[0]}}  {fault:<{widths[1]}}  {standing}" for name, fault, standing in summary]
        shared.print_text("\n".join([click.style("All files", bold=True), *lines, ""]))
    return documents


def _request(case: DemoCase, folder: Path) -> DiagnoseRequest:
    return DiagnoseRequest(
        paths=tuple(os.path.relpath(folder / case.name / name) for name in case.files),
        evidence_files=tuple(os.path.relpath(folder / case.name / name) for name in case.evidence),
        device=case.device,
        person=case.person,
        admin=case.admin,
        symptom=Symptom(case.symptom) if case.symptom else None,
    )


def _heading(case: DemoCase, request: DiagnoseRequest) -> str:
    options = [("--symptom", case.symptom), ("--device", case.device), ("--user", case.person), ("--admin", case.admin)]
    words = [*request.paths, *(word for path in request.evidence_files for word in ("--evidence", path))]
    words += [word for option, value in options if value for word in (option, value)]
    rule = "─" * 100
    command = click.style(f"$ scepfix diagnose {' '.join(words)}", fg="cyan")
    return f"{rule}\n{click.style(case.name, bold=True)}: {case.story}\n{command}\n"
