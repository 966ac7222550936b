"""Statement types, option ids and limits: tables, no code.

Source: docs/protocol.md, Statement types, Options, Limits.
"""

from __future__ import annotations

from enum import IntEnum

PROTOCOL_VERSION = 15
SQL_PROTOCOL_VERSION = -9
FEATURE_VERSION = 7  # the latest of 5.9
FEATURE_FINE_TIMESTAMPS = 5  # TIMESTAMP(6) and (9)

MAX_STRING_BYTES = 31744
MAX_ARRAY_ELEMENTS = 4000
MAX_ARRAY_ELEMENTS_ANYWHERE = 65000  # with blocks of 1 MB and more
MAX_COLUMNS_ANYWHERE = 32000  # likewise
MAX_BLOB_BYTES = (1 << 30) - 1
MAX_COLUMNS = 1024
MAX_COLUMN_NAME_BYTES = 256
MAX_CONTAINER_NAME_BYTES = 16384
MAX_FIXED_BYTES = 59 * 1024
MAX_MESSAGE_BYTES = (1 << 31) - 1
MAX_HELLO_BYTES = 1 << 20  # no answer before the end of a login is longer
MAX_ERROR_BYTES = 1 << 20  # of an error answer, stack traces and all
MAX_PARTITIONS = 10_000  # GridDB's own limit of partitionNum
SQL_PARTITIONS = 10_000  # of the SQL service, whatever the cluster has: each names a worker
MAX_TIMESTAMP_MS = 253402300799999
NO_LIMIT = (1 << 63) - 1
INT32_MAX = (1 << 31) - 1


class Statement(IntEnum):
    """What a frame asks for, or answers."""

    CONNECT = 100
    DISCONNECT = 101
    LOGIN = 102
    LOGOUT = 103
    GET_PARTITION_ADDRESS = 104
    GET_CONTAINER = 105
    PUT_CONTAINER = 107
    CREATE_SESSION = 111
    CLOSE_SESSION = 112
    FLUSH_LOG = 117
    COMMIT_TRANSACTION = 118
    ABORT_TRANSACTION = 119
    GET_ROW = 120
    QUERY_TQL = 121
    PUT_ROW = 124
    PUT_MULTIPLE_ROWS = 125
    UPDATE_ROW_BY_ID = 126
    DELETE_ROW = 127
    DELETE_ROW_BY_ID = 128
    APPEND_TIME_SERIES_ROW = 129
    GET_TIME_SERIES_ROW_RELATED = 131
    INTERPOLATE_TIME_SERIES_ROW = 132
    AGGREGATE_TIME_SERIES = 133
    QUERY_TIME_SERIES_RANGE = 135
    QUERY_TIME_SERIES_SAMPLING = 136
    GET_CONTAINER_PROPERTIES = 140
    GET_PARTITION_CONTAINER_NAMES = 143
    DROP_CONTAINER = 144
    CREATE_MULTIPLE_SESSIONS = 145
    CLOSE_MULTIPLE_SESSIONS = 146
    EXECUTE_MULTIPLE_QUERIES = 147
    GET_MULTIPLE_CONTAINER_ROWS = 148
    PUT_MULTIPLE_CONTAINER_ROWS = 149
    CLOSE_ROW_SET = 150
    FETCH_ROW_SET = 151
    GET_DATABASES = 157
    PUT_DATABASE = 158
    DROP_DATABASE = 159
    CREATE_INDEX_DETAIL = 162
    DROP_INDEX_DETAIL = 163
    EXECUTE_SQL = 400
    CANCEL_SQL = 401


class Status(IntEnum):
    """The first byte of an answer."""

    SUCCESS = 0
    STATEMENT_ERROR = 1
    NODE_ERROR = 2
    DENY = 3


class Option(IntEnum):
    """Ids in the optional-request section."""

    LEGACY_VERSION = 0
    TRANSACTION_TIMEOUT = 1
    FOR_UPDATE = 2
    LOCK_CONTINUES = 3
    SYSTEM_MODE = 4
    DATABASE_NAME = 5
    CONTAINER_ATTRIBUTE = 6
    PUT_MODE = 7
    REQUEST_MODULE = 8
    STATEMENT_TIMEOUT = 10001
    FETCH_LIMIT = 10002
    FETCH_SIZE = 10003
    CLIENT_ID = 11001
    FETCH_BYTES_SIZE = 11002
    META_CONTAINER_ID = 11003
    FEATURE_VERSION = 11004
    ACCEPTABLE_FEATURE_VERSION = 11005
    CONTAINER_VISIBILITY = 11006
    META_NAMING_TYPE = 11007
    QUERY_CONTAINER_KEY = 11008
    APPLICATION_NAME = 11009
    MEMORY_SWAP_RATE = 11010
    TIME_ZONE_OFFSET = 11011
    AUTHENTICATION_TYPE = 11012
    CONNECTION_ROUTE = 11013
    SUB_CONTAINER_VERSION = 13001
    SUB_CONTAINER_EXPIRABLE = 13002
    PRAGMAS = 14001


class PutMode(IntEnum):
    """What a put does about a row key that is, or is not, there."""

    UPSERT = 0
    INSERT = 1
    UPDATE = 2


class SessionMode(IntEnum):
    """Whether a statement makes or uses a session."""

    AUTO = 0
    CREATE = 1
    GET = 2


class SqlOperation(IntEnum):
    """What a statement of the SQL service does."""

    EXECUTE = 0
    PREPARE = 1
    QUERY = 2
    UPDATE = 3
    PRAGMA = 4
    FETCH = 5
    CLOSE = 6


class TransactionMode(IntEnum):
    """Whether a statement commits by itself, begins a transaction or goes on in one."""

    AUTO = 0
    BEGIN = 1
    CONTINUE = 2


class ResultKind(IntEnum):
    """The parts of a query response."""

    ROW_SET = 0
    AGGREGATION = 1
    ANALYSIS = 2
    PARTIAL_FETCH = 3
    PARTIAL_EXECUTION = 4


class Property(IntEnum):
    """Container properties that can be asked for."""

    ID = 0
    SCHEMA = 1
    INDEX = 2
    EVENT_NOTIFICATION = 3
    TRIGGER = 4
    ATTRIBUTE = 5
    INDEX_DETAIL = 6
    NULLS_STATISTICS = 7
    PARTITIONING = 16


ATTRIBUTE_SINGLE = 0x10
ATTRIBUTE_LARGE = 0x20
ANY_KIND = 0xFF
