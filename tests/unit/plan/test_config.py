"""The config file: what it may hold, and that every mistake is named at once, in plain words, without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridferry.errors import ConfigError
from gridferry.griddb.schema import GridType
from gridferry.plan.config import load_config, parse_config
from gridferry.plan.plan import OnBadRow, OnDuplicate
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import KindWish, Precision, TableOptions, table_options
from gridferry.plan.yaml_text import flow_text, parse_yaml

ENV = {"SOURCE_DSN": "postgresql://u:hunter2@h/db", "GRIDDB_PASSWORD": "s3cret"}
TARGET = "target: griddb://admin@127.0.0.1:10001/myCluster/public\n"
FULL = (
    "source: ${SOURCE_DSN}\n"
    + TARGET
    + """\
tables:
  - table: public.device
    split_by: device
    containers:
      "b8:27:eb:bf:9d:51": device1
      00:0f:00:70:91:0a: device2
      007: device7
    container: "device_{value}"
    key: ts
    kind: timeseries
    precision: keep
    rename: {temp: temperature}
    exclude: [junk]
    columns: {price: double, seen: timestamp(3), note: BLOB}
    keep_split_column: true
    on_duplicate: last
    on_bad_row: quarantine
    order_by: [id]
    where: temp > 0
    sync: {mode: watermark, lookback: 15m, column: ts}
  - table: other
    key: [a, b]
"""
)


def _mistakes(text: str, **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name="gridferry.yaml", env={**ENV, **env})
    assert caught.value.next_step
    return caught.value.message


def _table(entry: str) -> str:
    return f"source: ${{SOURCE_DSN}}\n{TARGET}tables:\n  - table: t\n    {entry}\n"


def test_everything_a_file_can_say() -> None:
    config = parse_config(FULL, env=ENV)
    assert config.source.dsn == ENV["SOURCE_DSN"]
    assert (config.target.user, config.target.members) == ("admin", (("127.0.0.1", 10001),))
    assert (config.target.cluster, config.target.database, config.target.sslmode) == ("myCluster", "public", "auto")
    assert config.target.password == "s3cret"
    device, other = config.tables
    assert (device.schema_name, device.table_name) == ("public", "device")
    assert device.containers == {"b8:27:eb:bf:9d:51": "device1", "00:0f:00:70:91:0a": "device2", "007": "device7"}
    assert (device.kind, device.precision) == (KindWish.TIMESERIES, Precision.KEEP)
    assert device.types == {
        "price": GridType.DOUBLE,
        "seen": GridType.TIMESTAMP_MS,
        "note": GridType.BLOB,
    }
    assert (device.on_duplicate, device.on_bad_row) == (OnDuplicate.LAST, OnBadRow.QUARANTINE)
    assert device.sync is not None
    assert (device.sync.mode, device.sync.lookback_ms, device.sync.column) == (SyncMode.WATERMARK, 900_000, "ts")
    assert other.key == ("a", "b")
    assert (other.schema_name, other.table_name, other.kind) == ("public", "other", KindWish.AUTO)


def test_secrets_are_in_no_repr() -> None:
    config = parse_config(FULL, env=ENV)
    assert "hunter2" not in repr(config)
    assert "s3cret" not in repr(config)
    assert str(config.target) == "griddb://admin@127.0.0.1:10001/myCluster/public"


def test_all_mistakes_at_once() -> None:
    message = _mistakes(
        """
source: ${NOWHERE}
target: mysql://x
sauce: 1
tables:
  - tabel: x
    kind: fast
    key: {a: b}
    columns: {x: varchar}
    sync: {mode: sometimes, lookback: 5}
  - table: t
    keep_split_column: yes please
