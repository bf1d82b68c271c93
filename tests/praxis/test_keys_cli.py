"""`praxis keys …` as operators type it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import praxis


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with a models.yaml."""
    (tmp_path / "models.yaml").write_text(
        "backends: {b: {kind: vllm, replicas: ['http://127.0.0.1:1']}}\nmodels: {m: {backend: b, upstream: m}}\n"
    )
    return tmp_path


def listed(house: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads(praxis("keys", "list", "--format", "json", cwd=house).stdout)
    return {each["name"]: each for each in rows}


def test_make_list_and_revoke(house: Path) -> None:
    made = praxis("keys", "create", "office", "--model", "m", cwd=house)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("sk-praxis-")
    unknown = praxis("keys", "create", "clinic", "--model", "n", cwd=house)
    assert unknown.returncode == 1
    assert "known are" in unknown.stderr
    assert praxis("keys", "revoke", "office", cwd=house).returncode == 0
    shown = praxis("keys", "list", cwd=house).stdout
    assert "office" in shown
    assert "revoked" in shown
    assert made.stdout.strip() not in shown


def test_limits_are_set_shown_and_changed(house: Path) -> None:
    limits = ["--rpm", "60", "--tpm", "10000", "--concurrency", "4", "--expires", "90d", "--tenant", "firm"]
    assert praxis("keys", "create", "office", *limits, cwd=house).returncode == 0
    office = listed(house)["office"]
    assert (office["rpm"], office["tpm"], office["concurrency"], office["tenant"]) == (60, 10000, 4, "firm")
    assert office["expires_at"] == pytest.approx(time.time() + 90 * 86_400, abs=120)
    changed = praxis("keys", "update", "office", "--rpm", "6", "--tpm", "0", "--expires", "never", cwd=house)
    assert changed.returncode == 0, changed.stderr
    office = listed(house)["office"]
    assert (office["rpm"], office["tpm"], office["concurrency"], office["expires_at"]) == (6, None, 4, None)
    assert praxis("keys", "create", "other", "--rpm", "0", cwd=house).returncode == 2


def test_rotating_prints_another_secret(house: Path) -> None:
    first = praxis("keys", "create", "office", cwd=house).stdout.strip()
    rotated = praxis("keys", "rotate", "office", "--overlap", "1h", cwd=house)
    assert rotated.returncode == 0, rotated.stderr
    assert rotated.stdout.startswith("sk-praxis-")
    assert rotated.stdout.strip() != first
    assert listed(house)["office"]["old_secret_until"] == pytest.approx(time.time() + 3600, abs=120)
    wrong = praxis("keys", "rotate", "office", "--overlap", "soon", cwd=house)
    assert wrong.returncode == 1
    assert "1h" in wrong.stderr
