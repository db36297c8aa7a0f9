"""Labels by which gymctl finds its containers, services and nodes again."""

from __future__ import annotations

STACK = "gymctl.stack"
KIND = "gymctl.kind"
IMPLEMENTATION = "gymctl.implementation"
SERVER = "gymctl.server"  # the name in the configuration, where the service has another
PORT = "gymctl.port"
COMPLETES = "gymctl.completes"  # on containers that end by themselves
TRIES = "gymctl.tries"  # on containers that may fail at first: how often they may start until they are healthy
JOB = "gymctl.job"  # on containers of gymctl that Compose does not know
GPU = "gymctl.gpu"  # on a node that has one: docker node update --label-add gymctl.gpu=true NODE
GPU_KIND = "gymctl.gpu-kind"
BUILD_CONTEXT = "gymctl.context"  # on images: the digest of what they were built from
DIRECTORY = "gymctl.directory"  # on images: the directory whose stack they were built for
