"""What the stand-in answers instead of a result: GridDB's error code, its name and a sentence."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The error codes in use; names and numbers are those of GridDB 5.9's error table."""

    CM_NO_MEMORY = 1001
    CM_IO_ERROR = 1005
    CM_NOT_SUPPORTED = 1007
    CM_LIMITS_EXCEEDED = 1008
    TXN_AUTH_FAILED = 10005
    TXN_CLUSTER_ROLE_UNMATCH = 10008
    TXN_PARTITION_ROLE_UNMATCH = 10009
    TXN_STATEMENT_TIMEOUT = 10014
    TXN_CONTAINER_NOT_FOUND = 10016
    TXN_CONTAINER_SCHEMA_UNMATCH = 10017
    TXN_CONSISTENCY_TYPE_UNMATCH = 10033
    TXN_DECODE_FAILED = 10038
    TXN_CLUSTER_NAME_INVALID = 10053
    TXN_CLIENT_VERSION_NOT_ACCEPTABLE = 10054
    TXN_STATEMENT_TYPE_UNSUPPORTED = 10055
    TXN_DATABASE_NAME_ALREADY_EXISTS = 10078
    TXN_OPERATION_NOT_ALLOWED = 10079
    TXN_DATABASE_NAME_INVALID = 10081
    TXN_CONTAINER_ATTRIBUTE_UNMATCH = 10093
    TXN_INDEX_NOT_FOUND = 10096
    TXN_DATABASE_UNMATCH = 10098
    DS_DS_SCHEMA_INVALID = 60015
    DS_DS_CHANGE_SCHEMA_DISABLE = 60016
    DS_DS_CONTAINER_TYPE_INVALID = 60026
    DS_TIM_LOCK_CONFLICT = 60064
    DS_TIM_ROW_DATA_INVALID = 60079
    DS_DS_RESULT_ID_INVALID = 60132
    DS_PUT_MODE = 60154
    DS_CONTAINER_UNEXPECTEDLY_REMOVED = 60157
    DS_INPUT_MESSAGE_INVALID = 60159
    TM_SESSION_NOT_FOUND = 110003
    TM_TRANSACTION_NOT_FOUND = 110005
    TM_SESSION_UUID_UNMATCHED = 110016
    TM_TRANSACTION_MODE_INVALID = 110031
    TQ_ROW_KEY_UNDEFINED = 150001
    TQ_INVALID_COLLECTION_NAME = 150010
    TQ_INVALID_NAME = 150011
    TQ_COLUMN_NOT_FOUND = 150012
    TQ_FUNCTION_NOT_FOUND = 150014
    TQ_DIVIDE_BY_ZERO = 150016
    TQ_OPERATION_NOT_DEFINED = 150018
    TQ_COLUMN_CANNOT_AGGREGATE = 150020
    TQ_SYNTAX_ERROR_EXECUTION = 151001
    TQ_SYNTAX_ERROR_INVALID_TOKEN = 151002
    TQ_CONSTRAINT_CANNOT_CAST = 152001
    TQ_CONSTRAINT_SELECTION_ABUSE = 152003
    TQ_CONSTRAINT_AGGREGATION_ABUSE = 152004
    TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE = 152010
    TQ_CONSTRAINT_INVALID_ARGUMENT_COUNT = 152011
    TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE = 152012
    TQ_INTERNAL_NOT_IMPLEMENTED = 152502


class Refusal(Exception):
    """A statement that is refused; the dispatcher turns it into an error reply.

    `status` is the reply's: 1 statement error, 2 node error, 3 deny.
    """

    def __init__(self, code: Code, message: str, *, parameters: dict[str, str] | None = None, status: int = 1) -> None:
        super().__init__(f"[{int(code)}:{code.name}] {message}")
        self.code = code
        self.message = message
        self.parameters = dict(parameters or {})
        self.status = status

    @property
    def name(self) -> str:
        """GridDB's name of the code."""
        return self.code.name
