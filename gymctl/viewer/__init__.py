"""The web page of ``gymctl view``: what was collected, and the stack that runs in a directory. Read-only.

``serve(...)`` runs it; ``create_app(...)`` is the ASGI application behind it. The page is plain ES modules and CSS in
``static/``, without a build step; ``static/vendor/`` has unchanged files of other projects, with their licences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymctl.lazy import names_on_demand

if TYPE_CHECKING:
    from gymctl.viewer.app import create_app
    from gymctl.viewer.serving import ViewOptions, serve

__all__ = ["ViewOptions", "create_app", "serve"]

__getattr__ = names_on_demand(__name__, {"app": ("create_app",), "serving": ("ViewOptions", "serve")})
