# Prometheus and Alertmanager for a stack with `observe: true`. `gymctl up` builds this image. The containers receive
# their configuration at startup (compose/prometheus.yaml, compose/alertmanager.yaml).
# The build secret `ca` (a CA bundle) is for networks with a proxy that terminates TLS; it does not remain in the image.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS server
RUN --mount=type=secret,id=ca,target=/run/ca.crt,mode=0444 \
    if [ -s /run/ca.crt ]; then options="-o Acquire::https::CAInfo=/run/ca.crt"; fi; \
    apt-get $options update -qq && \
    apt-get $options install -y -qq --no-install-recommends prometheus prometheus-alertmanager && \
    ln -s /usr/bin/prometheus-alertmanager /usr/local/bin/alertmanager && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# A new volume mounted at one of these directories gets its owner from the image
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gym && \
    install -d -o gym -g gym /prometheus /alertmanager
ENV HOME=/tmp
USER gym
WORKDIR /tmp
