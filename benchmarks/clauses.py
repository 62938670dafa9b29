"""Takes single clauses out of the checks, and prints those that nothing shows to be missing.

Usage: python -m benchmarks.clauses [--tests] [--operands] EVIDENCE [MODULE…]

EVIDENCE is what `python -m tests.matrix.learn EVIDENCE` leaves; MODULE names files of `model/checks` (all of them where
none is named). Everything runs in this process: each fault's evidence is read once, and judged once as it is. A mutant
is a check with one comparison left out, or (`--operands`) with one operand of an `and` or `or` left out; it is noticed
where any outcome, of any requirement on any subject, is another one than before. What no fault shows is tried
(`--tests`) on the tests of changed recordings, too. The list is to be read: not each survivor is a defect.
"""

from __future__ import annotations

import ast
import importlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

from benchmarks.mutation import mutants as assertions
from pytest_calico_ipip.judge.load import load
from pytest_calico_ipip.model import checks
from pytest_calico_ipip.model.catalogue import REQUIREMENTS
from pytest_calico_ipip.model.judgement import Judgement
from pytest_calico_ipip.model.world import World
from tests.matrix.suite import ROOT

FOLDER = Path(checks.__file__).parent
TESTS = (ROOT / "tests" / "model", ROOT / "tests" / "judge")
COMPARISONS = {"compare", "differ", "warn", "append"}  # calls whose absence makes a check look away
Check = Callable[..., Judgement]
Outcomes = dict[tuple[str, tuple[str, ...]], str]


@dataclass(frozen=True)
class Clause:
    """One thing that is taken out of one function."""

    module: str
    function: str  # "outer_header", "Case.compare"
    line: int
    words: str
    code: CodeType  # the function without it

    def __str__(self) -> str:
        return f"model/checks/{self.module}.py:{self.line} {self.function}: {self.words}"


def clauses(module: str, operands: bool) -> Iterator[Clause]:
    """Every mutant of one file; those of operands only where asked for."""
    file = FOLDER / f"{module}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for name, function in _functions(tree):
        for number, node in enumerate(ast.walk(function)):
            for change, words in _changes(node):
                if isinstance(node, ast.BoolOp) and not operands:
                    continue
                mutant = deepcopy(tree)
                there = next(each for each_name, each in _functions(mutant) if each_name == name)
                change(list(ast.walk(there))[number])
                code = compile(ast.fix_missing_locations(mutant), str(file), "exec")
                yield Clause(module, name, getattr(node, "lineno", function.lineno), words, _inside(code, name))


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for each in tree.body:
        if isinstance(each, ast.FunctionDef):
            yield each.name, each
        elif isinstance(each, ast.ClassDef):
            yield from ((f"{each.name}.{one.name}", one) for one in each.body if isinstance(one, ast.FunctionDef))


def _inside(code: CodeType, name: str) -> CodeType:
    for part in name.split("."):
        code = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == part)
    return code


def _changes(node: ast.AST) -> Iterator[tuple[Callable[[ast.AST], None], str]]:
    """What may be done to a node of the syntax tree, each with its words."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name(node.value) in COMPARISONS:
        yield _left_out, f"without {ast.unparse(node)[:100]}"
    elif isinstance(node, ast.BoolOp) and not isinstance(node.values[-1], (ast.Constant, ast.JoinedStr)):
        for number, operand in enumerate(node.values):
            yield _without(number), f"without {ast.unparse(operand)[:80]!r} of {ast.unparse(node)[:80]!r}"


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _left_out(node: ast.AST) -> None:
    assert isinstance(node, ast.Expr)
    node.value = ast.Constant(None)


def _without(number: int) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.BoolOp)
        neutral = isinstance(node.op, ast.And)
        node.values[number] = ast.Constant(neutral)

    return change


def specification() -> dict[str, Check]:
    """Requirement → its check, as the suite's tests name it."""
    found: dict[str, Check] = {}
    for each in assertions(ROOT / "conformance"):
        tree = ast.parse(each.file.read_text(encoding="utf-8"))
        imported = importlib.import_module(f"conformance.{each.file.stem}")
        call = next(node.test for node in ast.walk(tree) if isinstance(node, ast.Assert) and node.lineno == each.line)
        assert isinstance(call, ast.Call)
        found[each.requirement] = eval(ast.unparse(call.args[0]), vars(imported))  # noqa: S307, our own suite
    return found


