"""Where the page is: below Airflow's own address, and below its app's."""

from __future__ import annotations

PREFIX = "/gridferry"
PAGE = "/parity"
JSON = f"/api{PAGE}"
