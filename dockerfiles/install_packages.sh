#!/bin/sh
# install_packages.sh builder|server auto|required|off: install what builds an image (uv), or what its servers run on.
# NAME.lock.txt lists versions and hashes of NAME.requirements.txt; scripts/lock_images.py writes it.
#   auto      use the lock; if the package index lacks one of its versions, print a note and use the bounds
#   required  use the lock, or fail
#   off       use the bounds
# A file whose hash is not in the lock is never installed, except with `off`.
set -eu
name=$1
mode=$2
cd "$(dirname "$0")"
log=/tmp/install.log

install() {
  case $name in
    builder) /opt/uv/bin/pip install --quiet --disable-pip-version-check "$@" ;;
    server) /opt/uv/bin/uv pip install --quiet --python /opt/venv/bin/python "$@" ;;
  esac
}

if [ "$mode" = off ]; then
  echo "note: the packages of $name.requirements.txt are installed without hashes, as GYMCTL_PACKAGE_LOCK=off requests"
elif install --require-hashes --requirement "$name.lock.txt" 2> "$log"; then
  exit 0
else
  # without the expected hashes, which would push the cause out of the lines that a failed build shows
  sed -E '/^ *(sha256:|Expected)/d' "$log" >&2
  missing=$(sed -nE 's/.*(no version of|No matching distribution found for) ([^ ]+==[^ ,]+).*/\2/p' "$log" | sort -u | tr '\n' ' ')
  if [ "$mode" = required ] || [ -z "$missing" ] || grep -qiE 'hash mismatch|do not match the hashes' "$log"; then
    exit 1
  fi
  echo "note: the packages of $name.requirements.txt are installed without hashes: the package index lacks $missing"
fi
rm -f "$log"
install --requirement "$name.requirements.txt"
