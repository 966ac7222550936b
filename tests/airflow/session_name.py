"""Read by Airflow's processes: nothing else may be imported here."""

import os


def session_name() -> str:
    """What a task gives as its host: the session of its worker, which tells workers on one machine apart."""
    return f"session-{os.getsid(0)}"
