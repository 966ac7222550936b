"""The parity page in Airflow's UI. Nothing here is imported before the first request: see `lazy`."""
