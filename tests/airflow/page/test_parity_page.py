"""The page as Airflow serves it: its own app with our plugin in it, PostgreSQL from the wheel, a GridDB server."""

from __future__ import annotations

import html
import json
import re
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest
from tests.airflow.conftest import connections
from tests.conftest import Database
from tests.e2e.ferry import Ferry, kept_in
from tests.e2e.sensors import TABLE, add_sensors, make_sensors

from gridferry.airflow.page import reading
from gridferry.airflow.page.answers import Answers
from gridferry.airflow.page.app import make_app
from gridferry.airflow.page.reading import read_target
from gridferry.airflow.page.routes import JSON, PAGE, PREFIX
from gridferry.airflow.page.service import PageService
from gridferry.airflow.plugin import GridFerryPlugin
from gridferry.checkpoint.catalog import CatalogEntry
from gridferry.griddb import GridDBAddress, Store

fastapi = pytest.importorskip("fastapi")
ADDRESS = f"{PREFIX}{PAGE}"
FACTS = f"{PREFIX}{JSON}"


@pytest.fixture(scope="module")
def served(airflow_home: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's whole API server app, with two users."""
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from fastapi.testclient import TestClient

    with pytest.MonkeyPatch.context() as patch:
        passwords = tmp_path_factory.mktemp("passwords") / "passwords.json"
        passwords.write_text(json.dumps({"viewer": "v", "chief": "c"}))
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "viewer:viewer,chief:admin")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "0" * 64)
        purge_cached_app()
        with TestClient(create_app(), raise_server_exceptions=False) as client:
            yield client
        purge_cached_app()


@pytest.fixture
def anonymous(served: Any) -> Any:
    served.cookies.clear()
    return served


def logged_in(client: Any, username: str, password: str) -> str:
    """A token of a user's."""
    answer = client.post("/auth/token", json={"username": username, "password": password})
    assert answer.status_code == 201, answer.text
    client.cookies.clear()
    return str(answer.json()["access_token"])


@pytest.fixture
def token(anonymous: Any) -> str:
    return logged_in(anonymous, "chief", "c")


@pytest.fixture
def onlooker(viewer: Any) -> Any:
    """The same client with Airflow's role of a viewer, who may see plugins and no connection."""
    viewer.headers["Authorization"] = f"Bearer {logged_in(viewer, 'viewer', 'v')}"
    return viewer


