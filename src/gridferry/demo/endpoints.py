"""Both ends of the demo, and the config file between them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gridferry.plan.config import Config, parse_config
from gridferry.plan.sync_options import SyncMode

CONFIG_NAME = "gridferry.yaml"
SOURCE_VARIABLE = "SOURCE_DSN"
PASSWORD_VARIABLE = "GRIDDB_PASSWORD"  # noqa: S105 - the name of a variable
CONFIG = """source: ${{SOURCE_DSN}}
target: {target}
tables:
  - table: public.device
    split_by: device            # one container for each device
    containers:                 # our names; others by template
      "b8:27:eb:bf:9d:51": device1
      "00:0f:00:70:91:0a": device2
      "1c:bf:ce:15:ec:4d": device3
    container: "device_{{value}}"
    rename: {{temp: temperature}}
    key: ts
{following}"""
FOLLOWING = {
    SyncMode.WATERMARK: "    sync: {mode: watermark}\n",
    SyncMode.CDC: "    sync: {mode: cdc}\n",
}


@dataclass(frozen=True)
class DemoEndpoints:
    """The source's address, the target's, and the folder of the config file."""

    dsn: str
    target: str
    password: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the config needs."""
        return {SOURCE_VARIABLE: self.dsn, PASSWORD_VARIABLE: self.password}

    def config_text(self, mode: SyncMode) -> str:
        """The config file for one mode."""
        return CONFIG.format(target=self.target, following=FOLLOWING[mode])

    def config(self, mode: SyncMode) -> Config:
        """The config for one mode, written to its file and read."""
        text = self.config_text(mode)
        (self.folder / CONFIG_NAME).write_text(text, encoding="utf-8")
        return parse_config(text, name=CONFIG_NAME, env={**os.environ, **self.environment})
