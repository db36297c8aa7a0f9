r"""200 pairs of an expected answer and a generated text, made from a fixed list: what models write for what is wanted.

Every pair holds the verdict that a person would give. math-verify does not give it in every case, and the server is to
say what math-verify says: that is what the tests compare.
"""

from __future__ import annotations

from fractions import Fraction


def pairs() -> list[tuple[str, str]]:
    """``(expected_answer, generated text)``, 200 of them, all different."""
    made = [
        *_integers(),
        *_fractions(),
        *_decimals(),
        *_percent(),
        *_surds(),
        *_sets(),
        *_intervals(),
        *_tuples(),
        *_algebra(),
        *_matrices(),
        *_units(),
        *_words(),
        *_odd(),
        *_sums(),
    ]
    return [(expected, text) for expected, text in dict.fromkeys(made)][:200]


def boxed(answer: str) -> str:
    return rf"Step by step we find that the answer is $\boxed{{{answer}}}$."


def _table(text: str) -> list[tuple[str, str]]:
    """One pair a line, with ``~`` between its two sides."""
    sides = (line.strip().split("  ~  ") for line in text.strip().splitlines())
    return [(expected, boxed(answer)) for expected, answer in sides]


def _integers() -> list[tuple[str, str]]:
    numbers = [0, 7, -3, 12, 144, 1000, 65536, 2147483648, 10**15, -999]
    right = [(str(n), boxed(str(n))) for n in numbers]
    wrong = [(str(n), boxed(str(n + 1))) for n in numbers]
    grouped = [(str(n), boxed(f"{n:,}".replace(",", "{,}"))) for n in numbers[5:8]]
    powers = [("1024", boxed("2^{10}")), ("1024", boxed("2^{11}")), ("120", boxed("5!")), ("8", boxed("2^3"))]
    return [*right, *wrong, *grouped, *powers]


def _fractions() -> list[tuple[str, str]]:
    made = []
    for top, bottom in ((1, 2), (3, 4), (-5, 6), (22, 7), (10, 4), (63, 256)):
        value = rf"\frac{{{top}}}{{{bottom}}}"
        made += [
            (value, boxed(f"{top}/{bottom}")),
            (value, boxed(rf"\dfrac{{{2 * top}}}{{{2 * bottom}}}")),
            (value, boxed(rf"\frac{{{top + 1}}}{{{bottom}}}")),
            (f"{top}/{bottom}", boxed(f"{float(Fraction(top, bottom)):.6g}")),
        ]
    return [*made, (r"\frac12", boxed(r"\tfrac12")), (r"1\frac{1}{2}", boxed(r"\frac{3}{2}"))]


def _decimals() -> list[tuple[str, str]]:
    return _table(
        r"""
        0.5  ~  0.50
        0.5  ~  .5
        0.333333  ~  \frac{1}{3}
        3.14  ~  \pi
        2.5  ~  5/2
        0.1  ~  0.10000001
        1.0  ~  1
        -0.25  ~  -\frac14
        6.02e23  ~  6.02 \times 10^{23}
        0.7  ~  0,7
        """
    )


def _percent() -> list[tuple[str, str]]:
    percentages = [(rf"{n}\%", boxed(form)) for n in (5, 12, 50, 100) for form in (rf"{n}\%", str(n), str(n / 100))]
    return [*percentages, (r"50\%", boxed(r"\frac12")), ("25", boxed(r"25\%")), (r"33.3\%", boxed(r"33\%"))]


def _surds() -> list[tuple[str, str]]:
    return _table(
        r"""
        \sqrt{8}  ~  2\sqrt{2}
        3\sqrt{2}  ~  \sqrt{18}
        \sqrt{2}  ~  1.414
        \sqrt{2}  ~  \sqrt{3}
        \frac{1}{\sqrt{2}}  ~  \frac{\sqrt{2}}{2}
        \sqrt[3]{27}  ~  3
        2+\sqrt{3}  ~  \sqrt{3}+2
        2-\sqrt{3}  ~  \frac{1}{2+\sqrt{3}}
        \sqrt{-4}  ~  2i
        \pi\sqrt{2}  ~  \sqrt{2}\pi
        """
    )


def _sets() -> list[tuple[str, str]]:
    return _table(
        r"""
        \{1, 2\}  ~  \{2, 1\}
        \{1, 2\}  ~  \{1, 2, 3\}
        \{1, 2\}  ~  1, 2
        \{1,2\}  ~  x=1 \text{ or } x=2
        \emptyset  ~  \varnothing
        \{0\}  ~  0
        \{\frac12, 3\}  ~  \{3, 0.5\}
        \{a, b\}  ~  \{b, a\}
        1, 2, 3  ~  3, 2, 1
        1, 2, 3  ~  1, 2
        """
    )


