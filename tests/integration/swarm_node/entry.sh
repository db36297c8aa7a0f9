#!/bin/bash
# One nested Docker daemon, on its socket and on 2375 of its own container's network; arguments are dockerd's.
set -euo pipefail
# With cgroup v1 a container's cgroup mounts are read-only, and some are missing: a privileged one may mount its own.
mountpoint -q /sys/fs/cgroup || mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
if [ ! -f /sys/fs/cgroup/cgroup.controllers ]; then
  for controller in $(awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups); do
    place=/sys/fs/cgroup/$controller
    mountpoint -q "$place" && continue
    mkdir -p "$place"
    mount -t cgroup -o "$controller" cgroup "$place" 2>/dev/null || rmdir "$place" || true
  done
fi
rm -rf /var/run/docker.pid /var/run/docker /var/run/containerd # stale after a killed node is started again
# the lab's own network: no registry there has a certificate
exec dockerd --insecure-registry 172.31.240.0/20 -H unix:///var/run/docker.sock -H tcp://0.0.0.0:2375 --tls=false "$@"
