"""What Airflow asks a provider about itself. Read at the start of every Airflow process: nothing heavy here."""

from __future__ import annotations

from typing import Any

CONNECTION_TYPE = "griddb"
_PACKAGE = "gridferry.airflow"

_FIELDS: dict[str, dict[str, Any]] = {
    "database": {
        "label": "Database",
        "description": "The GridDB database in the cluster.",
        "schema": {"type": ["string", "null"], "default": "public"},
    },
    "members": {
        "label": "Members",
        "description": "Several nodes, as host:port,host:port. Stands for Host and Port.",
        "schema": {"type": ["string", "null"]},
    },
    "provider": {
        "label": "Provider URL",
        "description": "Where the list of nodes is published (GridDB's PROVIDER method). Stands for Host and Port.",
        "schema": {"type": ["string", "null"]},
    },
    "multicast": {
        "label": "Multicast",
        "description": "Group and port of GridDB's MULTICAST method (239.0.0.1:31999). Stands for Host and Port.",
        "schema": {"type": ["string", "null"]},
    },
    "sslmode": {
        "label": "TLS",
        "description": "auto takes TLS where the node offers it and sends no login in clear to another machine; "
        "verify also checks the node's certificate; disable says that the network can be trusted.",
        "schema": {
            "type": ["string", "null"],
            "default": "auto",
            "enum": ["auto", "disable", "prefer", "require", "verify"],
        },
    },
    "ca_file": {
        "label": "CA file",
        "description": "Certificates that TLS mode verify trusts, as a path on the workers.",
        "schema": {"type": ["string", "null"]},
    },
    "authentication": {
        "label": "Authentication",
        "description": "Who checks the password; auto asks the server. ldap sends the password itself: use TLS.",
        "schema": {"type": ["string", "null"], "default": "auto", "enum": ["auto", "internal", "ldap"]},
    },
    "sql": {
        "label": "SQL service",
        "description": "Its nodes as host:port,host:port, where it is not at port 20001 of the members.",
        "schema": {"type": ["string", "null"]},
    },
    "route": {
        "label": "Route",
        "description": "public for a cluster that is reached from outside, as GridDB Cloud.",
        "schema": {"type": ["string", "null"], "default": "default", "enum": ["default", "public"]},
    },
}


def provider_info() -> dict[str, Any]:
    """The provider's description, as `airflow/provider_info.schema.json` wants it."""
    return {
        "package-name": "gridferry",
        "name": "gridferry",
        "description": "PostgreSQL tables loaded into GridDB, kept in step, and proven equal.",
        "integrations": [
            {"integration-name": "GridDB", "external-doc-url": "https://griddb.net", "tags": ["software"]}
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.sql_hook.GridDBSqlHook",
                "hook-name": "GridDB",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"schema": "Cluster", "login": "User"},
                    "placeholders": {
                        "host": "griddb.example",
                        "port": "10001",
                        "schema": "myCluster",
                        "login": "admin",
                    },
                },
                "conn-fields": _FIELDS,
            }
        ],
        "hooks": [{"integration-name": "GridDB", "python-modules": [f"{_PACKAGE}.hook", f"{_PACKAGE}.sql_hook"]}],
        "operators": [
            {"integration-name": "GridDB", "python-modules": [f"{_PACKAGE}.operators", f"{_PACKAGE}.load_operators"]}
        ],
        "sensors": [{"integration-name": "GridDB", "python-modules": [f"{_PACKAGE}.sensors"]}],
        "triggers": [{"integration-name": "GridDB", "python-modules": [f"{_PACKAGE}.triggers"]}],
        "asset-uris": [{"schemes": ["griddb", "gridferry"], "handler": f"{_PACKAGE}.assets.normal_uri"}],
        "extra-links": [f"{_PACKAGE}.links.AssetsLink"],
    }
