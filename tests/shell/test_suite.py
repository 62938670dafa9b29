"""The suite itself: how it is written, and that a checkout and a wheel run it alike on real Calico's evidence."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_calico_ipip.model.catalogue import REQUIREMENTS as CATALOGUE
from tests.shell.shell_project import Case, junit

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "recorded" / "v3.31.7-always"
SUITE = sorted((ROOT / "conformance").glob("test_*.py"))

REQUIREMENTS = set(CATALOGUE)
ALWAYS = {name: one for name, one in CATALOGUE.items() if not one.option}  # judged unasked
KINDS = ("node", "pair", "cluster")


def replay(where: Path, directory: Path, *arguments: str, path: Path | None = None) -> tuple[int, str, dict[str, Case]]:
    """Run pytest as a user does: exit status, output, JUnit's cases."""
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    report = directory / "junit.xml"
    quiet = ("-p", "no:asyncio", "-p", "no:cacheprovider")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, "--ipip-replay", str(RECORDED), f"--junitxml={report}", *arguments],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr, junit(report)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, dict[str, Case]]:
    """The suite, run in this checkout."""
    return replay(ROOT, tmp_path_factory.mktemp("checkout"), "conformance/")


def test_real_calico_is_healthy(checkout: tuple[int, str, dict[str, Case]]) -> None:
    """On the evidence of a real cluster nothing fails and nothing errs, and something of each kind is asserted."""
    status, output, cases = checkout
    assert status == 0, output
    assert {case.result for case in cases.values()} == {"passed", "skipped"}
    assert re.search(r"VERDICT  \d+ requirements hold on 3 nodes and \d+ pairs?; 3 are not in this evidence", output)


def test_what_is_skipped_is_not_in_the_evidence(checkout: tuple[int, str, dict[str, Case]]) -> None:
    """Every skip says what the evidence does not have, or why the cluster has nothing of the kind."""
    skipped = [case for case in checkout[2].values() if case.result == "skipped"]
    assert skipped
    assert all(re.search(r"not in this evidence: |not applicable: ", case.message) for case in skipped)


def test_every_requirement_is_in_junit(checkout: tuple[int, str, dict[str, Case]]) -> None:
    """Each requirement of the catalogue that the suite covers is named in JUnit, with its level and its subject."""
    cases = checkout[2].values()
    assert {case.properties["requirement"] for case in cases} == set(ALWAYS)
    levels = {case.properties["requirement"]: case.properties["level"] for case in cases}
    assert levels == {name: requirement.level for name, requirement in ALWAYS.items()}
    kinds = {(case.properties["requirement"], kind) for case in cases for kind in KINDS if kind in case.properties}
    assert kinds == {(name, requirement.subject) for name, requirement in ALWAYS.items()}


def test_the_classname_is_the_file(checkout: tuple[int, str, dict[str, Case]]) -> None:
    """JUnit's classname is `conformance.<file>`."""
    assert {case.classname for case in checkout[2].values()} == {
        f"conformance.{path.stem}" for path in SUITE if path.stem != "test_baseline"
    }


def test_a_wheel_runs_the_same(
    checkout: tuple[int, str, dict[str, Case]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As a wheel lays it out, `--pyargs pytest_calico_ipip.conformance` gives the same ids, names and results."""
    site = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__", "lab")
    shutil.copytree(ROOT / "pytest_calico_ipip", site / "pytest_calico_ipip", ignore=ignored)
    shutil.copytree(ROOT / "conformance", site / "pytest_calico_ipip" / "conformance", ignore=ignored)
    away = tmp_path_factory.mktemp("away")
    status, output, cases = replay(away, away, "-v", "--pyargs", "pytest_calico_ipip.conformance", path=site)
    assert status == 0, output
    assert {name: (case.classname, case.result) for name, case in cases.items()} == {
        name: (case.classname, case.result) for name, case in checkout[2].items()
    }
    assert "conformance/test_mtu.py::test_tunnel_mtu[virtnest-rook-ceph-1]" in output


@pytest.mark.parametrize("extra", [(), ("-n2",), ("installed",)])
def test_without_the_plugin_one_sentence_says_so(extra: tuple[str, ...], tmp_path: Path) -> None:
    """Exit status 4 where it is switched off, and not an error for each file whose marker nobody knows."""
    where, path, arguments = ROOT, ROOT, ("conformance/", *extra)
    if extra == ("installed",):
        where, path, arguments = tmp_path, tmp_path / "site", ("--pyargs", "pytest_calico_ipip.conformance")
        shutil.copytree(ROOT / "conformance", path / "pytest_calico_ipip" / "conformance")
        (path / "pytest_calico_ipip" / "__init__.py").touch()
    quiet = ("-p", "no:asyncio", "-p", "no:cacheprovider", "-p", "no:calico_ipip")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, *arguments],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.fullmatch("ERROR: the suite needs the plugin .*", ran.stderr.strip())
    assert "requirement" not in ran.stdout


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_a_test_is_one_sentence_and_one_assertion(path: Path) -> None:
    """Each test names one requirement, says it in one sentence, and asserts one judgement: no mechanism."""
    tests = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert tests
    for test in tests:
        (decorator,) = test.decorator_list
        assert re.fullmatch(r"pytest\.mark\.requirement\('[A-Z]+-\d+'(, level='SHOULD')?\)", ast.unparse(decorator))
        sentence = ast.get_docstring(test)
        assert sentence is not None
        assert sentence.endswith(".")
        _, body = test.body
        assert isinstance(body, ast.Assert)
        assert ast.unparse(body).startswith("assert judged(")


def test_a_requirement_has_one_test() -> None:
    """No requirement is asserted in two places."""
    named = [name for path in SUITE for name in re.findall(r'requirement\("([A-Z]+-\d+)"', path.read_text())]
    assert sorted(named) == sorted(REQUIREMENTS)


def test_markers_and_judgements_agree(checkout: tuple[int, str, dict[str, Case]], tmp_path: Path) -> None:
    """The requirement that a test names is the one that its check judges."""
    (tmp_path / "agree.py").write_text(
        """
import pytest
from pytest_calico_ipip.judged import JUDGEMENT, requirement_of

@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    judgement = item.stash.get(JUDGEMENT, None)
    assert judgement is None or judgement.requirement == requirement_of(item), item.nodeid
"""
    )
    status, output, _ = replay(ROOT, tmp_path, "-p", "agree", "conformance/", path=tmp_path)
    assert status == 0, output
