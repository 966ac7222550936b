#!/bin/sh
# Once, when the source's volume is new: the role that owns the sample, and that Airflow reads it as. It is no superuser.
# REPLICATION is what mode cdc needs; for watermark alone it may go.
set -eu
: "${SOURCE_USER:?is not set}" "${SOURCE_PASSWORD:?is not set: see deploy/.env.example}"
# By psql's variables: a name or a password may hold any character. The password is in no process list.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set role `printf '%s' "$SOURCE_USER"`
\set password `printf '%s' "$SOURCE_PASSWORD"`
\set database `printf '%s' "$POSTGRES_DB"`
CREATE ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION PASSWORD :'password';
ALTER DATABASE :"database" OWNER TO :"role";
REVOKE CONNECT ON DATABASE :"database" FROM PUBLIC;
SQL
