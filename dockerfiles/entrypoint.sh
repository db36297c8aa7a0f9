#!/bin/sh
# Each file of /run/secrets becomes an environment variable of that name, then the command runs in this process's place.
# Docker secrets are files, a server's configuration refers to ${oc.env:NAME}: this is where the two meet.
set -eu

for file in /run/secrets/*; do
  name=${file##*/}
  case $name in
    [0-9]* | *[!A-Z0-9_]*) continue ;; # not a name of a variable: whoever made it reads the file itself
  esac
  [ -f "$file" ] || continue
  if [ ! -r "$file" ]; then
    echo "error: the secret $name cannot be read by uid $(id -u); its file must be readable to all" >&2
    exit 1
  fi
  value=$(cat "$file" && printf .) # $( ) drops newlines at the end: the dot keeps them
  export "$name=${value%.}"
done
unset file name value

exec "$@"
