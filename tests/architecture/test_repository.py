"""Cheap tests about the repository itself that save afternoons."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("common", "integrations", "monitoring", "deployments", "portal", "lab")


def _modules() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts and "__pycache__" not in path.parts
    ]


def test_modules_stay_under_400_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in _modules() if (n := len(p.read_text().splitlines())) > 400}

    assert long == {}


def test_functions_stay_under_50_lines() -> None:
    long = []
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 50:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} {lines}")

    assert long == []


def test_every_dependency_has_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("dependencies = [", 1)[1].split("\n]\n", 1)[0]

    without = [line for line in block.splitlines() if line.strip().startswith('"') and "#" not in line]

    assert without == []


def test_the_lock_pins_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / "requirements.lock").read_text(), re.M))

    names = {re.split(r"[\[<>=!; ]", requirement, maxsplit=1)[0] for requirement in project["dependencies"]}

    assert {_normal(name) for name in names} - {_normal(name) for name in locked} == set()


def _normal(name: str) -> str:
    """PEP 503: the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_commons_stay_small() -> None:
    lines = sum(
        len(path.read_text().splitlines()) for path in (ROOT / "common").rglob("*.py") if "migrations" not in path.parts
    )

    assert lines <= 600


def test_compose_is_valid_against_the_compose_schema() -> None:
    tool = Path(sys.executable).with_name("check-jsonschema")

    outcome = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"], capture_output=True, text=True
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_compose_runs_every_process_of_the_design_from_one_non_root_image() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]

    assert {"web", "worker", "system", "observer", "redis", "postgres", "lab"} <= services.keys()
    assert services["lab"]["profiles"] == ["lab"]
    assert "--appendonly yes" in " ".join(services["redis"]["command"])
    assert {services[name]["image"] for name in ("web", "worker", "system", "observer", "lab")} == {
        f"phaseboard:{tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['version']}"
    }
    assert re.search(r"^USER (?!root|0)", (ROOT / "Dockerfile").read_text(), re.M)


def test_the_image_has_no_floating_tag() -> None:
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    images += [service["image"] for service in compose["services"].values()]

    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


@pytest.mark.parametrize("path", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "Makefile", ".ci/run"])
def test_no_file_names_this_machine(path: str) -> None:
    text = (ROOT / path).read_text()

    assert not re.search(r"/(?:work|root)/|pyenv", text)


def test_readme_has_exactly_two_set_up_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^\s*(make [a-z-]+)\s*(?:#.*)?$", readme, re.M)

    assert commands == ["make run", "make test"]


def test_every_setting_of_the_example_file_reaches_the_containers() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    example = (ROOT / ".env.example").read_text()
    offered = set(re.findall(r"^#?([A-Z][A-Z_]+)=", example, re.MULTILINE))
    handed_on = set(compose["services"]["web"]["environment"])
    assert offered - handed_on == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