def _intervals() -> list[tuple[str, str]]:
    return _table(
        r"""
        [0, 1)  ~  [0, 1)
        [0, 1)  ~  [0, 1]
        (0, 1)  ~  0 < x < 1
        (-\infty, 2]  ~  x \leq 2
        (-\infty, 0) \cup (1, \infty)  ~  (1, \infty) \cup (-\infty, 0)
        [1, 3]  ~  1 \le x \le 3
        (2, 5)  ~  (2, 6)
        [0, \infty)  ~  x \geq 0
        """
    )


def _tuples() -> list[tuple[str, str]]:
    return _table(
        r"""
        (1, 2)  ~  (1, 2)
        (1, 2)  ~  (2, 1)
        (1, 2, 3)  ~  (1, 2, 3)
        (3, 4)  ~  x=3, y=4
        (\frac12, 1)  ~  (0.5, 1)
        (1, 2), (3, 4)  ~  (3, 4), (1, 2)
        (0, 0)  ~  0
        """
    )


def _algebra() -> list[tuple[str, str]]:
    return _table(
        r"""
        x^2 - 1  ~  (x-1)(x+1)
        x^2 - 1  ~  x^2 + 1
        2x + 3  ~  3 + 2x
        x + y  ~  y + x
        a/b  ~  \frac{a}{b}
        x = 5  ~  5
        5  ~  x = 5
        y = 2x + 1  ~  2x + 1
        \sin^2 x  ~  1 - \cos^2 x
        e^{i\pi}  ~  -1
        \ln 4  ~  2 \ln 2
        \log_2 8  ~  3
        n(n+1)/2  ~  \frac{n^2+n}{2}
        2n  ~  n
        x > 3  ~  3 < x
        \binom{5}{2}  ~  10
        3 + 4i  ~  4i + 3
        3 + 4i  ~  3 - 4i
        \infty  ~  \infty
        2\pi  ~  6.28
        """
    )


def _matrices() -> list[tuple[str, str]]:
    two = r"\begin{{pmatrix}} {} & {} \\ {} & {} \end{{pmatrix}}"
    column = r"\begin{{pmatrix}} {} \\ {} \end{{pmatrix}}"
    return [
        (two.format(1, 2, 3, 4), boxed(two.format(1, 2, 3, 4))),
        (two.format(1, 2, 3, 4), boxed(two.format(1, 3, 2, 4))),
        (two.format(1, 0, 0, 1), boxed(two.format("2/2", 0, 0, 1).replace("pmatrix", "bmatrix"))),
        (column.format(1, 2), boxed(column.format(1, 2))),
        (column.format(1, 2), boxed("(1, 2)")),
        (r"\frac{1}{2}", boxed(column.format(1, 2))),
    ]


def _units() -> list[tuple[str, str]]:
    return _table(
        r"""
        5  ~  5 \text{ cm}
        5 \text{ cm}  ~  5
        5\text{ cm}  ~  50\text{ mm}
        90^\circ  ~  90
        \$20  ~  20
        20  ~  \$20.00
        12 \text{ apples}  ~  12
        60  ~  60\,\mathrm{km/h}
        """
    )


def _words() -> list[tuple[str, str]]:
    return _table(
        r"""
        \text{even}  ~  \text{even}
        \text{even}  ~  \text{odd}
        A  ~  \text{A}
        B  ~  C
        yes  ~  Yes
        \text{Monday}  ~  Monday
        """
    )


def _sums() -> list[tuple[str, str]]:
    """Unreduced sums of fractions against their value, right and one thirteenth off."""
    made = []
    for n in range(2, 13):
        value = Fraction(1, n) + Fraction(2, n + 1)
        expected = rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
        off = value + Fraction(1, 13)
        made.append((expected, boxed(rf"\frac{{1}}{{{n}}} + \frac{{2}}{{{n + 1}}}")))
        made.append((expected, boxed(rf"\frac{{{off.numerator}}}{{{off.denominator}}}")))
    return made


def _odd() -> list[tuple[str, str]]:
    return [
        ("5", "I cannot solve this."),
        ("5", ""),
        ("5", "The answer is 5."),
        ("5", "It is 4, no, it is 5"),
        ("42", "<think>41?</think> Therefore 42"),
        ("5", boxed("4") + " Wait: " + boxed("5")),
        ("", boxed("5")),
        ("$7$", boxed("7")),
        (r"\(7\)", boxed("7")),
        ("$$7$$", boxed("8")),
        (r"\frac{1", boxed("1")),
        ("5", r"\boxed{5"),
        ("9", boxed("3^{2^{1}}")),
        ("5", boxed("")),
        ("1", "$1 + 1 - 1$"),
        ("10", "ten"),
        ("0", "O"),
        ("3", boxed(r"\text{3}")),
        ("5", "\x00\x01" + boxed("5")),
        ("5", boxed("5") + " 🎉" * 50),
        ("-1", boxed("\u22121")),
        ("½", boxed("1/2")),
        (r"\frac{0}{0}", boxed(r"\frac{0}{0}")),
        (r"\frac{1}{0}", boxed(r"\infty")),
        ("5", "(((((" * 40 + boxed("5")),
    ]
