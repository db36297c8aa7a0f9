"""What the reference pages say about environment variables and files; names come from the code where it has them."""

from __future__ import annotations

from pathlib import Path

from gymctl.config.blocks.hop_tokens import TOKENS_VARIABLE
from gymctl.config.vocabulary import (
    COLLECTOR_PORT,
    DRAIN_FILE,
    EDGE_TOKEN,
    HEAD_TOKEN,
    POLICY_TOKEN,
    SESSIONS_FILE,
)
from gymctl.engines.build.addons import VLLM_BASE, WHEELS
from gymctl.operations.membership import TOKEN_FILE
from gymctl.operations.monitoring import PORT_VARIABLE
from gymctl.rollouts.container_job import JOB_VARIABLE
from gymctl.rollouts.run_lock import CONTAINER_VARIABLE
from gymctl.rollouts.spec import RunFiles
from gymctl.server.run.log_level import FORMAT_VARIABLE, LEVEL_VARIABLE
from gymctl.server.run.serve import READY_FILE
from gymctl.server.settings import DEFAULT_PATIENCE_S, NOTICE_VARIABLE, PATIENCE_VARIABLE
from gymctl.stack.addons.vllm import HUB_TOKEN
from gymctl.stack.egress import CERTIFICATES
from gymctl.viewer.serving import TOKEN_VARIABLE

Section = tuple[str, str, tuple[tuple[str, str], ...]]
"""Title, introduction, and items: names (the first is the main one) with a description."""

_FILES = RunFiles(Path("rollouts.jsonl"))

