"""Sensors that hold no worker while they wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gridferry.airflow.base import TEMPLATED, FerryTask
from gridferry.airflow.compat import AirflowFailException, BaseSensorOperator, Context
from gridferry.airflow.connection_lookup import named_connection
from gridferry.airflow.failures import tells_airflow
from gridferry.airflow.triggers import Bounds, StateTrigger, is_ready, wait_for


class _FerrySensor(FerryTask, BaseSensorOperator):
    """Looks once, then waits in the triggerer; or in a worker with `deferrable=False`."""

    kind = ""

    def __init__(self, *, deferrable: bool = True, poke_interval: float = 30.0, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.deferrable = deferrable

    @property
    def bounds(self) -> Bounds:
        """How near is near enough."""
        return Bounds()

    @tells_airflow
    def execute(self, context: Context) -> Any:
        """Wait until the tables are in the state."""
        if not self.deferrable:
            return super().execute(context)
        if self.poke(context):
            return None
        trigger = StateTrigger.of(
            self.settings, self.wanted, kind=self.kind, poll_s=float(self.poke_interval), bounds=self.bounds
        )
        return wait_for(self, trigger, method="execute_complete")

    @tells_airflow
    def poke(self, context: Context) -> bool:
        """Look once."""
        settings = self.settings
        names = {name for name in (settings.source_connection, settings.target_connection) if name}
        connections = {name: named_connection(name) for name in names}
        return is_ready(settings, self.wanted, self.kind, self.bounds, connections)

    @tells_airflow
    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Go on after the trigger fired."""
        if event.get("error"):
            raise AirflowFailException(event["error"])


class GridFerryLoadedSensor(_FerrySensor):
    """Waits until the first load of tables is finished, whoever does it."""

    kind = "loaded"


class GridFerryLagSensor(_FerrySensor):
    """Waits until tables lag behind the source by no more than `lag_s` seconds and `lag_rows` rows.

    A table with nothing left to sync does not lag, however long ago it was looked at. In mode cdc rows are not counted.
    """

    kind = "lag"
    template_fields: Sequence[str] = TEMPLATED

    def __init__(self, *, lag_s: float | None = None, lag_rows: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if lag_s is None and lag_rows is None:
            raise AirflowFailException("GridFerryLagSensor needs a bound: lag_s, lag_rows or both")
        self.lag_s = lag_s
        self.lag_rows = lag_rows

    @property
    def bounds(self) -> Bounds:
        """See `FerrySensor`."""
        return Bounds(self.lag_s, self.lag_rows)
