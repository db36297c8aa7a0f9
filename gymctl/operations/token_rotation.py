"""Replace the tokens of a running stack, and show one: ``gymctl secrets rotate`` and ``gymctl secrets token``.

For a while every server accepts two tokens: first the servers learn the new one, then the callers use it, then the old
one is withdrawn. Each step leaves files with which every call succeeds, so that an interrupted change can be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl.config.blocks.hop_tokens import SECRET_PREFIX, HopTokens
from gymctl.config.vocabulary import HEAD_NAME, TOKENS_KEY
from gymctl.config.wording import suggestion
from gymctl.engines.own_folder import FOLDER, PREVIOUS_FOLDER, SECRETS_FOLDER
from gymctl.engines.protocol import OnServer
from gymctl.engines.secret_files import changed_in_place
from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import StackState, load_state
from gymctl.errors import EngineError, InputError
from gymctl.operations.events import ignore
from gymctl.operations.hop_tokens import new_token, stored_tokens
from gymctl.operations.stack_change import stack_change
from gymctl.stack.service_names import HEAD_SERVICE

if TYPE_CHECKING:
    from gymctl.stack.hop_tokens import Tokens

WAIT_S = 2.0
"""After each step. Servers and commands look at their files once a second."""


def rotate_tokens(directory: Path | None = None, *, wait: float = WAIT_S, on_event: OnServer = ignore) -> int:
    """Give every server of a running stack a new token, without a restart and without failing a call.

    Args:
        directory: where the stack was brought up; by default the working directory.
        wait: seconds after each step.
        on_event: takes the states of servers that a Swarm replaces.

    Returns:
        How many tokens were replaced.

    Raises:
        InputError: no stack was brought up there, or its servers have no tokens.
        EngineError: a file cannot be written, another command changes the stack, a proxy does not answer, or a server
            on a Swarm did not become healthy and all continue as before.
    """
    directory = stack_directory(directory)
    state = load_state(directory)
    with stack_change(directory, "gymctl secrets rotate") as detail:
        old = _tokens_of(state, directory)
        new = {name: new_token() for name in old}
        detail.text = f"{len(new)} tokens replaced"
        for step in _steps(old, new):
            if step is not None:
                _write(directory, step)
                _apply(directory, on_event)
            else:
                time.sleep(wait)
    return len(new)


def server_token(server: str, directory: Path | None = None) -> str:
    """The token for calls to a server of a directory's stack; ``head`` is the head.

    Raises:
        InputError: no stack was brought up there, its servers have no tokens, or it has no such server.
    """
    directory = stack_directory(directory)
    state = load_state(directory)
    tokens = _tokens_of(state, directory)
    if server == HEAD_SERVICE and server not in tokens:
        server = HEAD_NAME
    if server not in tokens:
        names = [HEAD_SERVICE if name == HEAD_NAME else name for name in tokens]
        raise InputError(f"the stack {state.name} has no server {server!r}", suggestion(server, names))
    return tokens[server][0]


def _tokens_of(state: StackState, directory: Path) -> Tokens:
    """The tokens of a stack.

    Raises:
        InputError: it has none.
    """
    tokens = stored_tokens(directory)
    if not tokens:
        hint = f"add `{TOKENS_KEY}: true` to its configuration, then run gymctl up"
        raise InputError(f"the servers of the stack {state.name} have no tokens", hint)
    return tokens


def _steps(old: Tokens, new: Mapping[str, str]) -> Iterator[Tokens | None]:
    """What servers accept in each step, and callers use: the first. None: wait until all have seen the step."""
    yield {name: (*tokens[:2], new[name]) for name, tokens in old.items()}  # a third one is of a change that began
    yield None
    yield {name: (new[name], tokens[0]) for name, tokens in old.items()}
    yield None
    yield {name: (new[name],) for name in old}
    yield None  # the old ones are refused when the command ends


def _write(directory: Path, tokens: Tokens) -> None:
    """Bring the files of a stack, and those that a rollback would restore, up to these tokens.

    Raises:
        EngineError: one cannot be read or written.
    """
    for place in (directory, directory / FOLDER / PREVIOUS_FOLDER):
        for path in sorted((place / FOLDER / SECRETS_FOLDER).glob(f"{SECRET_PREFIX}*")):
            try:
                before = HopTokens.parse(path.read_text(encoding="ascii"))
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise EngineError(f"{path} cannot be read: {reason}", "run `gymctl up` again") from error
            changed_in_place(path, _with_tokens(before, tokens, path.name).text.encode())


def _with_tokens(file: HopTokens, tokens: Tokens, name: str) -> HopTokens:
    """A file with other tokens of the same servers."""
    if name == SECRET_PREFIX:
        return HopTokens(calls={server: tokens.get(server, own) for server, own in file.calls.items()})
    accepts = next((own for own in tokens.values() if set(own) & set(file.accepts)), file.accepts)
    kept = [token for token in file.accepts if token in accepts]
    added = [token for token in accepts if token not in kept]
    return HopTokens((*kept, *added), {server: tokens.get(server, own)[:1] for server, own in file.calls.items()})


def _apply(directory: Path, on_event: OnServer) -> None:
    """Have containers use the tokens in the files of a directory's stack, where they do not so by themselves."""
    state = load_state(directory)
    if state.engine == "compose":
        from gymctl.engines.compose.proxy_tokens import update_proxies

        update_proxies(state)
    elif state.engine == "swarm":
        from gymctl.engines.swarm.token_secrets import update_token_secrets

        update_token_secrets(directory, state, on_event)
