"""HTML: one self-contained page about a measurement, without script."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgekit.judging import left_out
from edgekit.measurement import Measurement
from edgekit.report import course, layered, view

_ENVIRONMENT = Environment(
    loader=PackageLoader("edgekit.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(measurement: Measurement) -> str:
    """Return figures, time by layer and the sustained run; every name is escaped."""
    run, layers = measurement.sustained, measurement.layers
    return _ENVIRONMENT.get_template("measured.html").render(
        measurement=measurement,
        figures=view.measured_figures(measurement),
        disturbed=left_out(measurement.blocks),
        courses=() if run is None else course.courses(run),
        told="" if run is None else course.told(run),
        picture=course.picture,
        layers=() if layers is None else layered.rows(layers),
        total="" if layers is None else layered.total(layers),
        layers_note=layered.NOTE,
        setup=_setup(measurement),
    )


def _setup(measurement: Measurement) -> tuple[tuple[str, str], ...]:
    setup = measurement.setup
    said = {
        "target": setup.target,
        "threads": setup.threads,
        "batch": setup.batch,
        **{name: "x".join(map(str, shape)) for name, shape in setup.shapes.items()},
        **setup.environment,
        "measured": measurement.created,
        "sha256": measurement.sha256,
    }
    return tuple((name, str(value)) for name, value in said.items())
