"""The systemd unit of the how-to, checked against the server's behaviour and systemd 249."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from gochat import cli

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "run-as-a-service.md"

#: The directives of systemd 249 that the unit uses; the newest are from 247.
KNOWN: Final = frozenset(
    {"Type", "WatchdogSec", "TimeoutStartSec", "ListenStream", "Backlog"}
    | {"Description", "After", "Wants", "StartLimitIntervalSec", "WantedBy"}
    | {"ExecStart", "ExecReload", "User", "StateDirectory", "StateDirectoryMode", "LimitNOFILE"}
    | {"Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStopSec", "NoNewPrivileges"}
    | {"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictAddressFamilies"}
    | {"UMask", "CapabilityBoundingSet", "ProtectProc", "ProcSubset", "ProtectKernelTunables"}
    | {"ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock"}
    | {"ProtectHostname", "PrivateUsers", "RemoveIPC", "RestrictNamespaces", "RestrictRealtime"}
    | {"RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "SystemCallArchitectures"}
    | {"SystemCallFilter", "SystemCallErrorNumber"}
)


def unit() -> list[tuple[str, str]]:
    text = "".join(re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL))
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def test_unit_uses_only_features_of_systemd_249() -> None:
    assert {name for name, _ in unit()} <= KNOWN
    # Specifiers differ between versions: %d exists since 250.
    assert not [value for _, value in unit() if "%" in value]


def test_unit_restarts_only_after_temporary_failures() -> None:
    directives = dict(unit())
    assert directives["Restart"] == "on-failure"
    assert float(directives["RestartSec"]) >= 1
    assert directives["StartLimitIntervalSec"] == "0"  # otherwise it stops after five failures
    never = {int(code) for code in directives["RestartPreventExitStatus"].split()}
    assert never == {cli.USAGE, cli.CORRUPT}
