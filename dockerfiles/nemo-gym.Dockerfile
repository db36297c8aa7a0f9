# Unmodified servers of NeMo Gym: the base image that all of them share (also used for Ray's head and NeMo Gym's command
# line), or one server on top of it. `gymctl up` builds it and prepares the build context:
#   entrypoint.sh gymctl_ray.py requirements.py python_version.py
#   constraints.txt    versions from NeMo Gym's lock file that matter
#   checkout/    a NeMo Gym checkout; if empty, `nemo-gym` is installed from PyPI (NEMO_GYM_VERSION)
#   project/     the checkout's pyproject.toml, separate so that a change of its code does not rebuild the package layer
#   folder/      <kind>/<implementation>/, one server's own files; if empty, the files in the checkout or wheel are used
# In every image, /opt/gym is the folder that contains responses_api_models/ and the other kinds.
# The build secret `ca` (a CA bundle) is for networks with a proxy that terminates TLS; it does not remain in the image.
ARG BASE_IMAGE=python:3.13-slim
# The tag of an existing base image, or the stage that builds it
ARG NEMO_GYM_IMAGE=base

FROM ${BASE_IMAGE} AS packages
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=120
RUN --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt; fi; \
    python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9.30"
ARG NEMO_GYM_VERSION=0.7.0
# The oldest Python that the release accepts; an older one of the same series is used with a note
ARG NEMO_GYM_PYTHON=3.13.14
# The largest layer: the packages of NeMo Gym
RUN --mount=type=bind,source=project,target=/tmp/project \
    --mount=type=bind,source=constraints.txt,target=/tmp/constraints.txt \
    --mount=type=bind,source=python_version.py,target=/tmp/python_version.py \
    --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/uv \
    if [ -s /run/ca.crt ]; then export SSL_CERT_FILE=/run/ca.crt; fi; \
    if [ -f /tmp/project/pyproject.toml ]; then wanted="--requirements /tmp/project/pyproject.toml"; \
    else wanted="nemo-gym==${NEMO_GYM_VERSION}"; fi; \
    /opt/uv/bin/uv venv --quiet --python python3 /opt/venv && \
    wanted="$(/opt/venv/bin/python /tmp/python_version.py "${NEMO_GYM_PYTHON}") $wanted" && \
    /opt/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --constraints /tmp/constraints.txt $wanted

FROM ${BASE_IMAGE} AS base
ARG NEMO_GYM_PYTHON=3.13.14
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gym && \
    install -d -o gym -g gym /data
COPY --from=packages /opt/uv /opt/uv
COPY --from=packages /opt/venv /opt/venv
RUN ln -s /opt/uv/bin/uv /usr/local/bin/uv
COPY checkout /opt/checkout
# A checkout is installed in editable mode, as NeMo Gym does; its build requires a folder `cache`. The constraints keep the
# base image's versions of Ray and openai when a server's packages are added, as NeMo Gym does.
RUN --mount=type=bind,source=gymctl_ray.py,target=/tmp/gymctl_ray.py \
    --mount=type=bind,source=python_version.py,target=/tmp/python_version.py \
    --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/uv \
    if [ -s /run/ca.crt ]; then export SSL_CERT_FILE=/run/ca.crt; fi; \
    if [ -f /opt/checkout/pyproject.toml ]; then \
      older=$(/opt/venv/bin/python /tmp/python_version.py "${NEMO_GYM_PYTHON}" 2>/dev/null) && \
      mkdir -p /opt/checkout/cache && UV_LINK_MODE=copy /opt/uv/bin/uv pip install --quiet $older \
        --python /opt/venv/bin/python --no-deps --editable /opt/checkout && \
      /opt/venv/bin/python -m compileall -q /opt/checkout && ln -s /opt/checkout /opt/gym; \
    else \
      ln -s "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" /opt/gym; \
    fi && \
    cp /tmp/gymctl_ray.py "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && \
    mkdir -p /opt/build && \
    /opt/uv/bin/uv pip freeze --python /opt/venv/bin/python | grep -E '^(ray|openai)==' > /opt/build/constraints.txt
COPY --chmod=0755 entrypoint.sh /usr/local/bin/gymctl-entrypoint
COPY requirements.py /opt/build/
# Disable usage statistics of Ray, and store downloads in /tmp, which is writable.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp HF_HOME=/tmp/huggingface \
    RAY_USAGE_STATS_ENABLED=0
# Python images contain no byte code of the standard library; importing what servers import compiles the parts they need
RUN cd /tmp && env -u PYTHONDONTWRITEBYTECODE python -c "import gymctl_ray, nemo_gym.server_utils, nemo_gym.rollout_collection, \
    ray.util.client, uvicorn.lifespan.on, uvicorn.protocols.http.auto" && rm -rf /tmp/* /tmp/.[!.]*
USER gym
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/gymctl-entrypoint"]
CMD ["python", "app.py"]

FROM ${NEMO_GYM_IMAGE} AS server
USER root
ARG SERVER
COPY folder /opt/gym/
RUN --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/uv \
    if [ -s /run/ca.crt ]; then export SSL_CERT_FILE=/run/ca.crt; fi; \
    export UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=120 && \
    wanted=$(python /opt/build/requirements.py "/opt/gym/${SERVER}" /tmp/wanted) && \
    if [ -n "$wanted" ]; then \
      cd /tmp/wanted; \
      if grep -qE '^[^#]*(\bgit\+|\bgit *=)' * && ! command -v git > /dev/null; then \
        apt-get update -qq && apt-get install -qq --yes --no-install-recommends git > /dev/null && \
        rm -rf /var/lib/apt/lists/*; \
      fi && \
      /opt/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --constraints /opt/build/constraints.txt $wanted; \
    fi && cd / && rm -rf /tmp/wanted && env -u PYTHONDONTWRITEBYTECODE python -m compileall -q "/opt/gym/${SERVER}" && \
    chown -R gym:gym "/opt/gym/${SERVER}/"
USER gym
WORKDIR /opt/gym/${SERVER}
