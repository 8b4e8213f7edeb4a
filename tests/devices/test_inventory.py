import pytest

from edgekit import add_device, list_devices, remove_device
from edgekit.devices import inventory_path, parsed_address, read_inventory
from edgekit.errors import UsageError
from edgekit.fleet import devices_named

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1N"


@pytest.fixture
def inventory(tmp_path):
    file = tmp_path / "lab" / "devices.toml"
    add_device("pi", "ssh://pi@10.0.0.5:2222", target="arm-cpu", tags=["lab"], inventory=file)
    add_device("orin-1", "ssh://orin", target="jetson", tags=["lab", "fast"], inventory=file)
    return file


def test_what_is_added_is_listed_until_it_is_removed(inventory):
    found = list_devices(inventory=inventory)
    assert list(found) == ["orin-1", "pi"]
    assert found["pi"].address == "ssh://pi@10.0.0.5:2222"
    assert (found["orin-1"].user, found["orin-1"].port) == (None, None)
    remove_device("pi", inventory=inventory)
    assert list(list_devices(inventory=inventory)) == ["orin-1"]


def test_comments_and_order_stay(inventory):
    inventory.write_text("# our lab\n" + inventory.read_text() + "# the end\n")
    before = inventory.read_text()
    add_device("new", "ssh://new", target="x86", inventory=inventory)
    remove_device("new", inventory=inventory)
    assert inventory.read_text().replace("\n", "") == before.replace("\n", "")


@pytest.mark.parametrize(
    ("address", "stays"), [("ssh://u@10.0.0.5:2222", True), ("ssh://b", False)]
)
def test_pinned_keys_stay_with_host_and_port_only(inventory, address, stays):
    text = inventory.read_text().replace(
        'target = "arm-cpu"', f'target = "x86"\nhost_keys = ["{KEY}"]'
    )
    inventory.write_text(text)
    add_device("pi", address, target="x86", inventory=inventory)
    assert bool(list_devices(inventory=inventory)["pi"].host_keys) == stays


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("local", "ssh://a"), "this machine"),
        (("-x", "ssh://a"), "NAME"),
        (("tag:x", "ssh://a"), "NAME"),
        (("../x", "ssh://a"), "NAME"),
        (("a", "ssh://-oProxyCommand=x"), "host"),
        (("a", "ssh://u;x@h"), "user"),
        (("a", "http://h"), "cannot read the address"),
        (("a", "ssh://h:99999"), "cannot read the address"),
        (("a", "ssh://h/path"), "cannot read the address"),
        (("a", "ssh://u:pass@h"), "cannot read the address|user"),
    ],
)
def test_what_a_shell_or_ssh_could_misread_is_refused(tmp_path, arguments, says):
    with pytest.raises(UsageError, match=says):
        add_device(*arguments, target="x86", inventory=tmp_path / "i.toml")
    assert not (tmp_path / "i.toml").exists()


def test_an_unknown_target_is_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown target"):
        add_device("a", "ssh://h", target="toaster", inventory=tmp_path / "i.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema = 2\n", "schema"),
        ("schema = 1\n[devices.a]\nhost = 'h'\n", "missing key"),
        ("schema = 1\n[devices.a]\nhost = 'h'\ntarget = 'x86'\nprot = 1\n", "did you mean 'port'"),
        ("schema = 1\n[devices.a]\nhost = '-oX'\ntarget = 'x86'\n", "host"),
        (
            "schema = 1\n[devices.a]\nhost = 'h'\ntarget = 'x86'\nhost_keys = ['a\\nb c']\n",
            "host_k",
        ),
        ("schema = [", "not valid TOML"),
    ],
)
def test_a_wrong_inventory_is_one_line(tmp_path, text, says):
    file = tmp_path / "i.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        read_inventory(file)
    assert "\n" not in str(caught.value)


def test_addresses_keep_their_case_and_brackets():
    assert parsed_address("ssh://Me@Orin_1") == ("Me", "Orin_1", None)
    assert parsed_address("ssh://[::1]:22/") == (None, "::1", 22)


def test_the_inventory_is_named_by_option_then_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_INVENTORY", str(tmp_path / "env.toml"))
    assert inventory_path(None) == tmp_path / "env.toml"
    assert inventory_path(tmp_path / "option.toml") == tmp_path / "option.toml"
    monkeypatch.delenv("EDGEKIT_INVENTORY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert inventory_path(None) == tmp_path / "edgekit" / "devices.toml"


def test_tags_mean_all_that_have_them_and_each_once(inventory):
    assert devices_named(["tag:fast", "local", "tag:lab"], inventory) == ("orin-1", "local", "pi")
    with pytest.raises(UsageError, match="no device has the tag"):
        devices_named(["tag:slow"], inventory)
    with pytest.raises(UsageError, match="unknown device"):
        devices_named(["nobody"], inventory)
