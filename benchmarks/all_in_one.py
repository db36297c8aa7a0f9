"""Every server of one configuration in this process, each on its port: what ``gymctl up --engine local`` runs.

python all_in_one.py CONFIG.yaml HEAD_PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(config_file: str, head_port: str) -> None:
    """Serve until SIGTERM."""
    import uvloop

    from gymctl.config import load_config
    from gymctl.engines.local.addresses import plan_addresses
    from gymctl.engines.local.process import serve_until_told
    from gymctl.server.run.open_files import raise_file_limit

    raise_file_limit()
    arguments = [f"+config_paths=[{config_file}]", "+head_server.host=127.0.0.1", f"+head_server.port={head_port}"]
    config = load_config(arguments, cwd=Path.cwd(), environ=os.environ)
    uvloop.run(serve_until_told(config, plan_addresses(config)))


if __name__ == "__main__":
    main(*sys.argv[1:])
