"""Calls that continue an earlier one: of a conversation that has grown, only what is new travels to the model server.

An agent asks the model server to keep the body of a call. The reply names what was kept, and the next call has only
the bytes from the first that differs, with that name and the number of bytes before it. A server that no longer has
the body answers 409, and the agent sends all of it; NeMo Gym's servers ignore the request and always get all of it.

The field of the header is ``x-gym-conversation``, in a request ``keep`` or ``continue NAME LENGTH``, in a reply
``kept NAME`` or ``not kept``.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import count

from cachetools import TTLCache

from gymctl.server.endpoints import Invoke
from gymctl.server.message import CONVERSATION_HEADER, Call, Reply
from gymctl.server.sessions import Session

KEEP = "keep"
NOT_KEPT = "not kept"
LEAST_BYTES = 16 * 1024
"""Bytes of a conversation that are worth keeping; of a smaller one, the names cost more than the bytes."""
_CONTINUE = "continue"
_KEPT = "kept"
_MOST_BYTES = 64 << 20
"""Bytes that a server keeps for all conversations together; those that were not continued for longest go first."""
_KEPT_FOR_S = 600.0


class KeptBodies:
    """Bodies of calls that may be continued.

    Args:
        most_mb: megabytes that a whole body may have, as the server's limit of a request.
    """

    def __init__(self, most_mb: float) -> None:
        self._most = int(most_mb * 1_000_000)
        self._bodies: TTLCache[str, bytes] = TTLCache(_MOST_BYTES, _KEPT_FOR_S, getsizeof=len)
        self._process = secrets.token_hex(8)  # another process, or this server after a restart, has other names
        self._numbers = count()

    def around(self, invoke: Invoke) -> Invoke:
        """An endpoint's function, with whole bodies for calls that continue an earlier one."""

        async def answer(call: Call, session: Session) -> Reply:
            """The endpoint's reply; it names the body where it is kept."""
            if not call.conversation:
                return await invoke(call, session)
            whole = self._whole(call)
            if whole is None:
                return Reply(409, headers={CONVERSATION_HEADER: NOT_KEPT})
            reply = await invoke(whole, session)
            if reply.status == 200:
                reply.headers[CONVERSATION_HEADER] = f"{_KEPT} {self._keep(whole.body)}"
            return reply

        return answer

    def _whole(self, call: Call) -> Call | None:
        """The call with its whole body; None when the beginning of that is not here, or does not fit."""
        if call.conversation == KEEP:
            return call
        action, _, rest = call.conversation.partition(" ")
        name, _, length = rest.partition(" ")
        beginning = self._bodies.pop(name, None)
        if action != _CONTINUE or beginning is None or not length.isdigit() or int(length) > len(beginning):
            return None
        kept = memoryview(beginning)[: int(length)]
        whole = b"".join((kept, call.body))
        if len(whole) > self._most:
            return None
        return replace(call, body=whole, kept=kept)

    def _keep(self, body: bytes) -> str:
        name = f"{self._process}{next(self._numbers):x}"
        if len(body) <= _MOST_BYTES // 2:
            self._bodies[name] = body
        return name


def kept_name(reply: Reply) -> str:
    """The name of a body that the server kept; empty when it kept none."""
    action, _, name = reply.headers.get(CONVERSATION_HEADER, "").partition(" ")
    if action == _KEPT:
        return name
    return ""


def is_not_kept(reply: Reply) -> bool:
    """Whether the server asks for the whole body."""
    return reply.status == 409 and reply.headers.get(CONVERSATION_HEADER) == NOT_KEPT


def continuing(name: str, length: int) -> str:
    """The header of a call whose first ``length`` bytes are those of the body that is kept as ``name``."""
    return f"{_CONTINUE} {name} {length}"
