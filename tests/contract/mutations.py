"""Changes of the contract that break someone, and that buf sees."""

from __future__ import annotations

from dataclasses import dataclass

from tests.contract.gates import Edit

PROBE = "probe/v1/probe.proto"
OLDER = "older/v1/older.proto"
EDITION = "edition/v1/edition.proto"
COUPON = "coupon/v1/coupon.proto"
PURCHASES = "purchase/v1/purchase_service.proto"
PRICES = "event/v1/price_events.proto"
FIELD_RULE = "(buf.validate.field)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A change that must be caught.

    Attributes:
        name: What is done.
        edits: How.
        rules: Every rule that must be found.
        says: A part of one finding's message, so that it is found for the right reason.
    """

    name: str
    edits: tuple[Edit, ...]
    rules: tuple[str, ...]
    says: str = ""


def one(name: str, file: str, old: str, new: str | None, *rules: str, says: str = "") -> Break:
    """A break by one edit."""
    return Break(name=name, edits=((file, old, new),), rules=rules, says=says)


def probe(name: str, old: str, new: str, *rules: str, says: str = "") -> Break:
    """A break of the probe."""
    return one(name, PROBE, old, new, *rules, says=says)


FILE_OPTIONS = {
    "FILE_SAME_CC_ENABLE_ARENAS": "cc_enable_arenas = false",
    "FILE_SAME_CC_GENERIC_SERVICES": "cc_generic_services = true",
    "FILE_SAME_CSHARP_NAMESPACE": 'csharp_namespace = "X"',
    "FILE_SAME_GO_PACKAGE": 'go_package = "x"',
    "FILE_SAME_JAVA_GENERIC_SERVICES": "java_generic_services = true",
    "FILE_SAME_JAVA_MULTIPLE_FILES": "java_multiple_files = true",
    "FILE_SAME_JAVA_OUTER_CLASSNAME": 'java_outer_classname = "X"',
    "FILE_SAME_JAVA_PACKAGE": 'java_package = "x"',
    "FILE_SAME_OBJC_CLASS_PREFIX": 'objc_class_prefix = "X"',
    "FILE_SAME_OPTIMIZE_FOR": "optimize_for = CODE_SIZE",
    "FILE_SAME_PHP_CLASS_PREFIX": 'php_class_prefix = "X"',
    "FILE_SAME_PHP_METADATA_NAMESPACE": 'php_metadata_namespace = "X"',
    "FILE_SAME_PHP_NAMESPACE": 'php_namespace = "X"',
    "FILE_SAME_PY_GENERIC_SERVICES": "py_generic_services = true",
    "FILE_SAME_RUBY_PACKAGE": 'ruby_package = "X"',
    "FILE_SAME_SWIFT_PREFIX": 'swift_prefix = "X"',
}

# What buf looks at: every rule of its category PACKAGE, most of them on our own protos.
WIRE = (
    one("enum value deleted", COUPON, "DISCOUNT_TYPE_FIXED = 2;", "", "ENUM_VALUE_NO_DELETE"),
    one("enum value renamed", COUPON, "TYPE_FIXED = 2", "TYPE_FLAT = 2", "ENUM_VALUE_SAME_NAME"),
    one("enum value renumbered", COUPON, "_FIXED = 2;", "_FIXED = 22;", "ENUM_VALUE_NO_DELETE"),
    one("field deleted", COUPON, "bool requires_clip = 11;", "", "FIELD_NO_DELETE"),
    one(
        "field deleted and reserved",
        COUPON,
        "bool requires_clip = 11;",
        'reserved 11; reserved "requires_clip";',
        "FIELD_NO_DELETE",
    ),
    one("field renumbered", COUPON, "_clip = 11;", "_clip = 99;", "FIELD_NO_DELETE"),
    one("field retyped", COUPON, "bool requires_clip", "int32 requires_clip", "FIELD_SAME_TYPE"),
    one("field renamed", COUPON, "bool requires_clip", "bool must_clip", "FIELD_SAME_NAME"),
    one(
        "message type of a field changed",
        COUPON,
        "google.protobuf.Timestamp scrape_time",
        "cartsnitch.type.v1.Date scrape_time",
        "FIELD_SAME_TYPE",
    ),
    one("made repeated", COUPON, "bool requires_clip", "repeated bool requires_clip",
        "FIELD_SAME_CARDINALITY"),
    one("presence added", COUPON, "bool requires_clip", "optional bool requires_clip",
        "FIELD_SAME_CARDINALITY"),
    one("presence removed", COUPON, "optional string coupon_code", "string coupon_code",
        "FIELD_SAME_CARDINALITY"),
    one("JSON name changed", COUPON, "requires_clip = 11;", 'requires_clip = 11 [json_name = "x"];',
        "FIELD_SAME_JSON_NAME"),
    one(
        "field moved into a oneof", COUPON,
        "bool requires_clip = 11;", "oneof clip { bool requires_clip = 11; }",
        "FIELD_SAME_ONEOF",
    ),
    probe("field moved out of a oneof", "string right = 10;\n  }", "}\n  string right = 10;",
          "FIELD_SAME_ONEOF"),
    probe("oneof renamed", "oneof choice", "oneof pick", "ONEOF_NO_DELETE", "FIELD_SAME_ONEOF"),
    probe("JavaScript type changed", "JS_STRING", "JS_NUMBER", "FIELD_SAME_JSTYPE"),
    one("message renamed", "account/v1/user.proto", "message User {", "message Person {",
        "PACKAGE_MESSAGE_NO_DELETE"),
    probe("enum removed", "enum Unused {\n  // None.\n  UNUSED_UNSPECIFIED = 0;\n}", "",
          "PACKAGE_ENUM_NO_DELETE"),
    probe("extension removed", "string remark = 50077;", "string comment = 50078;",
          "PACKAGE_EXTENSION_NO_DELETE"),
    probe("service removed",
          "service SpareService {\n  // Does nothing.\n  rpc Rest(Spare) returns (Spare);\n}", "",
          "PACKAGE_SERVICE_NO_DELETE"),
    one("service renamed", PURCHASES, "service PurchaseService", "service ReceiptService",
        "PACKAGE_SERVICE_NO_DELETE"),
    one("package removed", OLDER, "", None, "PACKAGE_NO_DELETE", "FILE_NO_DELETE"),
    one("file removed", "coupon/v1/coupon_service.proto", "", None,
        "FILE_NO_DELETE", "PACKAGE_SERVICE_NO_DELETE", "PACKAGE_MESSAGE_NO_DELETE"),
    one("package changed", OLDER, "cartsnitch.older.v1", "cartsnitch.older.v2",
        "FILE_SAME_PACKAGE", "PACKAGE_NO_DELETE"),
    one("syntax changed", EDITION,
        'edition = "2023"', 'syntax = "proto3"', "FILE_SAME_SYNTAX"),
    one("rpc renamed", PURCHASES, "rpc GetPurchase(", "rpc ReadPurchase(", "RPC_NO_DELETE"),
    probe("rpc removed", "rpc Idle(Spare) returns (Spare);", "", "RPC_NO_DELETE"),
    one("request type changed", PURCHASES,
        "rpc GetPurchase(GetPurchaseRequest)", "rpc GetPurchase(ListPurchasesRequest)",
        "RPC_SAME_REQUEST_TYPE"),
    one("response type changed", PURCHASES,
        "returns (GetPurchaseResponse)", "returns (ListPurchasesResponse)",
        "RPC_SAME_RESPONSE_TYPE"),
    one("server streaming added", PURCHASES,
        "returns (GetPurchaseResponse)", "returns (stream GetPurchaseResponse)",
        "RPC_SAME_SERVER_STREAMING"),
    probe("server streaming removed", "(stream Probe);", "(Probe);", "RPC_SAME_SERVER_STREAMING"),
    probe("client streaming removed", "Send(stream Probe)", "Send(Probe)",
          "RPC_SAME_CLIENT_STREAMING"),
    one("idempotency changed", PURCHASES,
        "idempotency_level = IDEMPOTENT", "idempotency_level = NO_SIDE_EFFECTS",
        "RPC_SAME_IDEMPOTENCY_LEVEL"),
    probe("idempotency removed", "option idempotency_level = IDEMPOTENT;", "",
          "RPC_SAME_IDEMPOTENCY_LEVEL"),
    probe("reserved numbers removed", "reserved 50 to 52;", "", "RESERVED_MESSAGE_NO_DELETE"),
    probe("reserved name removed", 'reserved "gone";', "", "RESERVED_MESSAGE_NO_DELETE"),
    probe("reserved enum numbers removed", "reserved 8, 9;", "", "RESERVED_ENUM_NO_DELETE"),
    one("extension range removed", OLDER, "extensions 100 to 110;", "",
        "EXTENSION_MESSAGE_NO_DELETE"),
    one("default changed", OLDER, "default = 7", "default = 8", "FIELD_SAME_DEFAULT"),
    one("required field added", OLDER, "extensions 100", "required int32 must = 3; extensions 100",
        "MESSAGE_SAME_REQUIRED_FIELDS"),
    one("C++ string type changed", OLDER, "text = 2;", "text = 2 [ctype = CORD];",
        "FIELD_SAME_CPP_STRING_TYPE"),
    one("Java UTF-8 check changed", OLDER, "utf8 = false", "utf8 = true",
        "FIELD_SAME_JAVA_UTF8_VALIDATION"),
    one("descriptor accessor removed", OLDER,
        "extensions 100", "option no_standard_descriptor_accessor = true; extensions 100",
        "MESSAGE_NO_REMOVE_STANDARD_DESCRIPTOR_ACCESSOR"),
    one("enum closed", EDITION,
        "enum Size {", "enum Size {\n  option features.enum_type = CLOSED;", "ENUM_SAME_TYPE"),
    one("enum's JSON given up", EDITION,
        "enum Size {", "enum Size {\n  option features.json_format = LEGACY_BEST_EFFORT;",
        "ENUM_SAME_JSON_FORMAT"),
    one("message's JSON given up", EDITION,
        "message Edition {",
        "message Edition {\n  option features.json_format = LEGACY_BEST_EFFORT;",
        "MESSAGE_SAME_JSON_FORMAT"),
    one("UTF-8 unchecked", EDITION,
        "text = 1;", "text = 1 [features.utf8_validation = NONE];", "FIELD_SAME_UTF8_VALIDATION"),
    probe("options of a file's other languages changed",
          "package cartsnitch.probe.v1;",
          "package cartsnitch.probe.v1;\n"
          + "".join(f"option {option};\n" for option in FILE_OPTIONS.values()),
          *FILE_OPTIONS),
)  # fmt: skip
