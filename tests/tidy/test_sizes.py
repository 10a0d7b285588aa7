"""Functions and files are as short as the architecture wants them."""

from statistics import median

from tests.tidy.sources import CODE, functions, modules, relative

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN = 12
FILE_LINES_MAX = 400
FILE_LINES_MEDIAN = 150


def _lines() -> dict[str, int]:
    counted = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*CODE)}
    return {name: lines for name, lines in counted.items() if lines}


def test_no_function_is_too_long() -> None:
    found = [function for path in modules(*CODE) for function in functions(path)]
    assert [function for function in found if function.lines > FUNCTION_LINES_MAX] == []


def test_most_functions_are_short() -> None:
    assert median(function.lines for path in modules(*CODE) for function in functions(path)) <= FUNCTION_LINES_MEDIAN


def test_no_file_is_too_long() -> None:
    assert {name: lines for name, lines in _lines().items() if lines > FILE_LINES_MAX} == {}


def test_most_files_are_short() -> None:
    assert median(_lines().values()) <= FILE_LINES_MEDIAN
