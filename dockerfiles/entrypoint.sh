#!/bin/sh
# Exports each file in /run/secrets as an environment variable with the name of the file, then runs the command in place of
# this process. Docker provides secrets as files, but the configuration of a server refers to them as ${oc.env:NAME}.
set -eu

for file in /run/secrets/*; do
  name=${file##*/}
  case $name in
    [0-9]* | *[!A-Z0-9_]*) continue ;; # not a variable name: its user reads the file directly
  esac
  [ -f "$file" ] || continue
  if [ ! -r "$file" ]; then
    echo "error: the secret $name cannot be read by uid $(id -u); its file must be world-readable" >&2
    exit 1
  fi
  value=$(cat "$file" && printf .) # $( ) removes trailing newlines; the dot keeps them
  export "$name=${value%.}"
done
unset file name value

exec "$@"
