"""The plain tables of names hold what the classes say."""

import inspect

from lightning_dd import data, methods, networks
from lightning_dd.app import names
from lightning_dd.app.costs.worker import known_methods
from lightning_dd.artifact.codecs import Codec
from lightning_dd.data import ImageData
from lightning_dd.evaluation import PROTOCOLS
from lightning_dd.methods.task import Task
from lightning_dd.training.sources import NetworkSource


def _classes(room, parent):
    found = {name: getattr(room, name) for name in room.__all__}
    return {name: kind for name, kind in found.items() if inspect.isclass(kind) and issubclass(kind, parent)}


def test_methods_with_their_papers_and_published_steps():
    found = _classes(methods, Task)
    del found["Distiller"]
    assert names.METHODS.keys() == found.keys()
    for name, kind in found.items():
        method = names.METHODS[name]
        assert method.learns == (name in known_methods())
        assert method.paper == getattr(kind, "paper", ""), name
        steps = getattr(kind, "published_steps", None)
        assert method.steps == (steps.fget(kind(ipc=1)) if isinstance(steps, property) else steps), name


def test_data():
    found = _classes(data, ImageData)
    del found["ImageData"]
    assert names.DATA.keys() == found.keys()
    for name, kind in found.items():
        facts = kind.facts
        known = (facts.image_shape, len(facts.class_names), facts.num_train) if facts else (None, None, None)
        assert names.DATA[name][1:] == known


def test_networks_and_protocols():
    assert set(names.NETWORKS) == {*networks.__all__} - {"Network", "NetworkFactory", "build"}
    assert names.PROTOCOLS.keys() == PROTOCOLS.keys()


def test_codecs_and_sources_that_can_be_asked_for():
    assert names.CODECS.keys() == {kind.__name__ for kind in _below(Codec)}
    methods_own = {"NoNetworks", "InitialWeights", "ExpertSegments", "RandomWalk"}  # or for measuring costs
    assert names.SOURCES.keys() == {kind.__name__ for kind in _below(NetworkSource)} - methods_own


def _below(parent):
    """Return the classes of the package below one, however far."""
    found = {each for kind in parent.__subclasses__() for each in (kind, *_below(kind))}
    return {kind for kind in found if kind.__module__.startswith("lightning_dd.")}
