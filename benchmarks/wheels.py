"""Whether prnet's dependencies come as wheels: python benchmarks/wheels.py [--python 3.10 …].

For each system and Python, pip resolves what `pyproject.toml` asks for from wheels alone, without
installing anything: a row says `ok`, or what there is no wheel of.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import tomllib

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# of each system the newest and older wheel tags that a machine of today takes
LINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
SYSTEMS = {
    "Linux x86-64": [f"{tag}_x86_64" for tag in LINUX],
    "Linux arm64": [f"{tag}_aarch64" for tag in LINUX],
    "Windows": ["win_amd64"],
    "macOS arm64": [f"macosx_{version}_0_arm64" for version in (15, 14, 13, 12, 11)],
    "macOS x86-64": [
        *(f"macosx_{version}_0_x86_64" for version in (15, 14, 13, 12, 11)),
        *("macosx_10_15_x86_64", "macosx_10_13_x86_64", "macosx_10_12_x86_64"),
        *("macosx_10_9_x86_64", "macosx_10_10_x86_64", "macosx_11_0_universal2"),
        *("macosx_10_13_universal2", "macosx_10_9_universal2"),
    ],
}


def resolve(requirements: list[str], python: str, platforms: list[str]) -> str:
    """`ok`, or the requirement that pip found no wheel for."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
            *("--only-binary", ":all:", "--target", folder, "--python-version", python),
            *("--implementation", "cp", "--abi", f"cp{python.replace('.', '')}"),
            *("--abi", "abi3", "--abi", "none"),
            *(argument for platform in platforms for argument in ("--platform", platform)),
            *requirements,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return "ok"
    missing = re.search(r"No matching distribution found for (\S+)", result.stderr)
    return missing.group(1) if missing else result.stderr.strip().splitlines()[-1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", nargs="+", default=PYTHONS)
    parser.add_argument("--system", nargs="+", default=list(SYSTEMS))
    arguments = parser.parse_args()
    project = Path(__file__).parents[1] / "pyproject.toml"
    requirements = tomllib.loads(project.read_text())["project"]["dependencies"]
    print("system".ljust(14), *(python.ljust(12) for python in arguments.python))
    for system in arguments.system:
        cells = [resolve(requirements, python, SYSTEMS[system]) for python in arguments.python]
        print(system.ljust(14), *(cell.ljust(12) for cell in cells), flush=True)


if __name__ == "__main__":
    main()