def subjects(requirement: str, world: World) -> list[tuple[str, ...]]:
    """Whom it is judged for."""
    kind = REQUIREMENTS[requirement].subject
    if kind == "pair":
        return list(world.pairs())
    return [(node,) for node in world.selected] if kind == "node" else [()]


def judged(requirement: str, check: Check, world: World) -> Outcomes:
    """The outcomes of one requirement. A check that raises is noticed as well."""
    found: Outcomes = {}
    for subject in subjects(requirement, world):
        try:
            found[requirement, subject] = check(world, *subject).outcome.value
        except Exception as error:
            found[requirement, subject] = type(error).__name__
    return found


def _called(modules: list[ModuleType], spec: dict[str, Check]) -> dict[str, list[str]]:
    """Module → the requirements whose check may come through it."""
    by_name = {module.__name__.rpartition(".")[2]: module for module in modules}
    uses: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in uses:
            uses[name] = {name}
            names = (
                value.__module__ if hasattr(value, "__module__") else getattr(value, "__name__", "")
                for value in vars(by_name[name]).values()
            )
            shared = {str(each).rpartition(".")[2] for each in names}
            uses[name] |= {far for near in shared & set(by_name) - {name} for far in reach(near)}
        return uses[name]

    return {
        name: [one for one, check in spec.items() if name in reach(unwrap(check).__module__.rpartition(".")[2])]
        for name in by_name
    }


def _function(module: ModuleType, name: str) -> FunctionType:
    value: object = module
    for part in name.split("."):
        value = vars(value)[part]
    if isinstance(value, property):
        value = value.fget
    found = unwrap(value) if callable(value) else value
    assert isinstance(found, FunctionType), name
    return found


def _world(folder: Path) -> World:
    """Read once, and kept beside the evidence: tshark takes most of the time."""
    kept = folder / "world.pickle"
    if kept.exists():
        loaded: World = pickle.loads(kept.read_bytes())  # noqa: S301, written here
        return loaded
    world = load(folder / "evidence")
    kept.write_bytes(pickle.dumps(world))
    return world


def by_tests() -> bool:
    """Whether the tests on recordings fail as the checks are now; in a process of its own, with what is loaded here."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not lab and not clients", *map(str, TESTS)]))


def main(arguments: list[str]) -> int:
    """Try every clause; the survivors are printed."""
    flags = {word for word in arguments if word in ("--operands", "--tests")}
    arguments = [word for word in arguments if word not in flags]
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    spec = specification()
    names = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem != "__init__")
    modules = [importlib.import_module(f"{checks.__name__}.{name}") for name in names]
    concerned = _called(modules, spec)
    folders = [folder for folder in sorted(Path(arguments[0]).iterdir()) if (folder / "evidence" / "run.json").exists()]
    worlds = {folder.name: _world(folder) for folder in folders}
    before = {(fault, one): judged(one, check, world) for fault, world in worlds.items() for one, check in spec.items()}
    # those first in which most of a requirement fails
    order = {
        one: sorted(worlds, key=lambda fault: sum(v == "holds" for v in before[fault, one].values())) for one in spec
    }
    tried = survivors = 0
    for module in arguments[1:] or names:
        for clause in clauses(module, "--operands" in flags):
            tried += 1
            function = _function(modules[names.index(module)], clause.function)
            whole = function.__code__
            if whole.co_freevars != clause.code.co_freevars:
                continue
            function.__code__ = clause.code
            try:
                noticed = any(
                    judged(one, spec[one], worlds[fault]) != before[fault, one]
                    for one in concerned[module]
                    for fault in order[one]
                )
                if not noticed and "--tests" in flags:
                    noticed = by_tests()
            finally:
                function.__code__ = whole
            if not noticed:
                survivors += 1
                print(clause, flush=True)
    print(f"{tried} clauses left out, {survivors} of them unnoticed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
