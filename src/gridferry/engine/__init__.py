"""The work itself: plan, load, compare, status, quarantine. The command line and Airflow call this and nothing below."""
