"""One container for each value of the split column, or one for the table; and what is in the way of a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gridferry.model.profile import TableProfile
from gridferry.plan.keys import counted
from gridferry.plan.names import VALUE_FIELD, escape, name_problem
from gridferry.plan.plan import ContainerPlan, Finding, Severity, TablePlan
from gridferry.plan.table_options import TableOptions

_SHOWN = 5  # how many names a message lists


def plan_containers(profile: TableProfile, options: TableOptions, naming: str) -> tuple[ContainerPlan, ...]:
    """The containers for the values that the data has, largest first as the profile lists them."""
    if options.split_by is None:
        return (ContainerPlan(naming, rows=profile.rows),)
    return tuple(ContainerPlan(_name(split.value, options, naming), split.value, split.rows) for split in profile.split)


def container_findings(
    containers: tuple[ContainerPlan, ...], profile: TableProfile, options: TableOptions
) -> Iterator[Finding]:
    """Names that are not possible, values that meet in one name, aliases without a value, rows without one."""
    yield from _illegal(containers, options)
    yield from _meetings(containers, options)
    if options.split_by is None:
        return
    values = {c.value for c in containers}
    for value in options.containers:
        if value not in values:
            message = f'`containers` gives a name to "{value}", but no row has that {options.split_by}'
            yield Finding(Severity.INFO if profile.exact else Severity.RISK, value, message, "check its spelling")
    for container in containers:
        if container.value is None:
            message = f"{counted(container.rows)} without a {options.split_by}, for {container.name}"
            yield Finding(Severity.INFO, container.name, message, "leave them out with `where` if they should not")
    if not containers:
        message = "the table has no rows, so no container is made yet"
        yield Finding(Severity.INFO, options.table, message)


def with_clashes(plans: Sequence[TablePlan]) -> tuple[TablePlan, ...]:
    """The plans, each with a PROBLEM for container names that a table before it uses too."""
    owners: dict[str, TablePlan] = {}
    found = []
    for plan in plans:
        names = {c.name.lower(): c.name for c in plan.containers}
        taken = [(name, owners[folded]) for folded, name in names.items() if folded in owners]
        for folded in names:
            owners.setdefault(folded, plan)
        found.append(replace(plan, findings=(*_clash(plan, taken), *plan.findings)) if taken else plan)
    return tuple(found)


def _name(value: str | None, options: TableOptions, naming: str) -> str:
    alias = options.containers.get(value) if value is not None else None
    return alias if alias is not None else naming.replace(VALUE_FIELD, escape(value))


def _illegal(containers: tuple[ContainerPlan, ...], options: TableOptions) -> Iterator[Finding]:
    """One finding a reason, not one a container: a bad template spoils them all in the same way."""
    reasons: dict[str, list[str]] = {}
    for container in containers:
        problem = name_problem(container.name)
        if problem:
            reasons.setdefault(problem, []).append(_short(container.name))
    advice = (
        "give other names with `container` or `containers`" if options.split_by else "give another with `container`"
    )
    for problem, names in reasons.items():
        message = f"no container can be called {_listed(names)}: {problem}"
        yield Finding(Severity.PROBLEM, names[0], message, advice)


def _meetings(containers: tuple[ContainerPlan, ...], options: TableOptions) -> Iterator[Finding]:
    groups: dict[str, list[ContainerPlan]] = {}
    for container in containers:
        groups.setdefault(container.name.lower(), []).append(container)
    for group in groups.values():
        if len(group) > 1:
            values = [_short("NULL" if c.value is None else c.value) for c in group]
            message = f"the {options.split_by} values {_listed(values)} meet in one container, {_short(group[0].name)}"
            advice = "give each a name of its own in `containers`; to GridDB capitals and small letters are the same"
            yield Finding(Severity.PROBLEM, group[0].name, message, advice)


def _clash(plan: TablePlan, taken: list[tuple[str, TablePlan]]) -> tuple[Finding, ...]:
    by_owner: dict[str, list[str]] = {}
    plans = {owner.qualified: owner for _, owner in taken}
    for name, owner in taken:
        by_owner.setdefault(owner.qualified, []).append(_short(name))
    return tuple(
        Finding(
            Severity.PROBLEM,
            names[0],
            f"{owner} uses the container {_listed(names)} too",
            _apart(plan, plans[owner]),
        )
        for owner, names in by_owner.items()
    )


def _apart(plan: TablePlan, other: TablePlan) -> str:
    """The way out of a clash: the schemas' names where they tell the tables apart, in words that work as they stand."""
    names = {f"{escape(each.schema)}_{escape(each.table)}".lower() for each in (plan, other)}
    if len(names) < 2 or (plan.split_by is None) != (other.split_by is None):
        return "give one of the tables another `container`"
    template = "{schema}_{table}" + (f"_{VALUE_FIELD}" if plan.split_by is not None else "")
    return f'give both tables `container: "{template}"`, each in its entry or both by their pattern or `defaults`'


def _listed(names: list[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
