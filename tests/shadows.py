"""Objects that hide PostgreSQL's own from whoever looks names up in the schemas where they are.

For every operator and function of pg_catalog there is one of the same name and arguments; for every pair of common
types and every operator that has none for them, there is one; and each type and catalog has a namesake. All call a
canary, which writes `CANARY` into the server's log and fails.
"""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Database

SONG = "CANARY"

_CANARY = """
CREATE FUNCTION {schema}.canary(what pg_catalog.text) RETURNS pg_catalog.bool LANGUAGE plpgsql AS $body$
BEGIN RAISE EXCEPTION 'CANARY: % of {schema}', what; END $body$;
GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
"""
# Where a kind of object cannot be copied (a pseudo-type, an argument of a kind that plpgsql does not take), it cannot
# be put in front by anybody who is no superuser either.
_FILL = """
DO $do$
DECLARE r record; n int := 0; made int := 0; result text;
BEGIN
  FOR r IN SELECT p.proname, pg_catalog.oidvectortypes(p.proargtypes) AS arguments, p.pronargs,
                  pg_catalog.format_type(p.prorettype, NULL) AS result, p.proretset
           FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace
  LOOP
    BEGIN
      EXECUTE pg_catalog.format(
        'CREATE FUNCTION {schema}.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L',
        r.proname, r.arguments, CASE WHEN r.proretset THEN 'SETOF' ELSE '' END, r.result,
        pg_catalog.format('BEGIN RAISE EXCEPTION ''CANARY: function %%'', %L; END', r.proname));
      made := made + 1;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR r IN
    WITH types AS (SELECT t.oid, pg_catalog.format_type(t.oid, NULL) AS called FROM pg_catalog.pg_type t
                   WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typname = ANY({types})),
         names AS (SELECT DISTINCT o.oprname FROM pg_catalog.pg_operator o WHERE o.oprname = ANY({operators}))
    SELECT o.oprname, pg_catalog.format_type(o.oprleft, NULL) AS l, pg_catalog.format_type(o.oprright, NULL) AS r,
           o.oprleft = 0 AS prefix
    FROM pg_catalog.pg_operator o WHERE o.oprright <> 0
    UNION
    SELECT n.oprname, ls.called, rs.called, false FROM names n CROSS JOIN types ls CROSS JOIN types rs
  LOOP
    BEGIN
      n := n + 1;
      EXECUTE pg_catalog.format(
        'CREATE FUNCTION {schema}."canary %s"(%s) RETURNS pg_catalog.bool LANGUAGE plpgsql AS %L', n,
        CASE WHEN r.prefix THEN r.r ELSE r.l || ', ' || r.r END,
        pg_catalog.format('BEGIN RAISE EXCEPTION ''CANARY: operator %%'', %L; END', r.oprname));
      EXECUTE pg_catalog.format('CREATE OPERATOR {schema}.%s (FUNCTION = {schema}."canary %s"%s, RIGHTARG = %s)',
        r.oprname, n, CASE WHEN r.prefix THEN '' ELSE ', LEFTARG = ' || r.l END, r.r);
      made := made + 1;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR r IN SELECT t.typname FROM pg_catalog.pg_type t
           WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' AND t.typelem = 0
  LOOP
    BEGIN
      EXECUTE pg_catalog.format(
        'CREATE DOMAIN {schema}.%I AS pg_catalog.text CHECK ({schema}.canary(''type ''::pg_catalog.text))', r.typname);
      made := made + 1;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR r IN SELECT c.relname FROM pg_catalog.pg_class c
           WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
  LOOP
    EXECUTE pg_catalog.format('CREATE VIEW {schema}.%I AS SELECT {schema}.canary(''relation'')', r.relname);
    made := made + 1;
  END LOOP;
  IF made < 3000 THEN RAISE EXCEPTION 'only % shadows', made; END IF;
END $do$
"""
_TYPES = [
    "int2", "int4", "int8", "float4", "float8", "numeric", "text", "name", "char", "oid", "xid", "regproc", "regclass",
    "timestamptz", "timestamp", "interval", "date", "bool", "pg_lsn", "tid",
]  # fmt: skip
_OPERATORS = ["=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "~~", "!~~"]


def plant(database: Database, schema: str) -> None:
    """Fill a schema."""
    quoted = '"' + schema.replace('"', '""') + '"'
    array = "ARRAY[{}]::pg_catalog.text[]".format
    fill = _FILL.format(
        schema=quoted,
        types=array(", ".join(f"'{name}'" for name in _TYPES)),
        operators=array(", ".join(f"'{name}'" for name in _OPERATORS)),
    )
    database.run(_CANARY.format(schema=quoted))
    database.run(fill)


def songs(database: Database) -> list[str]:
    """What the canaries wrote into the server's log since it was started."""
    log = Path(database.server.log_path).read_text(errors="replace")
    return [line for line in log.splitlines() if SONG in line and "CONTEXT" not in line]
