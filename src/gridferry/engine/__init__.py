"""The work itself: plan, load, compare, status, quarantine. Command line and Airflow call this, nothing below."""
