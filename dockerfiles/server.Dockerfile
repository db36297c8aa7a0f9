# A server of a stack, or the job that collects rollouts from it. `gymctl up` builds it and prepares the build context:
#   gymctl/ services/ entrypoint.sh
#   install_packages.sh {builder,server}.{requirements,lock}.txt    base packages, with hashes (PACKAGE_LOCK)
#   requirements.txt    additional packages of one server; may be empty
# The layers are ordered from the least to the most frequently changed: base packages, a server's own packages, code.
# /data belongs to the server's user, so that a named volume mounted there is writable.
# The build secret `ca` (a CA bundle) is for networks with a proxy that terminates TLS; it does not remain in the image.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS packages
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
ARG PACKAGE_LOCK=auto
COPY install_packages.sh builder.requirements.txt builder.lock.txt /tmp/packages/
RUN --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt; fi; \
    python3 -m venv /opt/uv && sh /tmp/packages/install_packages.sh builder ${PACKAGE_LOCK}
COPY server.requirements.txt server.lock.txt /tmp/packages/
RUN --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/uv \
    if [ -s /run/ca.crt ]; then export SSL_CERT_FILE=/run/ca.crt; fi; \
    /opt/uv/bin/uv venv --quiet --python python3 /opt/venv && \
    sh /tmp/packages/install_packages.sh server ${PACKAGE_LOCK}

FROM ${BASE_IMAGE} AS code
COPY gymctl /opt/gymctl/gymctl
COPY services /opt/gymctl/services
# checked-hash: byte code stays valid even if a copy changes the modification times of files
RUN python3 -m compileall -q --invalidation-mode checked-hash /opt/gymctl

FROM ${BASE_IMAGE} AS server
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gym && \
    install -d -o gym -g gym /data
COPY --from=packages /opt/venv /opt/venv
# Python images contain no byte code of the standard library, and a read-only container would compile it at every start.
# Importing what servers import (and below, what Ray's seven processes per node import) compiles the parts they need.
RUN env -u PYTHONDONTWRITEBYTECODE /opt/venv/bin/python -c "import asyncio, resource, \
    aiohttp, cachetools, fastapi, httptools, msgspec, omegaconf, orjson, pydantic, stamina, uvicorn, uvicorn.lifespan.on, \
    uvicorn.protocols.http.httptools_impl, uvloop, yaml"
# uv is mounted for this step only
RUN --mount=type=bind,from=packages,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt \
    --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/uv \
    set -e; \
    if [ -s /run/ca.crt ]; then export SSL_CERT_FILE=/run/ca.crt; fi; \
    if [ -s /tmp/requirements.txt ]; then \
      UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never /opt/uv/bin/uv pip install --quiet \
        --python /opt/venv/bin/python --requirement /tmp/requirements.txt; \
    fi; \
    if grep -q "^ray\[default\]" /tmp/requirements.txt; then \
      cd /tmp && env -u PYTHONDONTWRITEBYTECODE /opt/venv/bin/python -c "import ray.scripts.scripts, ray.dashboard.dashboard, \
        ray.dashboard.agent, ray.util.client.server.server, ray._private.workers.default_worker" && rm -rf /tmp/ray; \
    fi
COPY --chmod=0755 entrypoint.sh /usr/local/bin/gymctl-entrypoint
COPY --from=code /opt/gymctl /opt/gymctl
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/gymctl PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER gym
WORKDIR /opt/gymctl
ENTRYPOINT ["/usr/local/bin/gymctl-entrypoint"]
CMD ["python", "app.py"]

# For `gymctl env test`: the same image with the packages of a server's tests. The server's folder is mounted.
FROM server AS test
USER root
RUN --mount=type=bind,from=packages,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,source=test.requirements.txt,target=/tmp/test.requirements.txt \
    --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/uv \
    if [ -s /run/ca.crt ]; then export SSL_CERT_FILE=/run/ca.crt; fi; \
    UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never /opt/uv/bin/uv pip install --quiet \
      --python /opt/venv/bin/python --requirement /tmp/test.requirements.txt
USER gym
