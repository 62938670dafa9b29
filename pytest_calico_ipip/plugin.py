"""pytest hooks."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip import in_lab, options, session
from pytest_calico_ipip.conclusion import conclude, describe
from pytest_calico_ipip.ending import Ending
from pytest_calico_ipip.errors import IpipError, UsageProblem
from pytest_calico_ipip.gathering import Gathering
from pytest_calico_ipip.judged import requirement_of
from pytest_calico_ipip.session import notes
from pytest_calico_ipip.sharing import Sharing, wish

pytest_plugins = ["pytest_calico_ipip.fixtures"]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Options and their ini twins."""
    options.add_options(parser)
    if any(Path(name).name == "conftest.py" for name, _ in pluginmanager.list_name_plugin()):
        options.add_kubeconfig(parser, pluginmanager)  # one of them loads us, too late for the next hook


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """All plugins are loaded: whose `--kubeconfig` it is, and who else has an option of ours, in one sentence."""
    try:
        options.add_kubeconfig(parser, early_config.pluginmanager)
        again = parser.parse_known_args(args, namespace=copy(early_config.option))
        early_config.known_args_namespace.file_or_dir = again.file_or_dir  # its value was taken for one until now
        return (yield)
    except (argparse.ArgumentError, ValueError) as error:
        if "--kubeconfig" not in str(error) and "--ipip-" not in str(error):
            raise
        raise pytest.UsageError(
            f"a conftest.py here, or another plugin, defines an option that pytest-calico-ipip has, too: {error}\n"
            "Call it otherwise there, or leave this plugin out with -p no:calico_ipip."
        ) from None


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """`--ipip-lab` goes into the lab and `--ipip-cleanup` deletes leftovers before anything is collected."""
    if session.only_listing(config) or not session.asked_for(config):
        return None
    given = options.Given.read(config)
    try:
        if given.flag("--ipip-print-images"):
            for image in options.images(given):
                print(image)
            return int(pytest.ExitCode.OK)
        if given.flag("--ipip-cleanup"):
            return _clean_up(config)
        if given.source() is options.LAB:
            if given.flag("--ipip-keep"):
                raise UsageProblem(
                    "--ipip-keep with --ipip-lab: nothing is left of a lab that has ended",
                    "run pytest in `calico-ipip-lab shell`, or keep the evidence alone (--ipip-evidence DIR)",
                )
            session.refuse(config)
            return in_lab.run(config, given)
    except UsageProblem as problem:
        raise pytest.UsageError(str(problem)) from None
    return None


def _clean_up(config: pytest.Config) -> int:
    settings = session.settings(config)
    if not settings.live:
        raise UsageProblem("--ipip-cleanup needs a cluster", "give --kubeconfig FILE")
    from pytest_calico_ipip.cluster.cleanup import cleanup  # loads the Kubernetes client

    try:
        deleted = cleanup(settings)
    except IpipError as problem:
        print(problem)
        return int(pytest.ExitCode.TESTS_FAILED)
    for name in deleted:
        print(f"deleted {name}")
    if not deleted:
        print(f"nothing to delete: no leftovers in {settings.place}")
    return int(pytest.ExitCode.OK)


def pytest_configure(config: pytest.Config) -> None:
    """The marker; and what is wrong with the options, as early as exit status 4 can be had."""
    config.addinivalue_line(
        "markers",
        "requirement(id, level='MUST'): the requirement of the catalogue that this test asserts, and its level",
    )
    if not session.only_listing(config) and session.asked_for(config):
        session.refuse(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Gathering(config), "calico_ipip_gathering")
        if not session.only_listing(config) and session.asked_for(config) and session.observes(config):
            config.pluginmanager.register(Ending(config), "calico_ipip_ending")
        if session.parallel(config) and not session.only_listing(config) and session.observes(config):
            config.pluginmanager.register(Sharing(config), "calico_ipip_sharing")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Where the run looks: context and server, never a credential."""
    if session.only_listing(config) or not session.asked_for(config):
        return []
    return [f"calico-ipip: {session.source(session.settings(config))}"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: the controller's node list goes to every worker."""
    if session.asked_for(node.config) and not session.only_listing(node.config):
        session.refuse_unknown_nodes(node.config)
        subjects = session.subjects(node.config)
        if subjects.problem is None:
            node.workerinput["ipip_nodes"] = list(subjects.nodes)
        else:
            node.workerinput["ipip_problem"] = [subjects.problem.problem, subjects.problem.remedy]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """xdist: what a worker's judges noted goes to the controller, which writes the verdict."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["ipip_notes"] = notes(session.config)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """A file of the suite is `conformance/<file>` in every id and report, in a checkout and in a wheel."""
    if module_path.resolve().parent not in session.SUITES:
        return None
    module: pytest.Module = pytest.Module.from_parent(
        parent, path=module_path, nodeid=f"conformance/{module_path.name}"
    )
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for our `node` or `pair` runs for each one in scope."""
    for name in ("node", "pair"):
        if name in metafunc.fixturenames and session.fixture_of_ours(metafunc.definition, name):
            subjects = session.subjects(metafunc.config)
            values, ids = subjects.node_parameters() if name == "node" else subjects.pair_parameters()
            metafunc.parametrize(name, values, ids=ids, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The last place where a wrong option still gives exit status 4; and what JUnit says of each test."""
    ours = [item for item in items if session.belongs_to_us(item)]
    if not ours:
        return
    if not session.only_listing(config) and not hasattr(config, "workerinput"):
        session.refuse(config)
        session.refuse_unknown_nodes(config)
    _leave_out_what_nobody_asked_for(config, items, ours)
    timed = config.pluginmanager.has_plugin("timeout")
    for item in ours:
        describe(item)
        if timed and item.get_closest_marker("timeout") is None:
            # pytest-timeout would count the whole observation, which has bounds of its own, as the first test's set-up
            item.add_marker(pytest.mark.timeout(func_only=True))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """xdist: a worker whose tests need the evidence says so."""
    wish(session.config, session.items)


def _leave_out_what_nobody_asked_for(config: pytest.Config, items: list[pytest.Item], ours: list[pytest.Item]) -> None:
    """Requirements that an option asks for are not collected without it (a list of tests shows them)."""
    if session.only_listing(config):
        return
    from pytest_calico_ipip.model.catalogue import REQUIREMENTS  # not needed where no test of ours is collected

    given = options.Given.read(config)
    silent = {r.id: r.option for r in REQUIREMENTS.values() if r.option and not given.asks(r.option)}
    unasked = [item for item in ours if requirement_of(item) in silent]
    if unasked and len(unasked) == len(items):
        idents = sorted({requirement_of(item) for item in unasked})
        raise pytest.UsageError(f"{', '.join(idents)}: judged only with {', '.join(silent[one] for one in idents)}")
    if unasked:
        left_out = set(unasked)
        items[:] = [item for item in items if item not in left_out]
        ours[:] = [item for item in ours if item not in left_out]
        config.hook.pytest_deselected(items=unasked)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judgements become outcomes and sentences."""
    made = yield
    if session.belongs_to_us(item):
        conclude(item, call, made)
    return made