ENVIRONMENT_VARIABLES: tuple[Section, ...] = (
    (
        "gymctl",
        "Read by the `gymctl` command.",
        (
            ("GYMCTL_BASE_IMAGE", "Base image of the servers' images, as `--base-image`. Default: `python:3.12-slim`."),
            (VLLM_BASE, "Base image, with Python 3.11, for `vllm:` blocks with `profile: cpu`."),
            (WHEELS, "Directory of wheels, or URL of an index, with the CPU build of torch for `profile: cpu`."),
            (
                TOKEN_VARIABLE,
                "Token of the page of `gymctl view`, 16 characters or more. By default a new one each time.",
            ),
            (
                LEVEL_VARIABLE,
                "Log level of the command and of every server without its own `log_level`: `debug`, `info`, `warning` "
                "or `error`.",
            ),
            (
                FORMAT_VARIABLE,
                "Format of the log lines of every server without a `log_format`: `text` or `json`.",
            ),
            (
                PORT_VARIABLE,
                f"Port on which `gymctl collect` answers `/metrics` for a local stack with `observe: true`. Default: "
                f"{COLLECTOR_PORT}.",
            ),
            (
                HEAD_TOKEN,
                "Token of the head, for `--role` on several machines. `head_server.token` of the configuration and "
                "`--token-file` have priority.",
            ),
            (
                POLICY_TOKEN,
                "Token for `gymctl policy` and for changes of endpoints through the head ([Training](../training.md)), "
                "read by `gymctl up`. By default a new one, in `.gymctl/policy-token`.",
            ),
            (
                EDGE_TOKEN,
                "Token that clients of the [edge](../edge.md) send, read by `gymctl up` and `render`. By default a new "
                "one, in `.gymctl/edge-token`.",
            ),
            (
                "NEMO_GYM_EXTRA_ROOTS",
                "Directories, separated by `:`, that are searched for configurations and servers before the current "
                "directory.",
            ),
            (
                "RAY_ADDRESS",
                "Ray cluster for checks, if the configuration has no `ray_head_node_address` and a server uses Ray. "
                "Servers outside a stack read it too.",
            ),
            (
                HUB_TOKEN,
                "Token for Hugging Face: for data sets, and as a secret of the stack for `vllm:` weights.",
            ),
            (
                "HF_HOME, HF_HUB_CACHE",
                "Location of this machine's Hugging Face cache; the configuration of a model in it is checked before "
                "vLLM starts.",
            ),
            ("HF_ENDPOINT", "Address of the Hugging Face Hub that `gymctl data` downloads from."),
            ("XDG_CACHE_HOME", "Location of the cache for data sets from GitLab. Default: `~/.cache`."),
            ("NO_COLOR, TERM", "Output has no colors if `NO_COLOR` is set or `TERM` is `dumb`."),
            ("TMPDIR", "Directory in which image builds are staged."),
            ("HOME", "Location of `~` and of the default directories above."),
        ),
    ),
    (
        "Docker",
        "Read as the `docker` command reads them: they select the engine.",
        (
            ("DOCKER_HOST", "Address of the engine."),
            ("DOCKER_CONTEXT", "Context to use if `DOCKER_HOST` is not set."),
            ("DOCKER_CONFIG", "Directory of Docker's configuration. Default: `~/.docker`."),
            ("DOCKER_TLS, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH", "TLS for `DOCKER_HOST`, and its certificates."),
            ("DOCKER_API_VERSION", "Version of the API to use; must be 1.44 or newer."),
        ),
    ),
    (
        "Proxies and certificates",
        "Passed to image builds, model servers, resources servers and vLLM: [Deployment](../deployment.md#proxies).",
        (
            (
                "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY",
                "Proxies, lowercase names first; otherwise those in Docker's `config.json`.",
            ),
            ("NO_PROXY", "Hosts, domains and networks that are reached without a proxy."),
            (
                "SSL_CERT_FILE, PIP_CERT, REQUESTS_CA_BUNDLE",
                "CA certificates, if `--ca-bundle` is not used; the first one that exists.",
            ),
        ),
    ),
    (
        "Slurm jobs",
        "Read by the script that `gymctl render --target slurm` writes ([Slurm](../slurm.md#settings-of-a-job)); the "
        "last one is set for the command of the job.",
        (
            (
                "GYMCTL_CONFIG_DIR",
                "Directory of the configuration on the nodes. Default: its directory at the time of rendering.",
            ),
            ("GYMCTL_JOB_DIR", "Directory for the job's files, shared by all nodes. Default: `gymctl-JOBID`."),
            ("GYMCTL_START_TIMEOUT", "Seconds to wait for models and servers. Default: 1800."),
            ("GYMCTL_HEAD_PORT", "Port of the head. Default: `head_server.port`."),
            ("GYMCTL_VLLM_PORT", "Port of the first vLLM. Default: 20000 plus the job's number modulo 20000."),
            ("GYMCTL_HEAD_URL", "URL of the head, for the command of the job."),
        ),
    ),
    (
        "Inside containers",
        "Set by gymctl in the containers of a stack; `environment` of a server cannot change the first two.",
        (
            ("NEMO_GYM_CONFIG_PATH", "Name of the server."),
            ("NEMO_GYM_CONFIG_DICT", "The server's slice of the configuration, as YAML."),
            ("GYM_...", "A secret; the entrypoint reads it from `/run/secrets`. The slice refers to it."),
            (
                PATIENCE_VARIABLE,
                f"Seconds that a call waits for a server without an address. Default: {DEFAULT_PATIENCE_S:g}; 60 on "
                "Swarm.",
            ),
            (NOTICE_VARIABLE, "Seconds that a server continues normally after SIGTERM. Default: 0; 4 on Swarm."),
            (
                "SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE",
                f"`/run/secrets/{CERTIFICATES}`, if there is a CA bundle.",
            ),
            (
                "HF_TOKEN_PATH, HF_HUB_OFFLINE",
                "In vLLM's containers: the file with the token; 1 if the model is a directory: nothing is fetched.",
            ),
            ("RAY_AUTH_MODE", "In Ray's containers: `disabled`, since only the stack's network reaches them."),
            (
                TOKENS_VARIABLE,
                "With `tokens: true`: path of the file with the tokens that the server accepts and sends.",
            ),
            ("GYMCTL_PROXY", "In a proxy for replicas, and in the edge: its configuration."),
            (
                "GYMCTL_PROMETHEUS, GYMCTL_ALERTS, GYMCTL_VLLM_ALERTS",
                "In the container of Prometheus: its configuration and the rules of alerts.",
            ),
            (f"{JOB_VARIABLE}, {CONTAINER_VARIABLE}", "In a collector's container: what to collect; its own name."),
        ),
    ),
)

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
                "Output of `gymctl quickstart`, with the same accompanying files.",
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
