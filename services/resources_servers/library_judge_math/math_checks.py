"""The library's verdict on an answer. Runs in a worker process or on a node of a Ray cluster, never in the server."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

NOT_EVALUATED = "the answer is not evaluated"
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_UNIT = re.compile(r"\\(?:text|textrm|mathrm|mbox|operatorname)\s*\{([^{}]*)\}[\s$}]*$")
# What a parser works out by itself, so that only the text shows that it was left to do
_OPERATION = re.compile(r"\\(?:sum|prod|i*int|oint|lim|[dt]?binom|gcd|lcm|max|min|det|b?mod|pmod)(?![a-z])|!")
_MOST_EXPONENT = 1000  # a larger power of a number is an answer: its digits are never written out


def library_verdict(expected: str, generated: str, only_evaluated: bool = False) -> tuple[bool, str | None, str | None]:
    r"""Whether math-verify finds ``expected`` in ``generated``, the answer it found there, and what went wrong, if so.

    The expected answer is read as LaTeX inside ``\boxed{}``; in the generated text a boxed answer is looked for first,
    then other formulas and numbers, as math-verify does by itself. With ``only_evaluated`` an answer that leaves the
    work to its reader is not right, unless the expected one does so too.
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
    from math_verify.errors import TimeoutException  # no subclass of Exception

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it logs answers that it cannot read
    try:
        expected_forms = parse(rf"\boxed{{{without_delimiters(expected)}}}", [LatexExtractionConfig()])
        answers = parse(generated, [ExprExtractionConfig(), LatexExtractionConfig()])
        if not expected_forms:
            return False, None, "expected_answer cannot be read"
        right = next((answer for answer in answers if verify(expected_forms, answer)), None)
        if only_evaluated and right is not None and not is_answer(expected, expected_forms, generated, answers):
            return False, str(answers[0]), NOT_EVALUATED
        if right is None and answers:
            best = answers[0]
        else:
            best = right
        return right is not None, None if best is None else str(best), None
    except (Exception, TimeoutException) as error:  # noqa: BLE001 - whatever a model's text makes of the library
        return False, None, f"math-verify: {type(error).__name__}: {error}"[:300]


def without_delimiters(answer: str) -> str:
    r"""An answer without the ``$...$`` or ``\(...\)`` around it, which the parser does not expect inside ``\boxed``."""
    answer = answer.strip()
    for before, after in ((r"\(", r"\)"), ("$$", "$$"), ("$", "$")):
        if answer.startswith(before) and answer.endswith(after) and len(answer) >= len(before) + len(after):
            return answer[len(before) : -len(after)].strip()
    return answer


def is_answer(expected: str, expected_forms: Sequence[Any], generated: str, answers: Sequence[Any]) -> bool:
    """Whether what math-verify ``found`` in a text is worked out as far as the expected answer, and has its unit."""
    unit = unit_of(generated)
    expected_unit = unit_of(expected)
    if unit and expected_unit and unit != expected_unit:
        return False
    return _is_worked_out(answers) or not _is_worked_out(expected_forms)


def unit_of(text: str) -> str:
    """The unit that ends an answer (the last boxed one, if any), in lower case; empty without one."""
    answers = _BOXED.findall(text)
    match = _UNIT.search(answers[-1] if answers else text)
    if match:
        return match[1].strip().lower()
    return ""


def _is_worked_out(parsed: Sequence[Any]) -> bool:
    """Whether a parsed answer, its formula and its text, leaves nothing to work out."""
    text = "".join(part for part in parsed if isinstance(part, str))
    formulas = [part for part in parsed if not isinstance(part, str)]
    if _OPERATION.search(text):
        return False
    return all(_is_simplest(formula, text) for formula in formulas)


def _is_simplest(formula: Any, text: str) -> bool:
    """Whether a formula of an answer is evaluated: a percentage is, a fraction that is a whole number is not."""
    if getattr(formula, "is_Integer", False) and re.search(r"frac|/", text):
        return False
    return is_evaluated(formula) or ("%" in text and _is_percentage(formula))


def is_evaluated(formula: Any) -> bool:
    """Whether a formula of sympy's, or a matrix of them, has no operation in it that gives a rational number."""
    import sympy

    if isinstance(formula, sympy.MatrixBase):
        return all(is_evaluated(element) for element in formula)
    if not isinstance(formula, sympy.Basic) or formula.is_Atom or _is_notation(formula):
        return True
    unfinished = (sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit, sympy.Derivative, sympy.UnevaluatedExpr)
    if isinstance(formula, unfinished) or _is_operation_on_numbers(formula):
        return False
    return all(is_evaluated(argument) for argument in formula.args)


def _is_operation_on_numbers(formula: Any) -> bool:
    """Whether a formula without variables gives a rational number, or is an equation, which names two answers."""
    import sympy

    if isinstance(formula, sympy.Eq):
        return not formula.lhs.free_symbols
    if not isinstance(formula, sympy.Expr) or formula.free_symbols or _is_closed_power(formula):
        return False
    value = formula.doit()
    return bool(value.is_Rational or value.is_Float)


def _is_notation(formula: Any) -> bool:
    """Whether a formula only writes a number: 10^8, 3 * 10^8, 50 %, or one with a sign."""
    import sympy

    if formula.is_Pow:
        return bool(formula.base == 10 and formula.exp.is_Integer)
    if not formula.is_Mul or len(formula.args) != 2:
        return False
    first, second = formula.args
    percent = isinstance(second, sympy.UnevaluatedExpr) and second.args[0] == sympy.Rational(1, 100)
    power = second.is_Pow and _is_notation(second)
    return bool(first.is_Number and (percent or power or (first == -1 and second.is_Number)))


def _is_percentage(formula: Any) -> bool:
    """Whether a formula is a number of hundredths, as math-verify 0.8 reads a percentage."""
    if not getattr(formula, "is_Mul", False) or len(formula.args) != 2:
        return False
    number, hundredth = formula.args
    return bool(number.is_Number and hundredth.is_Rational and (hundredth.p, hundredth.q) == (1, 100))


def _is_closed_power(formula: Any) -> bool:
    if formula.is_Pow:
        powers = [formula]
    else:
        powers = [part for part in formula.args if part.is_Pow]
    return any(power.exp.is_Integer and abs(power.exp) > _MOST_EXPONENT for power in powers)
