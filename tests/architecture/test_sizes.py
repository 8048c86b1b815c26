"""Small pieces, each with a word on what it is: sizes and docstrings of app/."""

import ast
import statistics

from tests.support.source_tree import Module, modules

LONGEST_MODULE = 300
LONGEST_FUNCTION = 60
USUAL_FUNCTION = 35
MEDIAN_FUNCTION = 10
# `self` not counted.
CONSTRUCTOR_ARGUMENTS = 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


def length(function: Function) -> int:
    """Lines from `def` to the end, the docstring left out: explaining more must not count against it."""
    end = function.end_lineno or function.lineno
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        return end - function.lineno - ((first.end_lineno or first.lineno) - first.lineno)
    return end - function.lineno + 1


def every_function() -> list[tuple[Module, Function]]:
    return [(module, function) for module in modules() for function in module.functions()]


def test_every_module_and_package_says_what_it_is() -> None:
    silent = [module.name for module in modules() if not (ast.get_docstring(module.tree) or "").strip()]
    assert silent == []


def test_every_folder_of_python_is_a_package() -> None:
    folders = {module.path.parent for module in modules()}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_module_is_swollen() -> None:
    swollen = {module.name: module.lines for module in modules() if module.lines > LONGEST_MODULE}
    assert swollen == {}


def test_no_function_is_swollen() -> None:
    swollen = {
        f"{module.name}:{function.name}": length(function)
        for module, function in every_function()
        if length(function) > LONGEST_FUNCTION
    }
    assert swollen == {}


def test_functions_are_small_as_a_rule() -> None:
    lengths = [length(function) for _, function in every_function()]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION
    assert sum(size <= USUAL_FUNCTION for size in lengths) / len(lengths) > 0.97


def test_constructors_take_few_arguments() -> None:
    crowded = {}
    for module, function in every_function():
        arguments = function.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
        if function.name == "__init__" and count > CONSTRUCTOR_ARGUMENTS:
            crowded[f"{module.name}:{function.lineno}"] = count
    assert crowded == {}
