"""The library's verdict on an answer. Runs in a worker process or on a node of a Ray cluster, never in the server."""

from __future__ import annotations

import logging


def library_verdict(expected: str, generated: str) -> tuple[bool, str | None, str | None]:
    r"""Whether math-verify finds ``expected`` in ``generated``, the answer it found there, and what went wrong, if so.

    The expected answer is read as LaTeX inside ``\boxed{}``; in the generated text a boxed answer is looked for first,
    then other formulas and numbers, as math-verify does by itself.
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
    from math_verify.errors import TimeoutException  # no subclass of Exception

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it logs answers that it cannot read
    try:
        wanted = parse(rf"\boxed{{{without_delimiters(expected)}}}", [LatexExtractionConfig()])
        found = parse(generated, [ExprExtractionConfig(), LatexExtractionConfig()])
        if not wanted:
            return False, None, "expected_answer cannot be read"
        right = next((answer for answer in found if verify(wanted, answer)), None)
        if right is None and found:
            shown = found[0]
        else:
            shown = right
        return right is not None, None if shown is None else str(shown), None
    except (Exception, TimeoutException) as error:  # noqa: BLE001 - whatever a model's text makes of the library
        return False, None, f"math-verify: {type(error).__name__}: {error}"[:300]


def without_delimiters(answer: str) -> str:
    r"""An answer without the ``$...$`` or ``\(...\)`` around it, which the parser does not expect inside ``\boxed``."""
    answer = answer.strip()
    for before, after in ((r"\(", r"\)"), ("$$", "$$"), ("$", "$")):
        if answer.startswith(before) and answer.endswith(after) and len(answer) >= len(before) + len(after):
            return answer[len(before) : -len(after)].strip()
    return answer
