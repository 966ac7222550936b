"""What happens in the demo's source after the load: the files that `psql` would run, and their way into PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from gridferry.errors import SourceError


@dataclass(frozen=True)
class Script:
    """A file of SQL. No line is wider than a screen."""

    name: str
    text: str

    @property
    def command(self) -> str:
        """What runs it by hand."""
        return f'psql "$SOURCE_DSN" -f {self.name}'


# Devices that no config names: their containers follow the template.
NEWCOMERS = ("attic", "cellar")

NEW_READINGS = Script(
    "new.sql",
    """\
INSERT INTO device VALUES
  (now(), 'b8:27:eb:bf:9d:51', 0.0049, 51, 'f', 0.0076, 'f', 0.0204, 22.7),
  (now(), '00:0f:00:70:91:0a', 0.0028, 76, 'f', 0.0051, 'f', 0.0132, 19.7),
  (now(), '1c:bf:ce:15:ec:4d', 0.0042, 62, 't', 0.0070, 'f', 0.0184, 26.1),
  (now(), 'attic',             0.0031, 38, 'f', 0.0055, 't', 0.0144, 30.4);""",
)
LATE_AND_CHANGED = Script(
    "late.sql",
    """\
-- Taken ten minutes ago, and only now here.
INSERT INTO device VALUES (now() - interval '10 minutes',
          '00:0f:00:70:91:0a', 0.0029, 75, 'f', 0.0052, 'f', 0.0135, 19.5);
-- A reading is corrected, and one of another device is deleted.
UPDATE device SET temp = temp + 1
  WHERE (device, ts) = (SELECT device, min(ts) FROM device
                        WHERE device = 'b8:27:eb:bf:9d:51' GROUP BY device);
DELETE FROM device
  WHERE (device, ts) = (SELECT device, min(ts) FROM device
                        WHERE device = '1c:bf:ce:15:ec:4d' GROUP BY device);""",
)
CORRECTED, DELETED = "device1", "device3"  # the containers in which mode watermark misses something
IDENTITY = Script("key.sql", "ALTER TABLE device ADD PRIMARY KEY (ts, device);")
EVERYTHING = Script(
    "all.sql",
    """\
INSERT INTO device VALUES
  (now(), 'b8:27:eb:bf:9d:51', 0.0050, 52, 'f', 0.0077, 'f', 0.0206, 22.8),
  (now(), '00:0f:00:70:91:0a', 0.0027, 77, 'f', 0.0050, 'f', 0.0131, 19.8),
  (now(), 'cellar',            0.0019, 81, 'f', 0.0039, 'f', 0.0099, 11.2),
  (now() - interval '3 days',  -- days late
          'attic',             0.0030, 39, 'f', 0.0054, 'f', 0.0142, 29.9);
UPDATE device SET humidity = humidity - 1
  WHERE (device, ts) = (SELECT device, max(ts) FROM device
                        WHERE device = '1c:bf:ce:15:ec:4d' GROUP BY device);
UPDATE device SET device = 'cellar'  -- it was never in the attic
  WHERE (device, ts) = (SELECT device, max(ts) FROM device
                        WHERE device = 'attic' GROUP BY device);
DELETE FROM device
  WHERE (device, ts) = (SELECT device, min(ts) FROM device
                        WHERE device = '00:0f:00:70:91:0a' GROUP BY device);""",
)


def run_script(dsn: str, script: Script) -> None:
    """Run a script in one transaction, as `psql -1` would. Raises: SourceError if PostgreSQL refuses it."""
    try:
        # The column holds times without a zone; now() is to be UTC, as the readings are.
        with psycopg.connect(dsn, options="-c TimeZone=UTC") as connection:
            connection.execute(script.text)
    except psycopg.Error as error:
        raise SourceError(
            f"{script.name} was refused: {error.diag.message_primary or error}", state="nothing of it was done"
        ) from error
