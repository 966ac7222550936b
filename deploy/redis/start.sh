#!/bin/sh
# Redis with the password of REDIS_PASSWORD, which is in no process list: the config comes on stdin.
set -eu
: "${REDIS_PASSWORD:?is not set: see deploy/.env.example}"
password=$(printf '%s' "$REDIS_PASSWORD" | sed 's/[\\"]/\\&/g')
exec redis-server - <<EOF
requirepass "$password"
dir ${REDIS_DATA:-/data}
port ${REDIS_PORT:-6379}
appendonly yes
EOF