"""
    )
    for expected in (
        "gridferry.yaml has ",
        "sauce: is not known here; did you mean source?",
        "source: the environment variable NOWHERE is not set",
        "target: the target is not a GridDB address",
        "tables[0].table: is missing",
        "tables[0].tabel: is not known here; did you mean table?",
        "tables[0].kind: can be auto, timeseries or collection",
        "tables[0].key: expected a column name, or a list",
        'tables[0].columns: the type wanted for column "x" is not known; allowed: string',
        "tables[0].sync.mode: can be cdc or watermark",
        "tables[0].sync.lookback: expected a number with its unit",
        "tables[1].keep_split_column: expected true or false",
    ):
        assert expected in message
    for jargon in ("pydantic", "type=", "Input should", "Value error"):
        assert jargon not in message


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("container: '{value}'", "{value} means nothing here"),
        ("container: '{device'", "a brace without its partner"),
        ("containers: {a: b}", "so it needs split_by"),
        ("keep_split_column: true", "needs split_by"),
        ("split_by: d\n    container: same", "needs {value} in it"),
        ("split_by: d\n    container: '{d}_{e}'", "{e} means nothing here; allowed: {d}, {schema}, {table}, {value}"),
        ("key: [a, a]", "names a column twice"),
        ("key: []", "expected a column name"),
        ("sync: {mode: cdc, lookback: 5m}", "belong to mode watermark"),
        ("columns: [x]", "expected `column: type` pairs"),
        ("? [a, b]\n    : c", "a key must be plain text"),
        ("sync: 7", "expected `name: value` pairs"),
        ("where: 7", "expected text; put it in quotes"),
        ("split_by: ''", "must not be empty"),
        ("splitby: d", "is not known here; did you mean split_by?"),
        ("sync: {mode: watermark, lokback: 5m}", "is not known here; did you mean lookback?"),
        ("xyzzy: d", "is not known here; allowed: table, split_by"),
        ("sync: {mode: watermark, lookback_values: 1.5}", "lookback_values: expected a whole number"),
        ("sync: {mode: watermark, lookback_values: many}", "lookback_values: expected a whole number"),
        ("sync: {mode: watermark, lookback_values: -1}", "lookback_values: must be at least 0"),
    ],
)
def test_a_mistake_in_a_table(entry: str, expected: str) -> None:
    message = _mistakes(_table(entry))
    assert "tables[0]" in message or "line 5" in message
    assert "has one mistake" in message or "line 5" in message
    assert expected in message


@pytest.mark.parametrize("name", ["a.b.c", '"a', "a.", ""])
def test_table_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError):
        table_options(table=name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("t", ("public", "t")), ("s.t", ("s", "t")), ('"a.b"."c""d"', ("a.b", 'c"d')), ("Mixed.Case", ("Mixed", "Case"))],
)
def test_table_names(name: str, parts: tuple[str, str]) -> None:
    options = table_options(table=name)
    assert (options.schema_name, options.table_name) == parts


def test_the_same_table_twice() -> None:
    text = f"source: x\n{TARGET}tables: [{{table: t}}, {{table: public.t}}]"
    assert "tables[1].table: is the same table as tables[0]" in _mistakes(text)


def test_duplicate_keys_and_broken_yaml_name_the_line_and_no_text() -> None:
    assert 'line 2, column 1: the key "source" is there twice' in _mistakes("source: a\nsource: hunter2\n")
    message = _mistakes("source: hunter2\n  x: [\n")
    assert "line" in message
    assert "hunter2" not in message
    for broken in ("*hunter2", "!hunter2 x", "&hunter2", "'hunter2"):
        message = _mistakes(f"source: {broken}\ntarget: {broken}\n")
        assert "hunter2" not in message
    assert "source, target and tables" in _mistakes("- a\n")
    assert "this is not YAML" in _mistakes("a: \x00")
    assert "line 2, column 1: a tab cannot indent" in _mistakes("tables:\n\t- table: t\n")
    assert "nested too deeply" in _mistakes("a: " + "[" * 5000)


def test_tables_that_are_none() -> None:
    assert "tables: must not be empty" in _mistakes(f"source: x\n{TARGET}tables: []")
    assert "tables: expected a list" in _mistakes(f"source: x\n{TARGET}tables: t")
    assert "tabels: is not known here; did you mean tables?" in _mistakes(f"source: x\n{TARGET}tabels: []")


@pytest.mark.parametrize("written", ["${SOURCE_DSN", "$SOURCE_DSN", "${SOURCE_DSN:-x}", "${}", "${1}"])
@pytest.mark.parametrize("key", ["source", "target"])
def test_a_variable_in_another_form(key: str, written: str) -> None:
    other = TARGET if key == "source" else "source: x\n"
    message = _mistakes(f"{key}: '{written}'\n{other}tables: [{{table: t}}]")
    assert f"{key}: a variable is written ${{NAME}}" in message


@pytest.mark.parametrize(
    "line",
    [
        "source: postgresql://u:hunter2@h/db",
        "source: host=h user=u password='hunter2'",
        "source: postgresql://h/db?password=hunter2",
        "target: griddb://admin:hunter2@h:1/c",
        "target: griddb://admin:hunter2/x@h:1/c",
        "target: griddb://admin:${PW}hunter2@h:1/c",
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(line: str) -> None:
    message = _mistakes(line + "\ntables: [{table: t}]\n")
    assert "holds a password; keep it out of the file" in message
    assert "hunter2" not in message


def test_a_password_by_variable_may_stand_in_the_url() -> None:
    text = "source: host=h password=${PW}\ntarget: griddb://admin:${PW}@h/c\ntables: [{table: t}]\n"
    config = parse_config(text, env={"PW": "p@ss/w:rd?%41"})
    assert config.source.dsn == "host=h password='p@ss/w:rd?%41'"
    assert config.target.password == "p@ss/w:rd?%41"
    assert config.target.members == (("h", 10001),)


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:${PW}@h/db", "postgresql://u:a%20%27%5C%40b@h/db"),
        ("host=h password='${PW}'", "host=h password='a \\'\\\\@b'"),
        ("${WHOLE}", "postgresql://u:x@h/db?options=${PW}"),
    ],
)
def test_a_password_of_any_characters_survives_in_the_source(dsn: str, expected: str) -> None:
    text = f'source: "{dsn}"\n{TARGET}tables: [{{table: t}}]\n'
    env = {"PW": "a '\\@b", "WHOLE": "postgresql://u:x@h/db?options=${PW}"}
    assert parse_config(text, env=env).source.dsn == expected


def test_the_target_may_be_one_variable() -> None:
    text = "source: x\ntarget: ${T}\ntables: [{table: t}]\n"
    target = parse_config(text, env={"T": "griddb://a:p%40w@h:1/c", "GRIDDB_PASSWORD": "other"}).target
    assert (target.user, target.password) == ("a", "p@w")


def test_password_file(tmp_path: Path) -> None:
    secret = tmp_path / "griddb"
    secret.write_text("s p@ce\n")
    text = f"source: x\ntarget: {{url: 'griddb://a@h:1/c', password_file: '{secret}'}}\ntables: [{{table: t}}]\n"
    assert parse_config(text, env={}).target.password == "s p@ce"
    secret.unlink()
    assert "target.password_file" in _mistakes(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("griddb://a@/c", "must name its nodes in exactly one way"),
        ("griddb://a@h:1", "names no cluster"),
        ("griddb://a@h:1/c/d/e", "names no cluster"),
        ("griddb://a@h:0/c", "member 1 of the GridDB address is not host:port"),
        ("griddb://a@h,:5/c", "member 2 of the GridDB address is not host:port"),
        ("griddb://a@h/c?sslmode=maybe", 'sslmode "maybe" is unknown: auto, disable, prefer, require or verify'),
        ("griddb://a@h/c?tls=1", 'option "tls" of the GridDB address is unknown'),
    ],
)
def test_target_urls_that_are_none(url: str, expected: str) -> None:
    assert expected in _mistakes(f"source: x\ntarget: {url}\ntables: [{{table: t}}]\n")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("source: 5\ntarget: griddb://a@h/c", "source: expected a PostgreSQL connection string"),
        ("source: ${EMPTY}\ntarget: griddb://a@h/c", "source: is empty after its variables were filled in"),
        ("source: x\ntarget: 5", "target: expected griddb://"),
        ("source: x\ntarget: {uri: y}", "target.url: is missing"),
        ("source: x\ntarget: {uri: y}", "target.uri: is not known here; allowed: url, password_file"),
        ("source: x\ntarget: {url: 'griddb://a@h/c', password_file: 5}", "target.password_file: expected the path"),
    ],
)
def test_addresses_of_another_form(lines: str, expected: str) -> None:
    assert expected in _mistakes(f"{lines}\ntables: [{{table: t}}]\n", EMPTY=" ")


def test_load_config_reads_a_file(tmp_path: Path) -> None:
    (tmp_path / "gridferry.yaml").write_text(FULL)
    assert load_config(tmp_path / "gridferry.yaml", env=ENV).tables == parse_config(FULL, env=ENV).tables


def test_target_url_parts() -> None:
    text = "source: x\ntarget: 'griddb://a%40b@h1:1,[::1]:2,h3/my%20c/db?sslmode=verify'\ntables: [{table: t}]\n"
    target = parse_config(text, env={}).target
    assert (target.user, target.cluster, target.database, target.sslmode) == ("a@b", "my c", "db", "verify")
    assert target.members == (("h1", 1), ("::1", 2), ("h3", 10001))
    assert target.password == ""


@pytest.mark.parametrize("password", ["hunter2/x", "x?hunter2", "x?sslmode=hunter2"])
def test_a_broken_address_from_a_variable_tells_no_secret(password: str) -> None:
    text = "source: x\ntarget: ${T}\ntables: [{table: t}]\n"
    message = _mistakes(text, T=f"griddb://a:{password}@h:1/c")
    assert "target: " in message
    assert "hunter2" not in message


@pytest.mark.parametrize("key", ["source", "target"])
def test_airflow_connections_are_for_airflow(key: str) -> None:
    message = _mistakes(f"{key}: {{airflow_conn_id: pg}}\ntables: [{{table: t}}]\n")
    assert f"{key}.airflow_conn_id: connections of Airflow can be read only inside Airflow" in message


def test_load_config_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gridferry\.yaml cannot be read: No such file") as caught:
        load_config(tmp_path / "gridferry.yaml", env={})
    assert "gridferry init" in caught.value.next_step
    (tmp_path / "latin.yaml").write_bytes(b"source: \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "latin.yaml", env={})


def test_table_by_name() -> None:
    config = parse_config(FULL, env=ENV)
    assert config.table("device") is config.tables[0]
    with pytest.raises(ConfigError, match=r"has no table nothing; it has public\.device, other"):
        config.table("nothing")


def test_tables_by_name_each_once() -> None:
    config = parse_config(FULL, env=ENV)
    assert config.chosen(["device", "public.device"]) == config.tables[:1]
    assert config.chosen(["other", "device"]) == config.tables[::-1]
    assert config.chosen([]) == config.tables


def test_options_are_frozen_and_strict_from_python() -> None:
    assert table_options(table="t", key="ts") == TableOptions(table="t", key=("ts",))
    with pytest.raises(ConfigError, match=r"sync\.mode: is missing"):
        table_options(table="t", sync={})


@pytest.mark.parametrize(
    ("written", "wish"), [("", "off"), ("verify: off", "off"), ("verify: quick", "quick"), ("verify: full", "full")]
)
def test_what_is_verified_by_itself(written: str, wish: str) -> None:
    text = f"source: host=here\ntarget: griddb://me@here:1/c\ntables: [{{table: a}}]\n{written}\n"
    assert parse_config(text, env={}).verify.value == wish


@pytest.mark.parametrize("written", ["always", "true", "[quick]", "{}"])
def test_another_wish_is_a_mistake(written: str) -> None:
    text = f"source: host=here\ntarget: griddb://me@here:1/c\ntables: [{{table: a}}]\nverify: {written}\n"
    with pytest.raises(ConfigError, match="verify: expected off, quick or full"):
        parse_config(text, env={})


@pytest.mark.parametrize(
    "name",
    ["temp", "temp °C", "a", "[b]", "a: b", "a, b", "true", "7", "007", " x", "x ", 'q"', "'", "{", "#", "", "-"],
)
def test_a_name_that_is_proposed_reads_back(name: str) -> None:
    assert parse_yaml(f"{{{flow_text(name)}: x, n: [{flow_text(name)}]}}", name="it") == {name: "x", "n": [name]}


def test_a_name_that_needs_no_quotes_has_none() -> None:
    assert [flow_text(name) for name in ("temp", "temp °C", "[b]")] == ["temp", "temp °C", '"[b]"']
