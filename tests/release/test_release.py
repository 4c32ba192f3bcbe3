"""What is released: the source distribution and the wheel that ``python -m build`` makes of it, version, citation.

Slow: builds in environments of their own, for which packages are installed.
"""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from graphmix import __version__

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def tracked(*folders: str) -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository, from which the list of files is taken")
    return {name for name in run("git", "ls-files", "-z", *folders).split("\0") if name}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(source distribution, wheel); the wheel is built from the source distribution."""
    pytest.importorskip("build", reason="the release needs the package build")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


def test_the_wheel_holds_the_package_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(distributions[1]).namelist())
    inside = {name for name in names if name.startswith("graphmix/")}
    assert inside == tracked("graphmix")
    for ending in (".lua", ".toml", ".safetensors", ".pyi", "py.typed"):
        assert any(name.endswith(ending) for name in inside), ending
    assert {name.split("/")[0] for name in names} == {"graphmix", f"graphmix-{__version__}.dist-info"}


def test_the_source_distribution_holds_all_that_is_tracked(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        members = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    assert not {name for name in tracked() if not name.startswith(".")} - members
    assert members - tracked() <= {"PKG-INFO"}


def test_metadata_say_what_pyproject_says(distributions: tuple[Path, Path]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(distributions[1]) as wheel:
        metadata = email.message_from_bytes(wheel.read(f"graphmix-{__version__}.dist-info/METADATA"))
        commands = wheel.read(f"graphmix-{__version__}.dist-info/entry_points.txt").decode()
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == project["requires-python"]
    assert "graphmix = graphmix.cli:main" in commands
    assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])


@pytest.mark.parametrize("which", [0, 1], ids=["sdist", "wheel"])
def test_it_installs_and_finds_its_data(distributions: tuple[Path, Path], which: int, tmp_path: Path) -> None:
    """Dependencies are those of this environment: what is looked at is the package's own part."""
    venv.create(tmp_path / "venv", with_pip=True, system_site_packages=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    (Path(own) / "outer.pth").write_text(f"{site}\n", encoding="utf-8")
    run(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", distributions[which], cwd=tmp_path)
    assert run(tmp_path / "venv" / "bin" / "graphmix", "--version", cwd=tmp_path).strip() == f"graphmix {__version__}"
    code = "import graphmix; print(graphmix.__file__); print(graphmix.load_estimator('graph').sample_rate)"
    where, rate = run(python, "-W", "ignore", "-c", code, cwd=tmp_path).split()
    assert where.startswith(own)
    assert int(rate) > 0


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert "version" in project["project"]["dynamic"]
    assert not re.search(r"^version:", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)


def test_the_changelog_has_a_section_of_this_version_or_of_what_comes() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] in ("Unreleased", __version__)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)) <= kinds


def test_the_citation_is_valid(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    bin_ = tmp_path / "venv" / "bin"
    run(bin_ / "python", "-m", "pip", "install", "--quiet", "cffconvert", "setuptools<81")  # which it imports
    run(bin_ / "cffconvert", "--validate", "-i", ROOT / "CITATION.cff", cwd=tmp_path)
