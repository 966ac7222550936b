"""Addresses: every way to write one, and every way to write one wrongly; a password is never repeated."""

from __future__ import annotations

import pickle

import pytest

from gridferry.errors import ConfigError
from gridferry.griddb import GridDBAddress, SslMode, parse_address
from gridferry.griddb.address import with_password


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("griddb://h:10005/c/d", GridDBAddress("c", members=(("h", 10005),), database="d")),
        ("griddb://h/c", GridDBAddress("c", members=(("h", 10001),))),
        ("griddb://h/c/", GridDBAddress("c", members=(("h", 10001),))),
        ("GRIDDB://h/c", GridDBAddress("c", members=(("h", 10001),))),
        ("griddb://me@h/c", GridDBAddress("c", user="me", members=(("h", 10001),))),
        ("griddb://me:p%40ss%2F@h/c", GridDBAddress("c", user="me", password="p@ss/", members=(("h", 10001),))),
        ("griddb://me:p@ss#w:rd@h/c", GridDBAddress("c", user="me", password="p@ss#w:rd", members=(("h", 10001),))),
        ("griddb://gs%23me:x@h/c", GridDBAddress("c", user="gs#me", password="x", members=(("h", 10001),))),
        ("griddb://a:1,b,[::1]:3/c", GridDBAddress("c", members=(("a", 1), ("b", 10001), ("::1", 3)))),
        ("griddb://[fe80::1%eth0]/c", GridDBAddress("c", members=(("fe80::1%eth0", 10001),))),
        ("griddb://[::1]:5,[::2]:6/c", GridDBAddress("c", members=(("::1", 5), ("::2", 6)))),
        ("griddb:///c?provider=http://p/list", GridDBAddress("c", provider="http://p/list")),
        ("griddb://me@/c?multicast=239.0.0.1", GridDBAddress("c", user="me", multicast=("239.0.0.1", 31999))),
        ("griddb:///c?multicast=239.0.0.1:5", GridDBAddress("c", multicast=("239.0.0.1", 5))),
        (
            "griddb://h/c?sslmode=verify&ca_file=/a/b.pem",
            GridDBAddress("c", members=(("h", 10001),), sslmode=SslMode.VERIFY, ca_file="/a/b.pem"),
        ),
    ],
)
def test_what_can_be_written(url: str, expected: GridDBAddress) -> None:
    assert parse_address(url) == expected


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "griddb",
        "griddb://",
        f"http://u:{SECRET}@h/c",
        f"griddb//u:{SECRET}@h/c",
        f"griddb://u:{SECRET}@h",
        f"griddb://u:{SECRET}@h/",
        f"griddb://u:{SECRET}@h//d",
        f"griddb://u:{SECRET}@h/c/d/e",
        f"griddb://u:{SECRET}@h/c@d",
        f"griddb://u:{SECRET}@/c",
        f"griddb://u:{SECRET}@h:0/c",
        f"griddb://u:{SECRET}@h:65536/c",
        f"griddb://u:{SECRET}@h:99999999999/c",
        f"griddb://u:{SECRET}@h:port/c",
        f"griddb://u:{SECRET}@h:²/c",
        f"griddb://u:{SECRET}@h:/c",
        f"griddb://u:{SECRET}@h:1:2/c",
        f"griddb://u:{SECRET}@::1/c",
        f"griddb://u:{SECRET}@[::1/c",
        f"griddb://u:{SECRET}@::1]/c",
        f"griddb://u:{SECRET}@[::1]x/c",
        f"griddb://u:{SECRET}@[name]/c",
        f"griddb://u:{SECRET}@h,,i/c",
        f"griddb://u:{SECRET}@h,/c",
        f"griddb://u:{SECRET}@a b/c",
        f"griddb://u:{SECRET}/c",
        f"griddb://u:{SECRET}/x@h/c",
        f"griddb://u:1/{SECRET}@h/c",
        f"griddb://u:1?{SECRET}@h/c",
        f"griddb://u:1?{SECRET}=1@h/c",
        f"griddb://u:{SECRET}@h/c?sslmode=maybe",
        f"griddb://u:{SECRET}@h/c?sslmode",
        f"griddb://u:1?sslmode={SECRET}@h/c",
        f"griddb://u:{SECRET}@h/c?password=x",
        f"griddb://u:{SECRET}@h/c?multicast=239.0.0.1",
        f"griddb://u:{SECRET}@/c?multicast=x:y",
        f"griddb://u:{SECRET}@/c?multicast=",
        f"griddb://u:{SECRET}@/c?multicast=239.0.0.1&provider=http://p",
        f"griddb://u:{SECRET}@h/c?provider=http://p",
    ],
)
def test_what_cannot(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(url)
    assert SECRET not in f"{caught.value} {caught.value.next_step} {caught.value.state}"
    assert caught.value.exit_code == 2
    assert caught.value.next_step
    assert caught.value.__cause__ is None


def test_a_password_given_apart_goes_first() -> None:
    assert parse_address("griddb://u:one@h/c", password="two").password == "two"
    assert parse_address("griddb://u:one@h/c", password="").password == ""
    assert with_password(parse_address("griddb://u@h/c"), "three").password == "three"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"griddb://u:{SECRET}@h,[::1]:3/c/d", "griddb://u@h:10001,[::1]:3/c/d"),
        (f"griddb://u:{SECRET}@/c?provider=http://{SECRET}@p/", "griddb://u@provider/c/public"),
        (f"griddb://u:{SECRET}@/c?multicast=239.0.0.1", "griddb://u@multicast 239.0.0.1:31999/c/public"),
    ],
)
def test_how_it_is_shown(url: str, text: str) -> None:
    address = parse_address(url)
    assert str(address) == text
    assert SECRET not in repr(address)


def test_it_can_be_sent_to_another_process() -> None:
    address = parse_address(f"griddb://u:{SECRET}@h/c")
    assert pickle.loads(pickle.dumps(address)) == address
