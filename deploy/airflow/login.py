#!/usr/bin/env python3
"""Write the file of logins that Airflow's simple auth manager reads: one user, whose password is in the environment.

Environment: AIRFLOW_UI_USER, AIRFLOW_UI_PASSWORD, AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

NEEDED = ("AIRFLOW_UI_USER", "AIRFLOW_UI_PASSWORD", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")


def main() -> int:
    """Returns the exit code."""
    values = [os.environ.get(name, "") for name in NEEDED]
    missing = [name for name, value in zip(NEEDED, values, strict=True) if not value]
    if missing:
        print(f"error: {', '.join(missing)} not set: see deploy/.env.example", file=sys.stderr)
        return 2
    user, password, path = values
    file = Path(path)
    fresh = file.with_name(file.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps({user: password}) + "\n")
    fresh.replace(file)
    print(f"the login of {user} is written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
