"""Changes of the contract that break nobody: no gate may hold them up."""

from __future__ import annotations

from tests.contract.gates import Edit
from tests.contract.meanings import NOTE
from tests.contract.mutations import COUPON, PROBE, PURCHASES

FIXED = "DISCOUNT_TYPE_FIXED = 2;"
GET = "  // Reads one purchase with"
IDLE = "rpc Idle(Spare) returns (Spare)"
DESCRIPTOR = 'import "google/protobuf/descriptor.proto";'
SPARE = "message Spare {\n  // A text.\n  string text = 1;\n}"
PUBLISHERS = ("SERVICE_RECEIPTWITNESS", "SERVICE_STICKERSHOCK")
LIST = ",\n      "


def file(name: str, content: str = "message A {}") -> Edit:
    """A new file of its folder's package."""
    package = f"cartsnitch.{name.partition('/')[0]}.v1"
    return name, "", f'syntax = "proto3";\npackage {package};\n{content}\n'


def beside(old: str, new: str) -> Edit:
    """Something new in the probe, before what stands there."""
    return PROBE, old, new + old


def probe(old: str, new: str) -> Edit:
    """An edit of the probe."""
    return PROBE, old, new


COMPATIBLE: dict[str, tuple[Edit, ...]] = {
    # -- something new
    "optional field": (
        (COUPON, "bool requires_clip", "optional string x = 90; bool requires_clip"),
    ),
    "optional field with rules": (
        beside(NOTE, "optional string x = 90 [(buf.validate.field).string.min_len = 5];"),
    ),
    "field whose rule an empty value passes": (
        beside(NOTE, "string x = 90 [(buf.validate.field).string.max_len = 5];"),
    ),
    "message with required fields": (
        beside(SPARE, "message A { string x = 1 [(buf.validate.field).required = true]; }\n"),
    ),
    "enum value": ((COUPON, FIXED, f"{FIXED} DISCOUNT_TYPE_X = 9;"),),
    "enum": (beside(SPARE, "enum A { A_UNSPECIFIED = 0; }\n"),),
    "rpc": (
        (PURCHASES, GET, f"rpc Try(GetPurchaseRequest) returns (GetPurchaseResponse);\n{GET}"),
    ),
    "service": (beside("// The probes.", "service A { rpc Rest(Spare) returns (Spare); }\n"),),
    "event": (
        probe(
            "message Spare {",
            "message Spare { option (cartsnitch.options.v1.event) = "
            '{channel: "cartsnitch.spares.found", publishers: [SERVICE_API]};',
        ),
    ),
    "implementer where there was none": (
        probe(
            "service SpareService {",
            "service SpareService { option (cartsnitch.options.v1.service) = "
            "{implementer: SERVICE_API};",
        ),
    ),
    "file": (file("probe/v1/fresh.proto"),),
    "package": (file("fresh/v1/fresh.proto"),),
    # -- retired, or only moved
    "deprecated field": ((COUPON, "_clip = 11;", "_clip = 11 [deprecated = true];"),),
    "deprecated rpc": (probe(f"{IDLE};", f"{IDLE} {{ option deprecated = true; }}"),),
    "numbers reserved that nobody used": (probe("50 to 52;", "50 to 52, 60;"),),
    "publishers in another order": (probe(LIST.join(PUBLISHERS), LIST.join(PUBLISHERS[::-1])),),
    "message moved within its package": (
        probe(SPARE, ""),
        beside(DESCRIPTOR, 'import "cartsnitch/probe/v1/spare.proto";\n'),
        file("probe/v1/spare.proto", SPARE),
    ),
    # -- comments
    "comment's wording": ((COUPON, "// How it lowers the price.", "// How the price falls."),),
    "comment's lines broken otherwise": (
        probe("Unit: grams, with the wrapping", "Unit: grams, with\n  // the wrapping"),
    ),
    "prose after a promise": (probe("Weighed at the door", "Weighed in the shop"),),
    "errors after a promise": (probe("none that matter", "one more"),),
    "unit added": (probe("// The end of the range.", "// The end.\n  //\n  // Unit: grams."),),
    "what unset means added": (probe("// A free text.", "// A text; unset when nobody wrote."),),
    "redaction added": (probe(NOTE, "string note = 12 [debug_redact = true];"),),
    # -- rules that let more through
    "max_len larger": (probe("max_len: 64", "max_len: 65"),),
    "min_len smaller": (probe("min_len: 2", "min_len: 1"),),
    "upper bound included": (probe("lt: 500", "lte: 500"),),
    "lower bound included": (probe("int64.gt = 0", "int64.gte = 0"),),
    "pattern gone": (probe('    pattern: "^[a-z]+$"\n', ""),),
    "a value more allowed": (probe('"b"', '"b", "c"'),),
    "a rule's words": (probe("low must not be above high", "low is above high"),),
    "required gone": (probe("option (buf.validate.oneof).required = true;", ""),),
    "unset ignored": (probe("IGNORE_IF_ZERO_VALUE", "IGNORE_ALWAYS"),),
}
