"""Environment variables, as the reference page lists them; names come from the code where it has them."""

from __future__ import annotations

from gymctl.config.blocks.hop_tokens import TOKENS_VARIABLE
from gymctl.config.vocabulary import (
    COLLECTOR_PORT,
    EDGE_TOKEN,
    EGRESS_HOSTS_VARIABLE,
    EGRESS_PROXY_VARIABLE,
    EGRESS_SERVER_VARIABLE,
    HEAD_TOKEN,
    POLICY_TOKEN,
)
from gymctl.engines.build.addons import VLLM_BASE, WHEELS
from gymctl.operations.monitoring import PORT_VARIABLE
from gymctl.rollouts.container_job import JOB_VARIABLE
from gymctl.rollouts.run_lock import CONTAINER_VARIABLE
from gymctl.server.run.log_level import FORMAT_VARIABLE, LEVEL_VARIABLE
from gymctl.server.settings import DEFAULT_PATIENCE_S, NOTICE_VARIABLE, PATIENCE_VARIABLE
from gymctl.stack.addons.vllm import HUB_TOKEN
from gymctl.stack.egress import CERTIFICATES
from gymctl.viewer.serving import TOKEN_VARIABLE

Section = tuple[str, str, tuple[tuple[str, str], ...]]
"""Title, introduction, and items: names (the first is the main one) with a description."""

ENVIRONMENT_VARIABLES: tuple[Section, ...] = (
    (
        "gymctl",
        "Read by the `gymctl` command.",
        (
            (
                "GYMCTL_BASE_IMAGE",
                "Base image of the servers' images, as `--base-image`. Default: `python:3.12-slim`; for NeMo Gym's "
                "servers, the Python of their release.",
            ),
            (
                "GYMCTL_PACKAGE_LOCK",
                "Whether images install packages from gymctl's lock file with hashes: `auto` (the default; without the "
                "lock, and with a note, if the package index lacks a version), `required` or `off`.",
            ),
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
            (
                "XDG_CACHE_HOME",
                "Location of the cache for data sets from GitLab, and for indexes of results in read-only directories. "
                "Default: `~/.cache`.",
            ),
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
        "Passed to image builds, and to model servers, resources servers and vLLM if they have outbound access "
        "([Deployment](../deployment.md#proxies)).",
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
                "Directory on the nodes with `env.yaml` and your files. Default: the directory in which `gymctl "
                "render` was run.",
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
                f"Seconds for which a call retries while the name of a server does not resolve or its connections are "
                f"refused. Default: {DEFAULT_PATIENCE_S:g}; 60 on "
                "Swarm.",
            ),
            (NOTICE_VARIABLE, "Seconds that a server continues normally after SIGTERM. Default: 0; 4 on Swarm."),
            (
                "SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE",
                f"`/run/secrets/{CERTIFICATES}`, if there is a CA bundle.",
            ),
            (
                "HF_TOKEN_PATH, HF_HUB_OFFLINE",
                "In vLLM's containers: the file with the token; 1 if the model is a directory (nothing is fetched).",
            ),
            (
                "RAY_AUTH_MODE",
                "In Ray's containers: `disabled`, since only containers that share a network with them reach them.",
            ),
            (
                TOKENS_VARIABLE,
                "With `tokens: true`: path of the file with the tokens that the server accepts and sends.",
            ),
            (
                f"HTTP_PROXY, HTTPS_PROXY, NO_PROXY, {EGRESS_PROXY_VARIABLE}",
                "If `egress` of a server is a list of hosts: the proxy for these hosts, also in lowercase, and the "
                "hosts that are called without it.",
            ),
            (
                f"{EGRESS_SERVER_VARIABLE}, {EGRESS_HOSTS_VARIABLE}",
                "In the container of this proxy: the server, and the hosts that it may call.",
            ),
            ("GYMCTL_PROXY", "In a proxy for replicas, and in the edge: its configuration."),
            (
                "GYMCTL_PROMETHEUS, GYMCTL_ALERTS, GYMCTL_VLLM_ALERTS",
                "In the container of Prometheus: its configuration and the alert rules.",
            ),
            (f"{JOB_VARIABLE}, {CONTAINER_VARIABLE}", "In a collector's container: what to collect; its own name."),
        ),
    ),
)
