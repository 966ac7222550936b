"""Where the SQL service is: from a gridferry address, and from one of the JDBC driver."""

from __future__ import annotations

import pytest

from gridferry.errors import ConfigError
from gridferry.griddb import GridDBAddress, Route, SslMode, parse_address
from gridferry.griddb.net.discovery import parse_notification, sql_candidates
from gridferry.griddb.sql.jdbc import parse_jdbc


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("griddb://u@a:10001,b/c", (("a", 20001), ("b", 20001))),
        ("griddb://u@a:20001/c", (("a", 20001),)),
        ("griddb://u@a:7777/c", (("a", 7777),)),
        ("griddb://u@a:10001/c?sql=s:5,[::1]", (("s", 5), ("::1", 20001))),
    ],
)
def test_the_nodes_of_an_address(url: str, nodes: tuple[tuple[str, int], ...]) -> None:
    assert sql_candidates(parse_address(url)) == nodes


def test_a_node_announces_its_sql_service_with_a_number_of_its_own() -> None:
    datagram = bytes.fromhex(
        "7824e003" + "00" * 8 + "ffffffff" + "11000000" + "a00f0000" + "0a000001" + "214e0000" + "00" * 9
    )
    assert parse_notification(datagram, announced=4000) == ("10.0.0.1", 20001)
    assert parse_notification(datagram) is None


def test_an_address_of_the_jdbc_driver() -> None:
    plain = parse_jdbc("jdbc:gs://h:20001/my%20Cluster/db?user=u&password=p&sslMode=REQUIRED&loginTimeout=5")
    assert plain == GridDBAddress(
        "my Cluster",
        user="u",
        password="p",
        members=(("h", 20001),),
        sql=(("h", 20001),),
        database="db",
        sslmode=SslMode.REQUIRE,
    )
    members = parse_jdbc("jdbc:gs:///c?notificationMember=a:1,b:2&connectionRoute=PUBLIC", password="x")
    assert (members.sql, members.password, members.route) == ((("a", 1), ("b", 2)), "x", Route.PUBLIC)
    assert parse_jdbc("jdbc:gs:///c?notificationProvider=http://p").provider == "http://p"
    assert parse_jdbc("jdbc:gs://239.0.0.1:41999/c").multicast == ("239.0.0.1", 41999)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("jdbc:gs://h:1/", "names no cluster"),
        ("jdbc:gs:h:1/c", "names no cluster"),
        ("jdbc:gs:///c", "exactly one way"),
        ("jdbc:gs://h:1/c?notificationMember=a:1", "exactly one way"),
        ("jdbc:gs://h/c", "not host:port"),
        ("jdbc:gs://h:1/c?what=1", "its option what"),
        ("jdbc:gs://h:1/c?sslMode=x", "its sslMode"),
    ],
)
def test_an_address_of_the_jdbc_driver_that_is_none(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_jdbc(url)
