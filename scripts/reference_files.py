"""Files that gymctl reads and writes, as the reference page lists them; names come from the code where it has them."""

from __future__ import annotations

from pathlib import Path

from reference_variables import Section

from gymctl.config.vocabulary import (
    DRAIN_FILE,
    SESSIONS_FILE,
)
from gymctl.operations.membership import TOKEN_FILE
from gymctl.rollouts.spec import RunFiles
from gymctl.server.run.ready_file import READY_FILE

_FILES = RunFiles(Path("rollouts.jsonl"))

FILES: tuple[Section, ...] = (
    (
        "A stack's directory",
        "The directory in which `gymctl up` runs. `gymctl down` removes these files, except where noted.",
        (
            (
                "compose.yaml",
                "Rendered stack on Compose. A file of this name that gymctl did not write is never changed.",
            ),
            ("swarm.yaml", "Rendered stack on Swarm."),
            (
                "observability/",
                "With `observe: true`: `prometheus.yaml`, `targets.json`, alerts, and `dashboard.json` for Grafana. "
                "`gymctl down` keeps them.",
            ),
            (".gymctl/", "State of the stack. Only its owner can enter it; git ignores it."),
            (
                ".gymctl/stack.json",
                "Which stack runs from this directory: engine, name, servers, addresses, arguments. Contains no "
                "secrets.",
            ),
            (
                ".gymctl/metrics-token, .gymctl/alertmanager.yaml",
                "With `observe`: the token of `/metrics`, and the configuration for an Alertmanager of a local stack.",
            ),
            (".gymctl/telemetry.json", "With `telemetry`: the block with its secret headers, for `gymctl collect`."),
            (".gymctl/configuration.json", "The stack's configuration with secrets masked, for the records of runs."),
            (".gymctl/secrets/NAME", "Value of one secret, mounted into the containers that use it."),
            (
                ".gymctl/secrets/gymctl-tokens",
                "With `tokens: true`: the [tokens of all servers](../secrets.md#tokens-between-servers), for commands "
                "on this machine. Those of a server and of the servers that it calls are in `gymctl-tokens-SERVER`.",
            ),
            (".gymctl/swarm/NAME", "Configs that the stack file for Swarm refers to."),
            (
                str(TOKEN_FILE),
                "Token of a head that workers register with. `gymctl down` keeps it, because workers have a copy.",
            ),
            (".gymctl/edge-token", "Token that clients of the [edge](../edge.md) send. `gymctl down` keeps it."),
            (
                ".gymctl/edge-certificate.pem, .gymctl/edge-ca.pem",
                "The edge's certificate and key, and the certificate of the CA that clients trust. `gymctl down` keeps "
                "them.",
            ),
            (".gymctl/policy-token", "Token for `gymctl policy` and the head's `/policy`; removed by `gymctl down`."),
            (".gymctl/collect-PID.json", "A running collection: its process and output. Removed when it ends."),
            (".gymctl/history.jsonl", "Changes of the stack, one per line, for `gymctl history`."),
            (".gymctl/change.lock", "Locked while a command changes the stack; contains its process id."),
            (".gymctl/previous/", "The version of the stack before the one that runs, including its secrets."),
            (".gymctl/local.pid, .gymctl/local.log", "Process id and log of the local engine."),
        ),
    ),
    (
        "Read by gymctl",
        "",
        (
            (
                "env.yaml",
                "Values and credentials; the first one in the [search roots](../configuration.md#layers). Never "
                "written.",
            ),
            (
                "stack.yaml",
                "Configuration of its directory, used if the command line names that directory or no file.",
            ),
            (
                "compose.override.yaml, .env",
                "Applied as by `docker compose`, with a note; `.env` only together with an override file.",
            ),
        ),
    ),
    (
        "Output of a collection",
        "Written by `gymctl collect --output rollouts.jsonl`, with the user's umask. "
        "[Collecting rollouts](../collect.md#files) describes the fields.",
        (
            (_FILES.output.name, "One line per result."),
            (_FILES.failures.name, "One line per failed attempt."),
            (_FILES.materialized.name, "The rows as they are sent."),
            (_FILES.metrics.name, "Aggregate metrics per agent."),
            (
                _FILES.identity.name,
                "Record and lock of the run: command, configuration with secrets masked, versions, images, start, end, "
                "totals.",
            ),
            (
                "rollouts.unmatched.jsonl",
                "Results that `--resume --force` could not match with a row of the new input.",
            ),
            ("rollouts_report.html", "The run as one page, unless `--no-report`; also written by `gymctl report`."),
            (
                "rollouts.index.sqlite",
                "Index of the results, for `gymctl results`, `view` and `report`. It may be deleted at any time.",
            ),
            ("rollouts.1.jsonl", "An earlier run: without `--resume`, its files are renamed like this."),
            ("rollouts.removed1.jsonl", "Contents of an output that another program removed during the run."),
            (
                "gymctl-quickstart/rollouts.jsonl",
                "Output of `gymctl quickstart`, with the same accompanying files, except the report.",
            ),
        ),
    ),
    (
        "Written by other commands",
        "",
        (
            (
                "TYPE.jsonl, TYPE_metrics.json, prepare_record.json",
                "`gymctl data prepare --output-dir DIR`: the rows of each type of data set, metrics, and a record "
                "([Data](../data.md#prepare)).",
            ),
            (
                "OUTPUT.manifest.json",
                "`gymctl export`: the manifest next to the exported file ([Export](../export.md#the-manifest)).",
            ),
            ("compose.yaml", "`gymctl render -o FILE`; without `-o`, the document is printed."),
            ("resources_servers/NAME/", "`gymctl env init NAME`: code, configuration, rows, a test and a README."),
        ),
    ),
    (
        "Inside containers",
        "",
        (
            ("/run/secrets/NAME", "Secrets, and the certificates as `gymctl-ca`."),
            (str(READY_FILE), "Touched by a server's event loop every 5 seconds; the health check looks at its age."),
            (
                DRAIN_FILE,
                "Created during an update: a server that keeps sessions accepts no new ones, and exits when its "
                "sessions have ended.",
            ),
            (SESSIONS_FILE, "Number of sessions that are still open on such a server."),
        ),
    ),
)
