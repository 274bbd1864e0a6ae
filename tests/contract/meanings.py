"""Changes that buf does not see and that break someone all the same."""

from __future__ import annotations

from tests.contract.mutations import COUPON, PRICES, PROBE, PURCHASES, Break, one, probe

TIGHT = "RULE_TIGHTENED"
SAYS = "PROMISE_CHANGED"
OPTION = "OPTION_CHANGED"
NEW = "NEW_FIELD_REFUSES_OLD_MESSAGES"
NOTE = "string note = 12;"


def note(name: str, rule: str, says: str = "") -> Break:
    """A new rule for a field that had none."""
    return probe(name, NOTE, f"string note = 12 [(buf.validate.field).{rule}];", TIGHT, says=says)


def added(name: str, field: str, says: str) -> Break:
    """A new field."""
    return probe(name, NOTE, f"{NOTE}\n{field}", NEW, says=says)


EVENTS = (
    one("channel changed", PRICES, "cartsnitch.prices.updated", "cartsnitch.prices.changed", OPTION,
        says=".channel was 'cartsnitch.prices.updated'"),
    probe("publisher added", "SERVICE_RECEIPTWITNESS,", "SERVICE_RECEIPTWITNESS,\nSERVICE_API,",
          OPTION, says="with SERVICE_API"),
    probe("publisher removed", "SERVICE_RECEIPTWITNESS,", "", OPTION,
          says="without SERVICE_RECEIPTWITNESS"),
    probe("publisher replaced", "SERVICE_STICKERSHOCK", "SERVICE_API", OPTION,
          says="without SERVICE_STICKERSHOCK and with SERVICE_API"),
    probe("event mark removed",
          'option (cartsnitch.options.v1.event) = {\n    channel: "cartsnitch.probes.taken"\n'
          "    publishers: [\n      SERVICE_RECEIPTWITNESS,\n      SERVICE_STICKERSHOCK\n    ]\n"
          "  };", "", OPTION, says="channel"),
    one("implementer changed", PURCHASES, "implementer: SERVICE_RECEIPTWITNESS",
        "implementer: SERVICE_API", OPTION, says="'SERVICE_API'"),
    probe("implementer removed",
          "option (cartsnitch.options.v1.service) = {implementer: SERVICE_SHRINKRAY};", "", OPTION,
          says="implementer"),
    one("option renumbered", "options/v1/event.proto", "event = 50001", "event = 50009",
        "EXTENSION_NUMBER_CHANGED", says="50009"),
    one("personal field readable", "account/v1/user.proto",
        "debug_redact = true", "debug_redact = false", "REDACTION_REMOVED", says="User.email"),
    probe("redaction removed", " [debug_redact = true]", "", "REDACTION_REMOVED",
          says="Probe.name"),
)  # fmt: skip

