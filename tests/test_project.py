"""pyproject.toml, environment.yml and the lock files say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def by_name(requirements: list[str]) -> dict[str, Requirement]:
    """The requirements by their normalised names."""
    return {canonicalize_name(Requirement(text).name): Requirement(text) for text in requirements}


def locked(file: str) -> dict[str, list[Requirement]]:
    """What a lock file pins, by name: more than one version where they depend on the Python version."""
    pins: dict[str, list[Requirement]] = {}
    for entry in (ROOT / file).read_text().replace("\\\n", "").splitlines():
        pin = Requirement(re.sub(r"\s+--hash=\S+", "", entry))
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def test_environment_yml_asks_for_the_same_packages() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (from_pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    assert from_pip.pop() == "--editable ."
    named = by_name([entry for entry in conda if isinstance(entry, str) and not entry.startswith("python=")])
    assert named.pop("pip").specifier == ""
    assert named | by_name(from_pip) == by_name(PROJECT["dependencies"])


def test_environment_yml_takes_a_python_that_the_project_supports() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (version,) = (entry.removeprefix("python=") for entry in conda if str(entry).startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(version)


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
        ("requirements-go.lock", PROJECT["optional-dependencies"]["go"]),
    ],
)
def test_lock_satisfies_pyproject(file: str, wanted: list[str]) -> None:
    pins = locked(file)
    for name, requirement in by_name(wanted).items():
        assert name in pins, f"{file} lacks {name}: run `make lock`"
        for pin in pins[name]:
            (version,) = pin.specifier
            assert requirement.specifier.contains(version.version), f"{file} is older than pyproject.toml: `make lock`"


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-go.lock"])
def test_lock_pins_every_file_and_names_no_server(file: str) -> None:
    text = (ROOT / file).read_text()
    assert "://" not in text
    for entry in text.replace("\\\n", "").splitlines():
        assert re.match(r"[a-z0-9-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry
