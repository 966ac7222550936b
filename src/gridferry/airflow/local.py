"""`make airflow`: PostgreSQL with sensor readings, GridDB, and an Airflow with the three DAGs, until Ctrl-C.

Everything runs in a temporary folder and on 127.0.0.1, and is gone at the end. With GRIDFERRY_TARGET and
GRIDDB_PASSWORD it uses a GridDB of your own, which is left as it was found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from gridferry.airflow.failures import one_line
from gridferry.airflow.local_airflow import PASSWORD, USER, LocalAirflow, free_port
from gridferry.demo.footprint import Footprint
from gridferry.demo.sample import copy_csv_into, write_readings_csv
from gridferry.demo.servers import LocalGridDB, remove_folder
from gridferry.errors import FerryError
from gridferry.griddb import GridDBAddress, connect, parse_address
from gridferry.local.interrupts import held, undisturbed
from gridferry.local.postgres import LocalPostgres

EXAMPLES = Path(__file__).parents[3] / "examples" / "airflow"
TABLE = "public.device"
CONTAINERS = ("device1", "device2", "device3")
PORT = 8080


@dataclass(frozen=True)
class Servers:
    """What Airflow's tasks work on."""

    postgres: LocalPostgres
    target: GridDBAddress
    stand_in: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make airflow", description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("AIRFLOW_PORT", PORT)))
    parser.add_argument("--dags", type=Path, default=EXAMPLES, help="the folder of DAG files and configs")
    parser.add_argument("--share", type=float, default=1.0, help="make fewer sensor readings: 0.1 is a tenth")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    with ExitStack() as made:
        made.callback(_say, "All of it is stopped and removed.")
        try:
            with held():
                folder = Path(tempfile.mkdtemp(prefix="gridferry-airflow-"))
                folder.chmod(0o755)  # as root PostgreSQL runs as another user, who has to pass through
                made.callback(remove_folder, folder)
            servers = _servers(folder, made, share=options.share)
            airflow = _airflow(folder, made, servers, options)
            _introduce(airflow, servers)
            while True:
                airflow.require_alive()
                time.sleep(1.0)
        except KeyboardInterrupt:
            _say("\nstopping")
            code = 0
        except FerryError as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            code = error.exit_code
        with undisturbed():
            made.close()
        return code


def _servers(folder: Path, made: ExitStack, *, share: float) -> Servers:
    """Both databases, PostgreSQL's with the readings in it."""
    _say("starting PostgreSQL, with sensor readings in the table public.device")
    target = os.environ.get("GRIDFERRY_TARGET", "")
    password = os.environ.get("GRIDDB_PASSWORD", "")
    address = parse_address(target, password=password) if target else None
    if address is not None:
        footprint = Footprint(made.enter_context(connect(address)), table=TABLE, containers=CONTAINERS)
        footprint.claim(replace=False)
        made.callback(footprint.erase)
    postgres = LocalPostgres(folder / "postgres")
    made.callback(postgres.remove)
    postgres.start()
    readings = folder / "readings.csv"
    write_readings_csv(readings, share=share)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        copy_csv_into(connection, readings)
        connection.execute("ANALYZE device")
    readings.unlink()
    if address is not None:
        return Servers(postgres, address)
    _say("starting the GridDB emulator; GRIDFERRY_TARGET names a real one")
    griddb = LocalGridDB(folder)
    made.callback(griddb.stop)
    griddb.start()
    return Servers(postgres, parse_address(griddb.target, password=griddb.password), stand_in=True)


def _airflow(folder: Path, made: ExitStack, servers: Servers, options: argparse.Namespace) -> LocalAirflow:
    _say("starting Airflow: about half a minute")
    dags = folder / "dags"
    shutil.copytree(options.dags, dags)
    airflow = LocalAirflow(
        folder,
        dags=dags,
        connections=connections(servers.postgres, servers.target),
        port=free_port(options.port),
    )
    made.callback(airflow.stop)
    return airflow.start()


def connections(postgres: LocalPostgres, target: GridDBAddress) -> dict[str, dict[str, Any]]:
    """The two connections of the DAGs, as `airflow connections import` reads them."""
    extra = {
        "database": target.database,
        "sslmode": target.sslmode.value,
        **({"members": ",".join(f"{host}:{port}" for host, port in target.members)} if target.members else {}),
        **({"sql": ",".join(f"{host}:{port}" for host, port in target.sql)} if target.sql else {}),
        **({"provider": target.provider} if target.provider else {}),
        **({"multicast": "{}:{}".format(*target.multicast)} if target.multicast else {}),
    }
    found = psycopg.conninfo.conninfo_to_dict(postgres.tcp_dsn())
    return {
        "postgres_default": {
            "conn_type": "postgres",
            "host": found["host"],
            "port": int(str(found["port"])),
            "login": found["user"],
            "password": found["password"],
            "schema": found["dbname"],
        },
        "griddb_default": {
            "conn_type": "griddb",
            "host": target.members[0][0] if target.members else None,
            "port": target.members[0][1] if target.members else None,
            "login": target.user,
            "password": target.password,
            "schema": target.cluster,
            "extra": extra,
        },
    }


def _introduce(airflow: LocalAirflow, servers: Servers) -> None:
    """Where everything is, with commands that can be copied into another shell as they are."""
    psql = shutil.which("psql") or _from_here(servers.postgres.program("psql"))
    gridferry = _from_here(Path(sys.executable).with_name("gridferry"))
    # The emulator's password is printed: its server is reached from this machine only, and not for long.
    password = f"GRIDDB_PASSWORD={servers.target.password} " if servers.stand_in else ""
    _say(
        f"""
Airflow is at {airflow.url}    login: {USER} / {PASSWORD}
  Turn on griddb_postgres_migration_initial and _continuous, and see rows arrive.

  {psql} '{servers.postgres.dsn()}'
  {password}{gridferry} containers --target {servers.target}

Ctrl-C ends all of it."""
    )


def _from_here(program: Path) -> str:
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else str(program)


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
