"""The three DAGs of gridferry.yaml, which is beside this file: first load, keeping in step, proof."""

from gridferry.airflow import gridferry_dags

globals().update(gridferry_dags("gridferry.yaml"))
