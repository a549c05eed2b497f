"""What is said of the project twice agrees, and a wheel stays small."""

from pathlib import Path
import re
import tomllib

from dipy_synth import __version__

ROOT = Path(__file__).parents[1]
MOST_MB = 45  # of a wheel


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_is_of_this_version_and_licence():
    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] == __version__
    licence = re.search(r"^license: (.+)$", text, re.MULTILINE)[1]
    assert project()["license"].startswith(licence)


def test_the_container_runs_the_commands_of_the_readme():
    container = (ROOT / "Dockerfile").read_text()
    readme = (ROOT / "README.md").read_text()
    install, tests = (
        re.search(rf"## {title}\n.*?```bash\n(.*?)\n```", readme, re.S)[1]
        for title in ("Quick start", "Run the tests")
    )
    assert f"RUN {install.split(' && ')[0]}\n" in container
    assert f"RUN {tests}\n" in container


def test_the_bundled_models_fit_into_a_wheel():
    files = (ROOT / "dipy_synth").rglob("*")
    size = sum(path.stat().st_size for path in files if path.is_file())
    assert size < MOST_MB * 1e6
