"""CEL's extensions are loaded for the expressions that use them, and for no others."""

import subprocess
import sys

import pytest

from isthmus.machinery import cel


@pytest.mark.parametrize(
    ("text", "value", "result"),
    [
        ("self.all(a, a in ['x', 'y'])", ["x"], True),
        ("self.?name.orValue('none') == 'none'", {}, True),
        ("self[?0].hasValue()", [1], True),
        ("optional.of(self).value() == 1", 1, True),
        ("cel.bind(n, self + 1, n * n)", 2, 9),
        ("math.greatest(self)", [1, 3], 3),
        ("string(base64.decode(self))", "aGk=", "hi"),
        ("self.lowerAscii().split('-').join('_')", "A-B", "a_b"),
        ("'%d of %s'.format([self, 'x'])", 4, "4 of x"),
        ("self.trim().substring(1)", " abc ", "bc"),
    ],
)
def test_expressions_find_the_extensions_that_they_need(text, value, result) -> None:
    assert cel.Program(text).evaluate(value) == result


def test_the_old_value_may_be_missing() -> None:
    program = cel.Program("oldSelf.orValue(0) <= self", optional=True)
    assert program.evaluate(3) is True and program.evaluate(1, 2, has_old=True) is False


def test_a_plain_expression_loads_no_extension() -> None:
    script = (
        "import sys; from isthmus.machinery import cel; cel.Program('self.size() > 0').evaluate([1]);"
        "print([m for m in sys.modules if '.ext_' in m])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
