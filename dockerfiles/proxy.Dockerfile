# HAProxy: in front of the replicas of a server if the replicas or their callers are NeMo Gym's servers, and as the edge.
# `gymctl up` builds this image. The container receives its configuration at startup (compose/proxy.yaml).
# The build secret `ca` (a CA bundle) is for networks with a proxy that terminates TLS; it does not remain in the image.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS server
RUN --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 \
    if [ -s /run/ca.crt ]; then options="-o Acquire::https::CAInfo=/run/ca.crt"; fi; \
    apt-get $options update -qq && apt-get $options install -y -qq --no-install-recommends haproxy && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gym
USER gym
WORKDIR /tmp