@pytest.fixture
def viewer(anonymous: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an admin, and a page that remembers nothing of earlier tests and forgets at once."""
    desk = PageService(Answers(keep_s=0.0, wait_s=20.0), Answers(keep_s=0.0, wait_s=20.0))
    (app,) = GridFerryPlugin.fastapi_apps
    monkeypatch.setattr(app["app"], "_made", make_app(desk))
    anonymous.headers["Authorization"] = f"Bearer {token}"
    yield anonymous
    del anonymous.headers["Authorization"]
    desk.close()


def text_of(page: str) -> str:
    """What a reader sees."""
    body = re.sub(r"(?s)<(style|script)>.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def facts_of(client: Any, **choice: Any) -> dict[str, Any]:
    answer = client.get(FACTS, params=choice)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def routes() -> list[tuple[str, str]]:
    return [
        (method, route.path) for route in make_app().routes for method in [*getattr(route, "methods", ["GET"]), "POST"]
    ]


@pytest.mark.parametrize(("method", "path"), routes())
def test_no_route_answers_a_stranger(anonymous: Any, method: str, path: str) -> None:
    answer = anonymous.request(method, f"{PREFIX}{path}?page=nonsense")
    assert answer.status_code in ((405,) if method == "POST" else (401,))
    assert "griddb" not in answer.text


def test_there_are_routes_and_none_is_fastapis_own() -> None:
    assert {path for _, path in routes()} == {PAGE, JSON}


@pytest.mark.parametrize("path", [ADDRESS, FACTS])
def test_a_wrong_token_is_refused(anonymous: Any, path: str) -> None:
    answer = anonymous.get(path, headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code in (401, 403)


def test_cookie_and_bearer_are_let_in(viewer: Any, ferry: Ferry, token: str) -> None:
    assert viewer.get(ADDRESS).status_code == 200
    viewer.headers["Authorization"] = ""
    assert viewer.get(ADDRESS).status_code == 401
    viewer.cookies.set("_token", token)
    assert viewer.get(ADDRESS).status_code == 200


def test_a_user_who_may_not_see_plugins_is_refused(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    monkeypatch.setattr(type(get_auth_manager()), "is_authorized_view", lambda *_, **__: False)
    assert viewer.get(ADDRESS).status_code == 403
    assert viewer.get(FACTS).status_code == 403


def test_the_headers_let_nothing_in_from_elsewhere(viewer: Any, ferry: Ferry) -> None:
    answer = viewer.get(ADDRESS)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", answer.text)


def test_the_page_is_in_the_navigation(viewer: Any) -> None:
    (view,) = GridFerryPlugin.external_views
    assert (view["destination"], len(view["name"]) <= 8) == ("nav", True)
    assert f"/{view['href']}" == ADDRESS


def test_nothing_was_loaded(viewer: Any, ferry: Ferry) -> None:
    page = viewer.get(ADDRESS)
    assert page.status_code == 200
    assert "Nothing was loaded into this database yet" in text_of(page.text)
    assert facts_of(viewer)["tables"] == []


def test_a_table_from_its_load_to_a_difference(viewer: Any, ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=1000, bad_every=500)
    config = {**TABLE, "on_bad_row": "quarantine", "sync": {"mode": "watermark"}}
    ferry = ferry.of(config)
    ferry.load()
    loaded = facts_of(viewer)
    (table,) = loaded["tables"]
    assert loaded["headline"]["tone"] == "unverified"
    assert (table["held"], table["containers"], table["unverified"], table["source_rows"]) == (2, 5, 5, None)
    assert sum(row["live"]["rows"] for row in loaded["rows"]) == table["target_rows"] == 998
    assert all(sum(row["live"]["series"]) == row["live"]["rows"] for row in loaded["rows"])

    # Where rows alone take long, nobody waits for bars too.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BARS_AFTER_S", -1.0)
        slow = facts_of(viewer)
        assert (slow["counted"]["slow"], sum(row["live"]["rows"] for row in slow["rows"])) == (True, 998)
        assert [row["live"]["series"] for row in slow["rows"]] == [[]] * 5
        assert "No bars: GridDB counts slowly now." in text_of(viewer.get(ADDRESS).text)

    add_sensors(postgres, 1000, 1100)
    with ferry.migration() as migration:
        migration.syncs.sync()
        migration.verifications.verify()
    equal = facts_of(viewer)
    (table,) = equal["tables"]
    assert equal["headline"]["tone"] == "incomplete"
    assert "Not all rows are stored: 1,098 of 1,100 rows stored, 2 in quarantine" in equal["headline"]["sentence"]
    assert (table["coverage"]["quarantined"], table["coverage"]["left_out"], table["differing"]) == (2, [], 0)
    assert (table["source_rows"], table["target_rows"], table["rows_by"]) == (1100, 1098, "verify")
    assert table["sync"]["mode"] == "watermark"
    assert table["lag_s"] is not None
    assert [row["facts"]["verdict"] for row in equal["rows"]] == ["incomplete", *["equal"] * 4]
    assert sum(row["facts"]["written"] for row in equal["rows"]) >= 100

    with ferry.store() as store:
        container = store.open_container(ferry.catalog("public.sensor")["ß"])
        assert container is not None
        keys = container.scan().read_all().column(0).slice(0, 1).combine_chunks()
        container.delete(pa.RecordBatch.from_arrays([keys], schema=container.schema.key_schema.arrow_schema))
    with ferry.migration() as migration:
        migration.verifications.verify()
    different = facts_of(viewer)
    assert different["headline"]["tone"] == "different"
    first = different["rows"][0]["facts"]
    assert (first["verdict"], first["differences"]) == ("different", 1)
    assert facts_of(viewer, only="differs")["found"] == 1
    assert facts_of(viewer, only="unverified")["found"] == 0
    assert {row["facts"]["held"] for row in facts_of(viewer, only="held")["rows"]} == {2}
    assert [row["facts"]["value"] for row in facts_of(viewer, q="NO SU")["rows"]] == ["no such"]
    assert [(each["source"], each["target"]) for each in different["tables"][0]["rows"]] == [
        (None, 998),
        (1100, 1098),
        (1100, 1097),
    ]

    said = text_of(viewer.get(ADDRESS).text)
    assert "Both sides differ in 1 of 5 containers" in said
    assert "2 rows in quarantine" in said
    for secret in (ferry.server.password + '"', "PostgresSecret"):
        assert secret not in viewer.get(ADDRESS).text
        assert secret not in viewer.get(FACTS).text


def test_the_loads_are_read_once_however_many_tables_there_are(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gridferry.checkpoint.runs import RunStore

    tables = [f"t{number}" for number in range(3)]
    for table in tables:
        postgres.run(f"CREATE TABLE {table} (id int PRIMARY KEY)")
        ferry.of({"table": table, "key": "id"}).load()
    asked = []
    read = RunStore.each
    monkeypatch.setattr(RunStore, "each", lambda runs: asked.append(1) or read(runs))  # type: ignore[func-returns-value]
    found = reading.read_target(ferry.of("t0").config.target)
    assert [standing.facts.load.state for standing in found.tables] == ["loaded"] * 3
    assert len(asked) == 1


def test_only_containers_made_since_the_last_verification_count_as_not_verified(
    viewer: Any, ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridferry.checkpoint.verifications.MOST_CONTAINERS", 2)  # so it names no more
    make_sensors(postgres, rows=100)
    ferry = ferry.of({**TABLE, "sync": {"mode": "watermark"}})
    ferry.load()
    with ferry.migration() as migration:
        migration.verifications.verify()
        add_sensors(postgres, 100, 101, device="brand new")
        migration.syncs.sync()
    (table,) = facts_of(viewer)["tables"]
    assert (table["containers"], table["unverified"]) == (6, 1)
    assert [row["facts"]["value"] for row in facts_of(viewer, only="unverified")["rows"]] == ["brand new"]


def test_a_container_that_was_dropped_is_told(viewer: Any, ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=10)
    ferry.of(TABLE).load()
    with ferry.store() as store:
        store.drop_container(ferry.catalog("public.sensor")["ß"])
    (row,) = facts_of(viewer, q="ß")["rows"]
    assert row["live"] is None
    assert "not there" in text_of(viewer.get(ADDRESS, params={"q": "ß"}).text)


def test_a_hostile_value_stays_text(viewer: Any, ferry: Ferry, postgres: Database) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    make_sensors(postgres, rows=10)
    postgres.run("UPDATE sensor SET device = $$" + evil + "$$ WHERE device = 'ß'")
    ferry.of(TABLE).load()
    for choice in ({}, {"q": evil}, {"table": evil}, {"connection": evil}):
        page = viewer.get(ADDRESS, params=choice)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
    assert evil in text_of(viewer.get(ADDRESS, params={"q": "alert"}).text)


def set_connection(monkeypatch: pytest.MonkeyPatch, ferry: Ferry, **fields: Any) -> None:
    name = "AIRFLOW_CONN_GRIDDB_DEFAULT"
    monkeypatch.setenv(name, json.dumps({**connections(ferry)[name], **fields}))


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"port": 1}, 503, "127.0.0.1:1"),
        ({"password": "WrongSecret"}, 503, "refused"),
        ({"schema": "another"}, 503, "another"),
        ({"password": ""}, 422, "it has no password"),
        ({"schema": ""}, 422, "it names no cluster"),
        ({"conn_type": "postgres"}, 404, "no connection griddb_default of type griddb"),
    ],
    ids=["down", "password", "cluster", "no password", "no cluster", "type"],
)
def test_what_is_wrong_is_told_in_one_sentence(
    viewer: Any, ferry: Ferry, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], status: int, said: str
) -> None:
    set_connection(monkeypatch, ferry, **fields)
    page = viewer.get(ADDRESS)
    assert page.status_code == 200
    assert said in text_of(page.text)
    assert "WrongSecret" not in page.text
    facts = viewer.get(FACTS)
    assert (facts.status_code, facts.json()["headline"]) == (status, None)
    assert said in facts.json()["problem"]["sentence"]


def test_a_connection_that_is_missing(viewer: Any, ferry: Ferry) -> None:
    for name in ("nobody", "a b", "x" * 250):
        answer = viewer.get(FACTS, params={"connection": name})
        assert answer.status_code == 404
        assert answer.json()["connections"] == ["griddb_default"]


def test_a_secrets_backend_is_not_asked_for_the_list_of_connections(
    viewer: Any, ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.secrets import BaseSecretsBackend

    asked: list[str] = []

    class Backend(BaseSecretsBackend):
        """One that may be slow; each of these variables would have to wait for it."""

        def get_connection(self, conn_id: str, **_: Any) -> None:
            asked.append(conn_id)

    monkeypatch.setitem(sys.modules, "slow_secrets", types.SimpleNamespace(Backend=Backend))
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "slow_secrets.Backend")
    for name, broken in {"A": "{", "B": '{"port": "x"}', "C": '{"nonsense": 1}', "D": "griddb://h:x", "E": ""}.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", broken)
    facts = viewer.get(FACTS).json()
    assert (facts["problem"], facts["connections"]) == (None, ["griddb_default"])
    assert asked == ["griddb_default"]  # the one that is shown


def test_a_target_that_never_answers_is_not_waited_for(
    viewer: Any, ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = PageService(Answers(wait_s=0.2), Answers(wait_s=0.2))
    (app,) = GridFerryPlugin.fastapi_apps
    monkeypatch.setattr(app["app"], "_made", make_app(desk))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        set_connection(monkeypatch, ferry, port=silent.getsockname()[1])
        answer = viewer.get(FACTS)
        assert answer.status_code == 503
        assert "not answered yet" in answer.json()["problem"]["sentence"]
    desk.close()


def test_many_viewers_are_one_question(
    viewer: Any, ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gridferry.airflow.page import service as desk_module

    make_sensors(postgres, rows=10)
    ferry.of(TABLE).load()
    asked: list[GridDBAddress] = []
    read = read_target

    def counted(address: GridDBAddress) -> Any:
        asked.append(address)
        return read(address)

    monkeypatch.setattr(desk_module, "read_target", counted)
    desk = PageService(Answers(keep_s=60, wait_s=20), Answers(keep_s=60, wait_s=20))
    (app,) = GridFerryPlugin.fastapi_apps
    monkeypatch.setattr(app["app"], "_made", make_app(desk))
    found = []
    tabs = [threading.Thread(target=lambda: found.append(viewer.get(ADDRESS).status_code)) for _ in range(6)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert found == [200] * 6
    assert len(asked) == 1
    desk.close()


def test_a_connection_of_another_team_is_not_shown(
    onlooker: Any, ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.configuration import conf
    from airflow.models.connection import Connection

    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    assert conf.getboolean("core", "multi_team")
    monkeypatch.setattr(Connection, "get_team_name", staticmethod(lambda name: "others"))
    assert onlooker.get(ADDRESS).status_code == 403
    assert onlooker.get(FACTS).status_code == 403


def test_who_may_see_no_connection_sees_figures_alone(
    onlooker: Any, ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sensors(postgres, rows=10)
    ferry.of(TABLE).load()
    monkeypatch.setenv("AIRFLOW_CONN_ANOTHER_ONE", json.dumps(connections(ferry)["AIRFLOW_CONN_GRIDDB_DEFAULT"]))
    facts = facts_of(onlooker)
    assert facts["tables"][0]["table"] == "public.sensor"
    assert (facts["target"], facts["connections"]) == ("", [])
    page = onlooker.get(ADDRESS)
    assert "public.sensor" in page.text
    for hidden in ("another_one", "127.0.0.1", ferry.server.address, "admin"):
        assert hidden not in page.text.lower()
        assert hidden not in json.dumps(facts).lower()


@pytest.mark.parametrize("name", ["another_one", "nobody"])
def test_who_may_see_no_connection_learns_of_none(
    onlooker: Any, ferry: Ferry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ANOTHER_ONE", json.dumps(connections(ferry)["AIRFLOW_CONN_GRIDDB_DEFAULT"]))
    for path in (ADDRESS, FACTS):
        assert onlooker.get(path, params={"connection": name}).status_code == 403


@pytest.mark.parametrize("fields", [{"port": 1}, {"password": "WrongSecret"}, {"schema": "another"}, {"password": ""}])
def test_who_may_see_no_connection_is_not_told_why_it_fails(
    onlooker: Any, ferry: Ferry, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    set_connection(monkeypatch, ferry, **fields)
    facts = onlooker.get(FACTS).json()
    assert facts["problem"]["sentence"] == "GridDB cannot be read."
    page = text_of(onlooker.get(ADDRESS).text)
    for hidden in ("127.0.0.1", "another", "admin", "password"):
        assert hidden not in page


def add_fleet(store: Store, ferry: Ferry, count: int) -> None:
    """`count` more containers in the table's catalog, of which the first 300 are there and hold a row."""
    state = kept_in(store)
    state.catalog.claim([CatalogEntry("public.sensor", f"fleet_{i:05}", f"device {i}", "device") for i in range(count)])
    (known, *_) = [c for c in store.open_containers(ferry.names()).values() if c is not None]
    names = [f"fleet_{i:05}" for i in range(300)]
    made = store.create_containers(names, known.schema)
    now = datetime.now(timezone.utc)
    row = pa.record_batch(
        [[now if field.name == "ts" else None] for field in known.schema.arrow_schema],
        schema=known.schema.arrow_schema,
    )
    store.multi_put([(container, row) for container in made])
    state.tallies.add("public.sensor", {f"fleet_{i:05}": (1, 0) for i in range(count)})


def test_ten_thousand_containers(
    viewer: Any, ferry: Ferry, postgres: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sensors(postgres, rows=10)
    ferry.of(TABLE).load()
    with ferry.store() as store:
        add_fleet(store, ferry, 10_000)
    took = []
    for choice in ({}, {"page": 200, "sort": "name"}, {"q": "device 777"}):
        began = time.perf_counter()
        page = viewer.get(ADDRESS, params=choice)
        took.append(f"{time.perf_counter() - began:.2f} s, {len(page.content) / 1000:.0f} kB")
        assert page.status_code == 200
        assert page.text.count('class="container-row"') <= 25
    facts = facts_of(viewer, q="device 777", size=100)
    assert facts["found"] == 11
    assert facts_of(viewer)["pages"] == 401
    assert facts["rows"][0]["facts"]["name"] == "fleet_00777"
    with capsys.disabled():
        print(f"\n10,000 containers, nothing remembered: {'; '.join(took)}")


def test_one_verdict_for_the_database_and_the_stage_of_each_table(
    viewer: Any, ferry: Ferry, postgres: Database
) -> None:
    names = ("account", "item")
    for name in names:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY); INSERT INTO {name} VALUES (1)")
    ferry = ferry.of(*({"table": name, "sync": {"mode": "watermark"}} for name in names))
    ferry.load()
    with ferry.migration() as migration:
        migration.verifications.verify()
        equal = facts_of(viewer)["headline"]
        assert (equal["tone"], equal["sentence"].startswith("Database equal as of ")) == ("equal", True)
        assert ", LSN " in equal["sentence"]
        assert equal["sentence"].endswith(": 2 tables.")
        migration.lives.pause(["item"])
    found = facts_of(viewer)
    assert found["headline"]["tone"] == "incomplete"
    assert found["headline"]["sentence"].endswith(" 1 table is paused: public.item.")
    assert {table["table"]: table["load"]["life"]["stage"] for table in found["tables"]}["public.item"] == "paused"
    assert "1 table is paused: public.item." in text_of(viewer.get(ADDRESS).text)
