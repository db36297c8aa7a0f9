"""Replace every interpolation and find every unset value.

OmegaConf resolves; it is given only what interpolations can reach, since building its tree is what costs time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, dotted
from gymctl.config.nested import copied, follow, with_texts
from gymctl.config.sources.interpolation_size import MOST_CHARACTERS, MOST_REFERENCES, Size, ValueSizes
from gymctl.config.sources.nemo_rl import TRAINER_RESOLVERS
from gymctl.config.vocabulary import MISSING
from gymctl.config.wording import did_you_mean
from gymctl.errors import ErrorCode

_TOO_MUCH = f"more than {MOST_CHARACTERS:,} characters or {MOST_REFERENCES:,} interpolations"
_TEXT = "the text to resolve"  # no key of a configuration
CALCULATION = "gymctl."  # before the name of a function that a recipe of NeMo RL calls; NeMo Gym itself has none
_FROM_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:")
_NOT_FOUND = re.compile(r"Interpolation key '([^']+)' not found")
_NO_VARIABLE = re.compile(r"Environment variable '([^']+)' not found")


def resolve(merged: Mapping[str, Any], environ: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    """A copy of the merged configuration with every interpolation replaced.

    Unset ``???`` and interpolations without a target become problems; their values are then None.
    """
    resolved: dict[str, Any] = copied(merged)
    open_places = list(_open_places(merged, ()))
    for path, text in open_places:
        if text == MISSING:
            findings.problem(
                path, f"{dotted(path)} has no value (???)", f"set it: ++{dotted(path)}=VALUE", ErrorCode.NO_VALUE
            )
            _put(resolved, path, None)
    references = [
        (path, text)
        for path, text in open_places
        if text != MISSING and not _filled_at_once(path, text, merged, resolved)
    ]
    if references and not _multiply(references, merged, resolved, environ, findings):
        _resolve_references(references, merged, resolved, environ, findings)
    return resolved


def resolve_text(text: str, values: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """A text with its interpolations replaced from ``values`` and the environment, before anything is merged.

    Raises:
        ValueError: one of them has no target; the message names it.
    """
    if "${" not in text:
        return text
    if not ValueSizes({**values, _TEXT: text}, environ).at((_TEXT,)).is_bounded:
        raise ValueError(f"its interpolations expand to {_TOO_MUCH}")
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    read_variables_from(environ)
    try:
        within = _reachable([((_TEXT,), text)], {**values, _TEXT: text})
        return str(OmegaConf.create(_prepared(within))[_TEXT])
    except OmegaConfBaseException as error:
        raise ValueError(_first_line(error)) from error


def _multiply(
    references: list[tuple[KeyPath, str]],
    merged: Mapping[str, Any],
    resolved: dict[str, Any],
    environ: Mapping[str, str],
    findings: Findings,
) -> bool:
    """Whether interpolations expand to more than can be resolved, which is then a problem of the first of them."""
    measure = ValueSizes(merged, environ)
    total = Size()
    for path, text in references:
        total += measure.at(path)
        if not total.is_bounded:
            message = f"{dotted(path)}: with {text[:60]!r} the interpolations expand to {_TOO_MUCH}"
            findings.problem(path, message, "check for values that refer to each other")
            for place, _ in references:
                _put(resolved, place, None)
            return True
    return False


def _open_places(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _open_places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _open_places(item, (*path, index))
    elif isinstance(value, str) and (value == MISSING or "${" in value):
        yield path, value


def _filled_at_once(path: KeyPath, text: str, merged: Mapping[str, Any], resolved: dict[str, Any]) -> bool:
    """Fill in a plain reference to a plain value, which most are: that needs no OmegaConf."""
    value = follow(text, merged)
    if isinstance(value, dict | list) or (isinstance(value, str) and (value == MISSING or "${" in value)):
        return False
    _put(resolved, path, value)
    return True


def _resolve_references(
    references: list[tuple[KeyPath, str]],
    merged: Mapping[str, Any],
    resolved: dict[str, Any],
    environ: Mapping[str, str],
    findings: Findings,
) -> None:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    read_variables_from(environ)
    references = [(path, text) for path, text in references if not _is_malformed(path, text, resolved, findings)]
    try:
        tree = OmegaConf.create(_prepared(_reachable(references, resolved)))
    except OmegaConfBaseException as error:
        findings.problem((), f"the configuration cannot be read: {_first_line(error)}")
        return
    for path, text in references:
        value = None
        try:
            node: Any = tree
            for part in path[:-1]:
                node = node._get_node(part)
            value = node[path[-1]]
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
        except (OmegaConfBaseException, RecursionError) as error:
            _explain(error, path, text, merged, findings)
        _put(resolved, path, value)


def _is_malformed(path: KeyPath, text: str, resolved: dict[str, Any], findings: Findings) -> bool:
    from omegaconf import OmegaConf
    from omegaconf.errors import GrammarParseError

    try:
        OmegaConf.create({"value": text})
    except GrammarParseError:
        findings.problem(path, f"{dotted(path)}: {text!r} is not a valid interpolation", r"write \${ for a literal ${")
        _put(resolved, path, None)
        return True
    return False


def read_variables_from(environ: Mapping[str, str]) -> None:
    """Make ``gymctl.env`` read ``environ``: ``oc.env`` would read the process, which may not be what was given.

    The functions of NeMo RL's recipes are registered with it.
    """
    from omegaconf import OmegaConf

    absent = object()

    def variable(name: str, default: Any = absent) -> Any:
        """The value of an environment variable, as OmegaConf's ``oc.env`` gives it; KeyError if it is not set."""
        if name in environ:
            return environ[name]
        if default is absent:
            raise KeyError(f"Environment variable '{name}' not found")
        if default is None:
            return default
        return str(default)

    register = getattr(OmegaConf, "register_resolver", None) or OmegaConf.register_new_resolver  # 2.4 renamed it
    register("gymctl.env", variable, replace=True)
    for name, function in TRAINER_RESOLVERS.items():
        register(CALCULATION + name, function, replace=True)


