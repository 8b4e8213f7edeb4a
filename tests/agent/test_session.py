"""How sessions are opened, by a stand-in for a runtime whose providers are not on this machine."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit.agent import session
from edgekit.agent.session import open_session, options_of, providers_of
from edgekit.agent.wire import AgentError


class Options(SimpleNamespace):
    def __init__(self):
        super().__init__(entries={})

    def add_session_config_entry(self, name, value):
        self.entries[name] = value


class Runtime:
    """Only what a session asks of onnxruntime."""

    SessionOptions = Options

    def __init__(self, *providers):
        self.providers, self.opened = list(providers), None

    def get_available_providers(self):
        return self.providers

    def InferenceSession(self, model, options, providers):  # noqa: N802  # as it is called there
        self.opened = (model, options, dict(providers))
        return SimpleNamespace(get_providers=lambda: [name for name, _ in providers])


def opened(*providers, config=(), model="/files/0a1b/model.onnx", kind=Runtime, **more):
    runtime = kind(*providers)
    spec = {"providers": [*providers, "CPUExecutionProvider"], "exact": True, "threads": 4}
    spec |= {"config": dict(config), **more}
    found = providers_of(runtime, spec)
    open_session(runtime, found, options_of(runtime, found, spec), spec, model)
    return runtime.opened


def test_xnnpack_gets_the_threads_and_onnxruntime_one_that_does_not_spin():
    _, options, settings = opened("XnnpackExecutionProvider", "CPUExecutionProvider")
    assert settings["XnnpackExecutionProvider"] == {"intra_op_num_threads": "4"}
    assert settings["CPUExecutionProvider"] == {}
    assert options.intra_op_num_threads == 1
    assert options.entries == {"session.intra_op.allow_spinning": "0"}


def test_the_processors_own_kernels_get_the_threads():
    _, options, settings = opened("CPUExecutionProvider")
    assert (options.intra_op_num_threads, options.entries) == (4, {})
    assert settings == {"CPUExecutionProvider": {}}


class PoolRuntime(Runtime):
    """One whose sessions can share their threads."""

    pool = None

    def set_global_thread_pool_sizes(self, intra, inter):
        self.pool = (intra, inter)


def test_sessions_that_take_turns_share_their_threads():
    _, options, _ = opened("CPUExecutionProvider", kind=PoolRuntime, together=True)
    assert (options.use_per_session_threads, options.entries) == (False, {})
    _, alone, _ = opened("CPUExecutionProvider", kind=PoolRuntime)
    assert not hasattr(alone, "use_per_session_threads")


@pytest.mark.parametrize(("more", "pool"), [({"together": True}, (4, 1)), ({}, None)])
def test_the_shared_pool_is_as_large_as_is_asked_for(monkeypatch, more, pool):
    runtime = PoolRuntime("CPUExecutionProvider")
    monkeypatch.setattr(session, "import_onnxruntime", lambda: runtime)
    spec = {"runtime": "onnxruntime", "providers": runtime.providers, "exact": True}
    session.prepare({**spec, "threads": 4, "config": {}, **more})
    assert runtime.pool == pool


def test_threads_that_cannot_be_shared_rest_after_a_run():
    _, options, _ = opened("CPUExecutionProvider", together=True)
    assert options.entries == {"session.force_spinning_stop": "1"}
    _, single, _ = opened("CPUExecutionProvider", together=True, threads=1)
    assert single.entries == {}


def test_the_threads_of_xnnpack_are_its_own():
    providers = ("XnnpackExecutionProvider", "CPUExecutionProvider")
    _, options, _ = opened(*providers, kind=PoolRuntime, together=True)
    assert not hasattr(options, "use_per_session_threads")
    assert options.entries == {"session.intra_op.allow_spinning": "0"}


def test_entries_of_the_configuration_are_set_as_the_host_says():
    _, options, _ = opened("CPUExecutionProvider", config={"session.x": "1"})
    assert options.entries == {"session.x": "1"}


def test_tensorrt_keeps_engines_and_timings_in_a_folder_of_the_models_content(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = []
    for at, content in enumerate((b"one", b"one", b"another")):
        model = tmp_path / str(at) / "model.onnx"
        model.parent.mkdir()
        model.write_bytes(content)
        settings = opened("TensorrtExecutionProvider", model=str(model))[2]
        found = settings["TensorrtExecutionProvider"]
        folders.append(found["trt_engine_cache_path"])
    assert folders[0] == folders[1] != folders[2]
    assert (tmp_path / "cache" / "edgekit" / "engines").samefile(Path(folders[0]).parent)
    assert found["trt_timing_cache_enable"] == found["trt_engine_cache_enable"] == "1"


def test_a_provider_that_is_not_there_is_the_devices_fault():
    runtime = Runtime("CPUExecutionProvider")
    spec = {"providers": ["XnnpackExecutionProvider"], "exact": True, "threads": 1}
    with pytest.raises(AgentError, match="no XnnpackExecutionProvider"):
        providers_of(runtime, spec)