RULES = (
    probe("max_len smaller", "max_len: 64", "max_len: 63", TIGHT, says="was 64 and is 63"),
    probe("min_len larger", "min_len: 2", "min_len: 3", TIGHT, says="was 2 and is 3"),
    probe("max_items smaller", "max_items: 20", "max_items: 19", TIGHT),
    probe("min_items larger", "min_items: 1", "min_items: 2", TIGHT),
    probe("an item's max_len smaller", "{max_len: 10}", "{max_len: 9}", TIGHT, says="items"),
    probe("a key's max_len smaller", "keys.string.max_len = 8", "keys.string.max_len = 7", TIGHT),
    probe("upper bound smaller", "lt: 500", "lt: 499", TIGHT),
    probe("upper bound excluded", "lte = {seconds: 60}", "lt = {seconds: 60}", TIGHT),
    probe("lower bound larger", "gte: 0", "gte: 1", TIGHT),
    probe("lower bound excluded", "gte: 0", "gt: 0", TIGHT),
    probe("range turned inside out", "lt: 500", "lt: -5", TIGHT),
    probe("duration shorter", "{seconds: 60}", "{seconds: 59}", TIGHT),
    probe("pattern changed", '"^[a-z]+$"', '"^[a-f]+$"', TIGHT, says="pattern"),
    probe("CEL changed", "this.low <= this.high", "this.low < this.high", TIGHT,
          says="probe.order"),
    probe("CEL of a field changed", "this <= 100.0", "this <= 1.0", TIGHT, says="ratio.range"),
    probe("CEL renamed", '"ratio.range"', '"ratio.share"', TIGHT, says="ratio.share"),
    probe("a value less allowed", '"a",\n      "b"', '"a"', TIGHT, says=".in was"),
    probe("a value more forbidden", "not_in = 0",
          "not_in = 0, (buf.validate.field).enum.not_in = 2", TIGHT, says=".not_in was"),
    probe("defined_only set", "enum.not_in = 0",
          "enum.not_in = 0, (buf.validate.field).enum.defined_only = true", TIGHT),
    probe("unset no longer ignored", "ignore: IGNORE_IF_ZERO_VALUE", "ignore: IGNORE_UNSPECIFIED",
          TIGHT),
    probe("one of a pair required", '"name"\n    ]', '"name"\n    ]\n    required: true', TIGHT),
    note("required set", "required = true", "required is new"),
    note("max_len new", "string.max_len = 5"),
    note("pattern new", 'string.pattern = "^x"'),
    note("prefix new", 'string.prefix = "x"'),
    note("format new", "string.email = true"),
    note("in new", 'string.in = "x"'),
    note("constant new", 'string.const = "x"'),
    note("CEL new", 'cel = {id: "n", message: "m", expression: "this != \'x\'"}'),
    note("short CEL new", "cel_expression = \"this != 'x'\""),
    probe("unique set", "min_items: 1", "unique: true\nmin_items: 1", TIGHT, says="unique"),
    probe("format exchanged", "string.uuid = true", "string.ulid = true", TIGHT, says="ulid"),
    added("new field required", "Spare extra = 40 [(buf.validate.field).required = true];",
          "field cartsnitch.probe.v1.Probe.extra"),
    added("new field never empty", "string extra = 40 [(buf.validate.field).string.min_len = 1];",
          "string.min_len"),
    added("new oneof required",
          "oneof extra { option (buf.validate.oneof).required = true; string more = 40; }",
          "oneof cartsnitch.probe.v1.Probe.extra"),
    Break(name="new rule does not compile",
          edits=((PROBE, NOTE, NOTE + "string extra = 40 [(buf.validate.field).cel = "
                  '{id: "x", message: "m", expression: "this.no + 1 =="}];'),),
          rules=("RULE_BROKEN",), says="do not compile"),
)  # fmt: skip

COMMENTS = (
    probe("unit changed", "Unit: grams", "Unit: ounces", SAYS, says="Unit: grams, with"),
    probe("unit removed", "  // Unit: percent.\n", "", SAYS, says="Unit: percent."),
    probe("order changed", "// Order: by id.", "// Order: by code.", SAYS, says="Order: by id."),
    one("a real order changed", PURCHASES, "Order: newest first", "Order: oldest first", SAYS),
    one("time zone changed", COUPON, "Time zone: that of the shop", "Time zone: UTC", SAYS),
    probe("time zone removed", "// Time zone: none; a span.", "//", SAYS),
    probe("default changed", "Default: 0, not weighed", "Default: 100", SAYS),
    probe("idempotency comment changed", "Idempotency: once an id", "Idempotency: none", SAYS),
    probe("what unset means changed", "unset when the shop gives none", "unset when it is secret",
          SAYS, says="unset when the shop gives none"),
    one("a real unset clause removed", COUPON, "; unset when there is none", "", SAYS),
    one("retry advice changed", "error/v1/error_reason.proto", "Retry: no.", "Retry: yes.", SAYS),
)  # fmt: skip