def _reachable(references: list[tuple[KeyPath, str]], merged: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level entries that contain an interpolation, or whose name is in one; all if a name may be computed."""
    texts = {text for _, text in references}
    if any("${" in text[text.index("${") + 2 :].split("}")[0] for text in texts):
        return dict(merged)
    holders = {path[0] for path, _ in references}
    every = "\n".join(texts)
    return {key: value for key, value in merged.items() if key in holders or str(key) in every}


def _prepared(value: Any) -> Any:
    """A copy for OmegaConf: variables through our resolver."""
    return with_texts(value, lambda text: _FROM_ENVIRONMENT.sub("${gymctl.env:", text))


def _put(data: Any, path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


def _explain(error: BaseException, path: KeyPath, text: str, merged: Mapping[str, Any], findings: Findings) -> None:
    reason = _first_line(error)
    if match := _NOT_FOUND.search(reason):
        missing = match[1]
        scalars = [str(key) for key, value in merged.items() if not isinstance(value, dict)]
        hint = did_you_mean(missing, scalars, cutoff=0.85)
        hint = hint or f"set it in env.yaml, or on the command line: ++{missing}=VALUE"
        findings.problem(path, f"{dotted(path)} refers to {missing}, which is not set", hint)
    elif match := _NO_VARIABLE.search(reason):
        hint = f"export it, or set a default: ${{oc.env:{match[1]},VALUE}}"
        problem = f"{dotted(path)} refers to the environment variable {match[1]}, which is not set"
        findings.problem(path, problem, hint, ErrorCode.UNSET_VARIABLE)
    elif isinstance(error, RecursionError) or "ecursi" in reason:
        findings.problem(path, f"{dotted(path)}: {text} refers to itself", "remove one of the references")
    else:
        findings.problem(path, f"{dotted(path)}: {text} cannot be resolved: {reason}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
